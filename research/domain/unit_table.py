"""The units of a phase as columns, and what a metric's arms come to over any part of them.

Agrees with ``arm_sums.filled``: what is missing counts as zero or leaves the unit out, as the metric says, and a
missing covariate stands as the mean of all that have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .statistics.moments import Moments, moments_of
from .statistics.quantiles import quantile_of
from .statistics.results import ArmData
from .statistics.winsorizing import thresholds
from .unit_values import MetricRule

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the units: a run of places for each arm, and of those in it the ones in ``mask``."""

    runs: tuple[slice, ...]
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class UnitTable:
    """Units arm by arm, those of an arm day by day, so that an arm and each of its days is a run of places.

    ``entities`` are their numbers in ascending order and ``order`` where each of these units has its place.
    ``values`` has per source a column for each way to take its value (``rule.aggregate``) and the covariate where
    there is one, NaN where a unit has none; ``events`` per quantile the unit's place and the value of each result;
    ``attributes`` per attribute that segments are told apart by the number of each unit's value.
    """

    entities: Integers
    order: Integers
    whole: Part
    days: Mapping[int, Part]
    variants: tuple[str, ...]
    values: dict[str, dict[str, Floats]] = field(default_factory=dict)
    events: dict[str, tuple[Integers, Floats]] = field(default_factory=dict)
    attributes: dict[str, Integers] = field(default_factory=dict)

    def places(self, entities: Integers) -> tuple[Integers, Mask | None]:
        """Places of those units that are in the table, and which these are; None for all."""
        if np.array_equal(entities, self.entities):
            return self.order, None
        found = np.searchsorted(self.entities, entities)
        inside = found < len(self.entities)
        inside[inside] = self.entities[found[inside]] == entities[inside]
        return self.order[found[inside]], inside


def unit_table(entities: Integers, arms: Integers, days: Integers, variants: Sequence[str]) -> UnitTable:
    """The table of units given in ascending order, each with its arm's place and the day of its first exposure,
    counted from 1970.
    """
    known = np.unique(days)
    stride = len(known) + 1
    keys = arms * stride + np.searchsorted(known, days)
    sequence = np.argsort(keys.astype(np.uint16) if len(variants) * stride < 1 << 16 else keys, kind="stable")
    order = np.empty_like(entities)
    order[sequence] = np.arange(len(entities))
    edges = np.searchsorted(keys[sequence], np.arange(len(variants) * stride + 1)).tolist()

    def runs(first: int, last: int) -> tuple[slice, ...]:
        starts = range(0, len(variants) * stride, stride)
        return tuple(slice(edges[start + first], edges[start + last]) for start in starts)

    parts = {day: Part(runs(place, place + 1)) for place, day in enumerate(known.tolist())}
    return UnitTable(entities, order, Part(runs(0, stride)), parts, tuple(variants))


@dataclass(frozen=True, slots=True)
class Points:
    """Value, denominator and covariate of units, the latter two None where there are none at all.

    ``counted`` are the units that count for a metric, None for all; ``cap`` is where values were cut.
    """

    counted: Mask | None
    x: Floats
    d: Floats | None
    c: Floats | None
    cap: float | None = None


def column(table: UnitTable, source: str, how: str) -> Floats:
    """The values of units from one source, NaN without any."""
    found = table.values.get(source, {}).get(how)
    return np.full(len(table.entities), np.nan) if found is None else found


def points(table: UnitTable, rule: MetricRule, upper: float | None = None) -> Points:
    """The points of a metric that is not a quantile; values above the ``upper`` percentile of those there are, of
    all arms together, count as it.
    """
    x = column(table, rule.sources[0], rule.aggregate)
    c = table.values.get(rule.sources[0], {}).get("covariate")
    d = column(table, rule.sources[1], rule.aggregate) if len(rule.sources) > 1 else None
    cap = None
    if upper is not None:
        edge = thresholds(x[~np.isnan(x)], 0.0, upper)
        cap, x = edge.high, edge.apply(x)
    counted: Mask | None = None
    lacking = np.isnan(x) if d is None else np.isnan(x) | np.isnan(d)
    if lacking.any():
        if rule.missing == "zero":
            x = np.nan_to_num(x, nan=0.0)
            d = None if d is None else np.nan_to_num(d, nan=0.0)
        else:
            counted = ~lacking
    return Points(counted, x, d, None if c is None else _with_mean(c, counted), cap)


def _with_mean(c: Floats, counted: Mask | None) -> Floats | None:
    """Missing covariates as the mean of those of units that count; None without any."""
    unknown = np.isnan(c)
    known = (
        c if not unknown.any() and counted is None else c[~unknown if counted is None else counted & ~unknown]
    )
    if not len(known):
        return None
    return np.where(unknown, known.mean(), c) if unknown.any() else c


def arms_of_points(table: UnitTable, found: Points, part: Part | None = None) -> tuple[ArmData, ...]:
    """The arms over all units that count, or over those of ``part``."""
    part = part or table.whole
    made = []
    for variant, run in zip(table.variants, part.runs, strict=True):
        columns = [None if each is None else each[run] for each in (found.x, found.d, found.c)]
        masks = [each[run] for each in (found.counted, part.mask) if each is not None]
        if masks:
            mine = np.flatnonzero(np.logical_and.reduce(masks))
            columns = [None if each is None else each[mine] for each in columns]
        x, d, c = columns
        assert x is not None
        made.append(ArmData(variant, moments_of(x, d, c) if len(x) else Moments(0)))
    return tuple(made)


def arms_of_events(table: UnitTable, key: str, q: float, part: Part | None = None) -> tuple[ArmData, ...]:
    """The arms of a quantile, from every result of the units in ``part``."""
    places, values = table.events.get(key, (np.empty(0, np.int64), np.empty(0)))
    part = part or table.whole
    made = []
    for variant, run in zip(table.variants, part.runs, strict=True):
        mine = (places >= run.start) & (places < run.stop)
        if part.mask is not None:
            mine &= part.mask[places]
        made.append(ArmData(variant, quantile=quantile_of(values[mine], q, places[mine])))
    return tuple(made)


def covariate_segments(table: UnitTable, source: str) -> dict[str, Part]:
    """Units by what was measured before the exposure: none, up to the median of all, above it."""
    c = column(table, source, "covariate")
    unknown = np.isnan(c)
    if unknown.all():
        return {}
    low = c <= float(np.median(c[~unknown]))
    masks = {"none": unknown, "low": low, "high": ~(unknown | low)}
    return {f"covariate:{name}": Part(table.whole.runs, mask) for name, mask in masks.items()}


def far_off(shift: float, mean: float, variance: float) -> bool:
    """Whether sums around ``shift`` have lost six digits of the variance or more."""
    return (shift - mean) ** 2 > 1e6 * variance > 0
