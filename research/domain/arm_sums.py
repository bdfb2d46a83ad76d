"""Shifted sums over the units of an arm, and what one unit adds to them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

from .statistics.moments import Moments
from .unit_values import UnitPoint

COUNTS: Final = 5
"""The first so many columns of :class:`Sums` are whole numbers."""
TOLERANCE: Final = 1e-9
"""How far sums of floats may be off, relative to the sum of the absolute values that were added up."""


class Shifts(NamedTuple):
    """What values, denominators and covariates are summed as distances from."""

    x: float = 0.0
    d: float = 0.0
    c: float = 0.0


class Sums(NamedTuple):
    """The columns of ``ArmSums``, each over the units that have all of what it is about."""

    x_units: int = 0
    d_units: int = 0
    c_units: int = 0
    xd_units: int = 0
    dc_units: int = 0
    x_sum: float = 0.0
    x_squares: float = 0.0
    d_sum: float = 0.0
    d_squares: float = 0.0
    c_sum: float = 0.0
    c_squares: float = 0.0
    xd: float = 0.0
    xc: float = 0.0
    dc: float = 0.0
    x_with_d: float = 0.0
    d_with_x: float = 0.0
    x_with_c: float = 0.0
    d_with_c: float = 0.0
    c_with_d: float = 0.0

    @property
    def units(self) -> int:
        """Units that have a value, a denominator or both."""
        return self.x_units + self.d_units - self.xd_units


NOTHING: Final = Sums()


def contribution(point: UnitPoint | None, shifts: Shifts) -> Sums:
    """What one unit is in the sums of its arm; nothing without a point."""
    if point is None:
        return NOTHING
    hx, hd, hc = point.x is not None, point.d is not None, point.c is not None
    x = 0.0 if point.x is None else point.x - shifts.x
    d = 0.0 if point.d is None else point.d - shifts.d
    c = 0.0 if point.c is None else point.c - shifts.c
    both, with_c = hx and hd, hd and hc
    return Sums(
        int(hx), int(hd), int(hc), int(both), int(with_c),
        x, x * x, d, d * d, c, c * c, x * d, x * c, d * c,
        x if both else 0.0, d if both else 0.0, x if hc else 0.0, d if with_c else 0.0, c if with_c else 0.0,
    )  # fmt: skip


def exact_total(parts: Iterable[Sums]) -> Sums:
    """The sum of ``parts``, each column correctly rounded, whatever their order."""
    columns = list(zip(*parts, strict=True))
    if not columns:
        return NOTHING
    counts = [sum(column) for column in columns[:COUNTS]]
    return Sums._make([*counts, *map(math.fsum, columns[COUNTS:])])


def difference(new: Sums, old: Sums) -> Sums:
    """What turns sums that contain ``old`` into sums that contain ``new``."""
    return Sums._make([a - b for a, b in zip(new, old, strict=True)])


def magnitudes(parts: Iterable[Sums]) -> Sums:
    """The sums of the absolute values of ``parts``: what rounding errors are measured against."""
    return exact_total(Sums._make(map(abs, part)) for part in parts)


def mean_covariate(arms: Iterable[Sums]) -> float:
    """The mean distance of covariates from their shift over all arms; 0 where there are none."""
    found = list(arms)
    units = sum(one.c_units for one in found)
    return math.fsum(one.c_sum for one in found) / units if units else 0.0


def filled(sums: Sums, shifts: Shifts, units: int, covariate: float = 0.0) -> Moments:
    """The moments of ``units`` units, at least those in the sums.

    A value or denominator that is missing counts as zero, a covariate as ``covariate``, a distance from its
    shift. A constant that is the same for every arm keeps an adjustment by the covariate unbiased; the mean
    over all arms (:func:`mean_covariate`) makes it the adjustment among the units that have one.
    """
    s, x, d, c = sums, -shifts.x, -shifts.d, covariate
    no_x, no_d, no_c = units - s.x_units, units - s.d_units, units - s.c_units
    # Units that have neither of two: inclusion and exclusion; who has a covariate has a value.
    no_xd, no_dc = no_x - s.d_units + s.xd_units, no_d - s.c_units + s.dc_units
    return Moments(
        units,
        shifts.x,
        s.x_sum + no_x * x,
        # What was added and taken away again may leave less than nothing.
        max(0.0, s.x_squares + no_x * x * x),
        shifts.d,
        s.d_sum + no_d * d,
        max(0.0, s.d_squares + no_d * d * d),
        shifts.c,
        s.c_sum + no_c * c,
        max(0.0, s.c_squares + no_c * c * c),
        s.xd + d * (s.x_sum - s.x_with_d) + x * (s.d_sum - s.d_with_x) + x * d * no_xd,
        s.xc + c * (s.x_sum - s.x_with_c) + x * c * no_x,
        s.dc + d * (s.c_sum - s.c_with_d) + c * (s.d_sum - s.d_with_c) + d * c * no_dc,
    )
