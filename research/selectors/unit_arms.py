"""The arms of every metric from the units themselves: whole, by segment and by day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Final

from research.domain.analysis_rules import cap_of, strata_of
from research.domain.statistics.results import ArmData
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
from .unit_columns import read_units

_EPOCH: Final = date(1970, 1, 1)
Arms = tuple[ArmData, ...]


@dataclass(frozen=True, slots=True)
class UnitArms:
    """Arms by metric; by segment and metric (``covariate:…`` of all, ``day:…`` of the primary one); where the
    values of winsorised metrics were cut.
    """

    variants: tuple[str, ...]
    metrics: dict[str, Arms] = field(default_factory=dict)
    segments: dict[str, dict[str, Arms]] = field(default_factory=dict)
    caps: dict[str, float] = field(default_factory=dict)


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
    for metric in data.metrics:
        parts = {**wide, **daily} if metric is primary else wide
        analysis = data.experiment.analysis
        by = strata_of(metric.kind, analysis)
        strata = list(table.days.values()) if by == "day" else list(wide.values()) if by else []
        _add(made, metric, table, parts, strata, cap_of(metric.kind, metric.winsorize, analysis))
        tick()
    return made


def _add(
    made: UnitArms,
    metric: Metric,
    table: UnitTable,
    parts: dict[str, Part],
    strata: Sequence[Part],
    upper: float | None,
) -> None:
    if metric.kind == Metric.Kind.QUANTILE:
        q = metric.q if metric.q is not None else 0.5
        made.metrics[metric.key] = arms_of_events(table, metric.key, q)
        for name, part in parts.items():
            made.segments.setdefault(name, {})[metric.key] = arms_of_events(table, metric.key, q, part)
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
