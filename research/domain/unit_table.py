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
COLUMNS = ("count", "total", "largest", "last", "covariate")


@dataclass(frozen=True, slots=True)
class UnitTable:
    """Units in ascending order of their numbers, each with its arm's place and the day of its first exposure.

    ``values`` has per source a column for each of ``COLUMNS``, NaN where a unit has none; ``events`` per quantile
    the unit's place and the value of each result.
    """

    entities: Integers
    arms: Integers
    days: Integers
    variants: tuple[str, ...]
    values: dict[str, Floats] = field(default_factory=dict)
    events: dict[str, tuple[Integers, Floats]] = field(default_factory=dict)

    def places(self, entities: Floats) -> tuple[Integers, Mask]:
        """Where units stand, and which of them are in the table at all."""
        wanted = entities.astype(np.int64)
        found = np.searchsorted(self.entities, wanted).astype(np.int64)
        inside = found < len(self.entities)
        inside[inside] = self.entities[found[inside]] == wanted[inside]
        return found, inside


@dataclass(frozen=True, slots=True)
class Points:
    """Value, denominator and covariate of the units that count for a metric; ``cap`` is where values were cut."""

    counted: Mask
    x: Floats
    d: Floats
    c: Floats
    cap: float | None = None


def column(table: UnitTable, source: str, how: str) -> Floats:
    """The values of units from one source, NaN without any."""
    rows = table.values.get(source)
    if rows is None:
        return np.full(len(table.entities), np.nan)
    count, total, largest, last, covariate = rows
    by_name: dict[str, Floats] = {
        "mean": total / count,
        "sum": total,
        "max": largest,
        "last": last,
        "covariate": covariate,
    }
    return by_name[how]


def points(table: UnitTable, rule: MetricRule, upper: float | None = None) -> Points:
    """The points of a metric that is not a quantile; values above the ``upper`` percentile of those there are, of
    all arms together, count as it.
    """
    x = column(table, rule.sources[0], rule.aggregate)
    c = column(table, rule.sources[0], "covariate")
    ratio = len(rule.sources) > 1
    d = column(table, rule.sources[1], rule.aggregate) if ratio else np.zeros_like(x)
    cap = None
    if upper is not None:
        edge = thresholds(x[~np.isnan(x)], 0.0, upper)
        cap, x = edge.high, edge.apply(x)
    if rule.missing == "zero":
        counted = np.ones(len(x), dtype=bool)
        x, d = np.nan_to_num(x, nan=0.0), np.nan_to_num(d, nan=0.0)
    else:
        counted = ~np.isnan(x) & ~np.isnan(d)
    known = c[counted & ~np.isnan(c)]
    mean = float(known.mean()) if len(known) else 0.0
    return Points(counted, x, d, np.where(np.isnan(c), mean, c), cap)


def arms_of_points(table: UnitTable, found: Points, part: Mask | None = None) -> tuple[ArmData, ...]:
    """The arms over all units that count, or over those of ``part``."""
    counted = found.counted if part is None else found.counted & part
    made = []
    for place, variant in enumerate(table.variants):
        mine = counted & (table.arms == place)
        moments = moments_of(found.x[mine], found.d[mine], found.c[mine]) if mine.any() else Moments(0)
        made.append(ArmData(variant, moments))
    return tuple(made)


def arms_of_events(table: UnitTable, key: str, q: float, part: Mask | None = None) -> tuple[ArmData, ...]:
    """The arms of a quantile, from every result of the units in ``part``."""
    places, values = table.events.get(key, (np.empty(0, np.int64), np.empty(0)))
    kept = np.ones(len(places), dtype=bool) if part is None else part[places]
    made = []
    for place, variant in enumerate(table.variants):
        mine = kept & (table.arms[places] == place)
        made.append(ArmData(variant, quantile=quantile_of(values[mine], q, places[mine])))
    return tuple(made)


def covariate_segments(table: UnitTable, source: str) -> dict[str, Mask]:
    """Units by what was measured before the exposure: none, up to the median of all, above it."""
    c = column(table, source, "covariate")
    unknown = np.isnan(c)
    if unknown.all():
        return {}
    middle = float(np.median(c[~unknown]))
    return {
        "covariate:none": unknown,
        "covariate:low": ~unknown & (c <= middle),
        "covariate:high": ~unknown & (c > middle),
    }


def day_parts(table: UnitTable) -> Mapping[int, Mask]:
    """The units of each day of first exposure, in order; days count from 1970."""
    return {int(day): table.days == day for day in np.unique(table.days)}


def far_off(shift: float, mean: float, variance: float) -> bool:
    """Whether sums around ``shift`` have lost six digits of the variance or more."""
    return (shift - mean) ** 2 > 1e6 * variance > 0


def variants_places(variants: Sequence[int]) -> dict[int, int]:
    """The place of each variant by its number."""
    return {number: place for place, number in enumerate(variants)}
