"""Quantiles of events (p95 latency): order-statistic intervals, clustered by the unit of assignment."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from .values import ArmSummary, Undefined

SPACING_ALPHA = 0.05
"""The order statistics that give the standard error stand at this two-sided level."""


@dataclass(frozen=True, slots=True)
class QuantileStatistics:
    """A quantile of one arm's events with the order statistics around it, as the analysis stores it."""

    q: float
    units: int
    events: int
    estimate: float | None
    low: float | None
    high: float | None

    def summary(self) -> ArmSummary | Undefined:
        """Estimate and variance per unit: ``SE = (high - low) / (2 z)`` of the order-statistic interval."""
        if not self.events or self.estimate is None:
            return Undefined("empty_arm")
        if self.q in (0.0, 1.0):
            return Undefined("extreme_quantile")
        if self.units < 2:
            return Undefined("one_unit")
        if self.low is None or self.high is None:
            return Undefined("too_few_events")
        error = (self.high - self.low) / (2 * -float(ndtri(SPACING_ALPHA / 2)))
        return ArmSummary(self.units, self.estimate, error * error * self.units)


def quantile_of(values: ArrayLike, q: float, units: ArrayLike | None = None) -> QuantileStatistics:
    """The ``q`` quantile of all events of an arm, ``units`` naming the unit of each event.

    The estimate is the smallest value with at least ``q`` of the events at or below it (inverse of the
    empirical distribution, Hyndman & Fan 1996 type 1). The interval is the order statistics at ``q -+ z
    SE(F)``, F being the share of events at or below the estimate: a ratio of per-unit sums, whose error
    comes from the per-unit indicator at the estimate by the delta method (Deng, Knoblich & Lu 2018, section
    4; divisor n - 1). With one event per unit this is the binomial ``q (1 - q) / n``, which is taken over units where
    all values are equal as well. Ranks beyond the sample give no interval. ValueError for q outside [0, 1].
    """
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile must lie between 0 and 1, not {q}")
    events = np.asarray(values, dtype=np.float64)
    if events.ndim != 1 or not np.isfinite(events).all():
        raise ValueError("values must be a list of finite numbers")
    n = len(events)
    owners = None if units is None else np.asarray(units)
    if owners is not None and owners.shape != events.shape:
        raise ValueError("every value needs the unit it belongs to")
    if not n:
        return QuantileStatistics(q, 0, 0, None, None, None)
    ordered = np.sort(events)
    at = float(ordered[max(0, math.ceil(q * n - 1e-9) - 1)])
    if owners is None:
        count, spread = n, q * (1 - q) / n
    else:
        _, index = np.unique(owners, return_inverse=True)
        sizes = np.bincount(index).astype(np.float64)
        count = len(sizes)
        below = np.bincount(index, weights=events <= at)
        share = below.sum() / n
        residuals = below - share * sizes
        # Squared error of the share: sum of squared residuals, n - 1 correction, over the squared total.
        spread = float(residuals @ residuals) * count / max(count - 1, 1) / (n * n)
    if q in (0.0, 1.0):
        return QuantileStatistics(q, count, n, at, None, None)
    if ordered[0] == ordered[-1]:
        # The indicator is 1 for all; ranks of independent units say whether there are enough of them.
        spread = q * (1 - q) / count
    reach = -float(ndtri(SPACING_ALPHA / 2)) * math.sqrt(spread)
    first, last = math.floor(n * (q - reach)), math.ceil(n * (q + reach))
    if first < 1 or last > n or spread <= 0:
        return QuantileStatistics(q, count, n, at, None, None)
    return QuantileStatistics(q, count, n, at, float(ordered[first - 1]), float(ordered[last - 1]))
