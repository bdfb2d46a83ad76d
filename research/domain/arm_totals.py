"""Adding up the units of arms, however many, without keeping them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .arm_sums import NOTHING, Shifts, Sums, contribution, exact_total, magnitudes
from .sketch import bucket_of
from .unit_values import MetricRule, UnitPoint

_MANY: Final = 4096
QUANTILE: Final = "quantile"


class ArmKey(NamedTuple):
    """One row of sums but for its slot."""

    metric: int
    phase: int
    variant: int


@dataclass(slots=True)
class Total:
    """Sums, and the sums of the absolute values that went into them."""

    sums: Sums = NOTHING
    sizes: Sums = NOTHING
    waiting: list[Sums] = field(default_factory=list)

    def add(self, part: Sums) -> None:
        self.waiting.append(part)
        if len(self.waiting) >= _MANY:
            self.settle()

    def settle(self) -> None:
        """Take in what was added since the last time."""
        self.sums = exact_total([self.sums, *self.waiting])
        self.sizes = magnitudes([self.sizes, *self.waiting])
        self.waiting.clear()


@dataclass(slots=True)
class ArmTotals:
    """The sums and the counts of quantiles that units and results come to."""

    shifts: Mapping[tuple[int, int], Shifts]
    arms: dict[ArmKey, Total] = field(default_factory=lambda: defaultdict(Total))
    buckets: dict[tuple[ArmKey, int], int] = field(default_factory=lambda: defaultdict(int))

    def add_unit(self, rule: MetricRule, phase: int, variant: int, point: UnitPoint) -> None:
        """Take in the point of one unit."""
        shifts = Shifts() if rule.kind == QUANTILE else self.shifts.get((rule.id, phase), Shifts())
        self.arms[ArmKey(rule.id, phase, variant)].add(contribution(point, shifts))

    def add_results(self, rule: MetricRule, phase: int, variant: int, values: Iterator[float]) -> None:
        """Count the results of one unit for a quantile."""
        for value in values:
            self.buckets[ArmKey(rule.id, phase, variant), bucket_of(value)] += 1

    def settled(self) -> dict[ArmKey, Total]:
        """All sums, with everything taken in."""
        for total in self.arms.values():
            total.settle()
        return self.arms


@dataclass(slots=True)
class _Mean:
    count: int = 0
    total: float = 0.0


@dataclass(slots=True)
class Centres:
    """The means of every variable of every metric in every phase: where sums are best taken around."""

    means: dict[tuple[int, int, str], _Mean] = field(default_factory=lambda: defaultdict(_Mean))

    def add(self, rule: MetricRule, phase: int, point: UnitPoint) -> None:
        """Take in the point of one unit."""
        if rule.kind == QUANTILE:
            return
        for variable, value in zip(("x", "d", "c"), point, strict=True):
            if value is not None:
                mean = self.means[rule.id, phase, variable]
                mean.count += 1
                # Welford's update: stays near the data where a sum would run away from it.
                mean.total += (value - mean.total) / mean.count

    def found(self) -> dict[tuple[int, int, str], float]:
        """The centres, finite ones only."""
        return {key: mean.total for key, mean in self.means.items() if math.isfinite(mean.total)}


def shifts_of(stored: Mapping[tuple[int, int, str], float]) -> dict[tuple[int, int], Shifts]:
    """Shifts by metric and phase, from one number per variable."""
    return {
        (metric, phase): Shifts(*(stored.get((metric, phase, name), 0.0) for name in ("x", "d", "c")))
        for metric, phase, _ in stored
    }
