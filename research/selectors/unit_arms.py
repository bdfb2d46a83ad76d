"""The arms of every metric from the units themselves: whole, by segment and by day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

import numpy as np

from research.domain.analysis_rules import cap_of, strata_of
from research.domain.segments import BITS, FIRST, NOT_SET, segment_name
from research.domain.statistics.results import ArmData
from research.domain.unit_groups import grouped_events, grouped_points
from research.domain.unit_table import (
    Part,
    UnitTable,
    arms_of_events,
    arms_of_points,
    covariate_segments,
    points,
)
from research.models import Metric

from .result_rules import rule_of
from .results import PhaseData
from .segment_values import value_name, value_names
from .unit_columns import read_units

_EPOCH: Final = date(1970, 1, 1)
Arms = tuple[ArmData, ...]


@dataclass(frozen=True, slots=True)
class UnitArms:
    """Arms by metric; by segment and metric (``covariate:…`` of all, ``day:…`` of the primary one); where the
    values of winsorised metrics were cut. ``attributes`` by segment of an attribute (``attribute:…``) and metric, and
    ``attribute_units`` how many units of each variant are in each.
    """

    variants: tuple[str, ...]
    metrics: dict[str, Arms] = field(default_factory=dict)
    segments: dict[str, dict[str, Arms]] = field(default_factory=dict)
    caps: dict[str, float] = field(default_factory=dict)
    attributes: dict[str, dict[str, Arms]] = field(default_factory=dict)
    attribute_units: dict[str, dict[str, int]] = field(default_factory=dict)


def read_arms(data: PhaseData, tick: Callable[[], object] = lambda: None) -> UnitArms:
    """Every unit of the phase, read once; in one snapshot, if the caller has one."""
    table = read_units(data, tick)
    primary = next((metric for metric in data.metrics if metric.role == Metric.Role.PRIMARY), None)
    wide: dict[str, Part] = {}
    daily: dict[str, Part] = {}
    if primary is not None and primary.kind != Metric.Kind.QUANTILE:
        wide = covariate_segments(table, rule_of(primary).sources[0])
        daily = {f"day:{_EPOCH + timedelta(days=day)}": part for day, part in table.days.items()}
    made = UnitArms(table.variants)
    segments = _segments(made, data, table)
    for metric in data.metrics:
        parts = {**wide, **daily} if metric is primary else wide
        analysis = data.experiment.analysis
        by = strata_of(metric.kind, analysis)
        strata = list(table.days.values()) if by == "day" else list(wide.values()) if by else []
        _add(made, metric, table, parts, strata, cap_of(metric.kind, metric.winsorize, analysis), segments)
        tick()
    return made


Names = dict[str, dict[int, str]]
"""By attribute, the names of the segments that its numbers stand for."""


def _segments(made: UnitArms, data: PhaseData, table: UnitTable) -> Names:
    """Counts the units of every segment."""
    if not table.attributes:
        return {}
    values = value_names(data.experiment.pk)
    found: Names = {}
    for attribute, codes in table.attributes.items():
        names = values.get(attribute, {})
        present = {code: value_name(names, code) for code in np.unique(codes).tolist()}
        # By name, then what is other and what is not set.
        order = sorted(present, key=lambda code: (code < FIRST, code == NOT_SET, present[code]))
        found[attribute] = {code: segment_name(attribute, present[code]) for code in order}
        counts = [np.bincount(codes[run], minlength=1 << BITS) for run in table.whole.runs]
        for code, name in found[attribute].items():
            made.attributes[name] = {}
            made.attribute_units[name] = {
                variant: int(count[code]) for variant, count in zip(table.variants, counts, strict=True)
            }
    return found


def _add(
    made: UnitArms,
    metric: Metric,
    table: UnitTable,
    parts: dict[str, Part],
    strata: Sequence[Part],
    upper: float | None,
    segments: Names,
) -> None:
    if metric.kind == Metric.Kind.QUANTILE:
        q = metric.q if metric.q is not None else 0.5
        made.metrics[metric.key] = arms_of_events(table, metric.key, q)
        for name, part in parts.items():
            made.segments.setdefault(name, {})[metric.key] = arms_of_events(table, metric.key, q, part)
        for attribute, names in segments.items():
            for code, arms in grouped_events(table, metric.key, q, table.attributes[attribute]).items():
                made.attributes[names[code]][metric.key] = arms
        return
    found = points(table, rule_of(metric), upper)
    if found.cap is not None:
        made.caps[metric.key] = found.cap
    arms = arms_of_points(table, found)
    inside = [arms_of_points(table, found, part) for part in strata]
    made.metrics[metric.key] = tuple(
        replace(arm, strata=tuple(each[place].moments for each in inside)) for place, arm in enumerate(arms)
    )
    for name, part in parts.items():
        made.segments.setdefault(name, {})[metric.key] = arms_of_points(table, found, part)
    for attribute, names in segments.items():
        for code, inside_it in grouped_points(table, found, table.attributes[attribute]).items():
            made.attributes[names[code]][metric.key] = inside_it
