"""Whether a series has a season, and taking it out by classical decomposition.

The test and the indices are those of the Theta entry to the M3 competition: Makridakis & Hibon (2000),
"The M3-Competition: results, conclusions and implications", International Journal of Forecasting 16(4);
the decomposition is the textbook one, Hyndman & Athanasopoulos, "Forecasting: principles and practice",
3rd ed., section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .values import Array, Decomposition

PERIODS_NEEDED: Final = 3
"""Whole periods a history must hold before a season is looked for."""
Z_90: Final = 1.6448536269514722
"""The standard normal quantile of a two-sided test at 90 %."""
LEAST_SHARE: Final = 0.01
"""A value or an index of less than this share of the mean blows up what is divided by it: then the season is added."""


@dataclass(frozen=True, slots=True, eq=False)
class Season:
    """Indices by position in the period, shape ``(period,)``; they average 1 (multiplicative) or 0."""

    kind: Decomposition
    indices: Array

    @property
    def period(self) -> int:
        """Buckets of a whole period; 1 without a season."""
        return len(self.indices)

    def at(self, start: int, count: int) -> Array:
        """The indices of ``count`` buckets from position ``start`` of the series."""
        found: Array = self.indices[np.arange(start, start + count) % self.period]
        return found

    def remove(self, values: Array) -> Array:
        """``values``, a series from position 0, without the season."""
        indices = self.at(0, len(values))
        return values / indices if self.kind == "multiplicative" else values - indices

    def restore(self, values: Array, start: int) -> Array:
        """``values`` from position ``start`` with the season again."""
        indices = self.at(start, len(values))
        return values * indices if self.kind == "multiplicative" else values + indices

    def scale(self, start: int, count: int) -> Array:
        """By what an error of the series without season counts in each bucket of the series itself."""
        return self.at(start, count) if self.kind == "multiplicative" else np.ones(count)


def autocorrelations(values: Array, lags: int) -> Array:
    """Sample autocorrelations at lags 1 to ``lags``; zeros for a constant series."""
    apart = values - values.mean()
    square = float(apart @ apart)
    if square == 0:
        return np.zeros(lags)
    return np.array([apart[lag:] @ apart[:-lag] for lag in range(1, lags + 1)]) / square


def is_seasonal(values: Array, period: int) -> bool:
    """Whether the autocorrelation at ``period`` differs from 0 at 90 %, by Bartlett's formula.

    ``|r_m| > z * sqrt((1 + 2 * sum of r_i^2 for i < m) / n)``. False with fewer than three periods.
    """
    if period < 2 or len(values) < PERIODS_NEEDED * period:
        return False
    found = autocorrelations(values, period)
    bound = Z_90 * np.sqrt((1 + 2 * float(found[:-1] @ found[:-1])) / len(values))
    return bool(abs(found[-1]) > bound)


def season_of(values: Array, period: int) -> Season:
    """The season of ``values``: none if insignificant.

    Multiplicative where every value and every index is at least a hundredth of the mean, else additive.

    Indices are the means, over all periods, of the series divided by (or less) its centred moving average,
    normalised to average 1 (or 0).
    """
    if not is_seasonal(values, period):
        return Season("none", np.zeros(1))
    weights = np.full(period, 1 / period) if period % 2 else np.r_[0.5, np.ones(period - 1), 0.5] / period
    trend = np.convolve(values, weights, mode="valid")
    skipped = len(weights) // 2
    middle = values[skipped : skipped + len(trend)]
    positions = (np.arange(len(trend)) + skipped) % period
    counts = np.bincount(positions, minlength=period)
    if values.min() > LEAST_SHARE * values.mean() > 0:
        indices = np.bincount(positions, middle / trend, period) / counts
        indices /= indices.mean()
        if indices.min() >= LEAST_SHARE:
            return Season("multiplicative", indices)
    indices = np.bincount(positions, middle - trend, period) / counts
    return Season("additive", indices - indices.mean())
