"""Capping extreme unit values at percentiles of both arms together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Values below ``low`` count as ``low``, values above ``high`` as ``high``; None leaves that side alone."""

    low: float | None
    high: float | None

    def apply(self, values: ArrayLike) -> NDArray[np.float64]:
        column = np.asarray(values, dtype=np.float64)
        if self.low is None and self.high is None:
            return column
        return np.clip(column, self.low, self.high)


def thresholds(
    values: ArrayLike, lower: float = 0.0, upper: float = 1.0, *, ignore_zeros: bool = False
) -> Thresholds:
    """Percentiles ``lower`` and ``upper`` of the pooled units of *all* arms (Hyndman & Fan 1996 type 7,
    linear).

    Pooled, so that every arm is capped at the same value and an A/A test stays one. 0 and 1 mean no cap.
    ``ignore_zeros`` takes the percentiles of the units with any value, for metrics that most units lack.
    ValueError unless 0 <= lower < upper <= 1 and the values are finite.
    """
    if not 0 <= lower < upper <= 1:
        raise ValueError(f"winsorising needs 0 <= lower < upper <= 1, not {lower} and {upper}")
    column = np.asarray(values, dtype=np.float64)
    if not np.isfinite(column).all():
        raise ValueError("values must be finite")
    if ignore_zeros:
        column = column[column != 0]
    if not len(column):
        return Thresholds(None, None)
    low, high = np.quantile(column, [lower, upper])
    return Thresholds(None if lower == 0 else float(low), None if upper == 1 else float(high))
