"""What a metric's arms come to in each group of units, all groups at once."""

from __future__ import annotations

import numpy as np

from .statistics.moments import Moments
from .statistics.results import ArmData
from .unit_table import Floats, Integers, Part, Points, UnitTable, arms_of_events

Arms = tuple[ArmData, ...]


def grouped_points(table: UnitTable, found: Points, codes: Integers) -> dict[int, Arms]:
    """By each of ``codes`` (one for each unit, small whole numbers) the arms over the units that have it.

    One pass over the units for each sum, however many groups; sums are around the means of the whole arm.
    """
    present = np.unique(codes).tolist()
    made: dict[int, list[ArmData]] = {code: [] for code in present}
    for variant, run in zip(table.variants, table.whole.runs, strict=True):
        mine = codes[run]
        columns = [None if each is None else each[run] for each in (found.x, found.d, found.c)]
        if found.counted is not None:
            counted = np.flatnonzero(found.counted[run])
            mine = mine[counted]
            columns = [None if each is None else each[counted] for each in columns]
        groups = _moments(mine, *columns, count=present[-1] + 1 if present else 0)
        for code in present:
            made[code].append(ArmData(variant, groups[code]))
    return {code: tuple(arms) for code, arms in made.items()}


def grouped_events(table: UnitTable, key: str, q: float, codes: Integers) -> dict[int, Arms]:
    """The same of a quantile."""
    return {
        code: arms_of_events(table, key, q, Part(table.whole.runs, codes == code))
        for code in np.unique(codes).tolist()
    }


def _moments(
    codes: Integers, x: Floats | None, d: Floats | None, c: Floats | None, *, count: int
) -> list[Moments]:
    def sums(weights: Floats | None) -> list[float]:
        if weights is None:
            return [0.0] * count
        return [float(each) for each in np.bincount(codes, weights, count)]

    def centred(column: Floats | None) -> tuple[float, Floats | None]:
        if column is None or not len(column):
            return 0.0, None
        # Around the first value: the mean of numbers near the largest float would overflow.
        shift = float(column[0] + (column - column[0]).mean())
        return shift, column - shift

    (kx, x_), (kd, d_), (kc, c_) = centred(x), centred(d), centred(c)

    def product(one: Floats | None, other: Floats | None) -> list[float]:
        return sums(None if one is None or other is None else one * other)

    units = np.bincount(codes, minlength=count).tolist()
    columns = zip(
        units, sums(x_), product(x_, x_), sums(d_), product(d_, d_), sums(c_), product(c_, c_),
        product(x_, d_), product(x_, c_), product(d_, c_), strict=True,
    )  # fmt: skip
    return [
        Moments(n, kx, sx, sxx, kd, sd, sdd, kc, sc, scc, xd, xc, dc) if n else Moments(0)
        for n, sx, sxx, sd, sdd, sc, scc, xd, xc, dc in columns
    ]
