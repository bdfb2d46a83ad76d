"""Signs that an experiment cannot be trusted: imbalance before exposure, units in two arms, effects that
fade.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import chdtrc, fdtrc

from .moments import Moments
from .values import ArmSummary, Undefined

IMBALANCE_ALPHA = 0.001
DOUBLE_EXPOSURE_LIMIT = 0.01
NOVELTY_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Balance:
    """Whether a covariate from before the exposure has the same mean in all arms."""

    p_value: float
    ok: bool
    f_statistic: float
    largest_difference: float


def covariate_balance(arms: Sequence[Moments]) -> Balance | Undefined:
    """Welch's one-way analysis of variance on the covariate (Welch 1951, "On the comparison of several mean values").

    Weights n / s^2, divisor n - 1, not pooled; for two arms the square of Welch's t. ``largest_difference``
    is the largest gap of two means in pooled standard deviations. Off balance at p < 0.001.
    """
    if len(arms) < 2 or any(not arm.n for arm in arms):
        return Undefined("empty_arm")
    if any(arm.n < 2 for arm in arms):
        return Undefined("one_unit")
    means = [arm.covariate_mean or 0.0 for arm in arms]
    spreads = [arm.covariate_variance or 0.0 for arm in arms]
    if min(spreads) <= 0:
        return Undefined("no_covariate")
    k = len(arms)
    weights = [arm.n / spread for arm, spread in zip(arms, spreads)]
    total = math.fsum(weights)
    centre = means[0] + math.fsum(w * (mean - means[0]) for w, mean in zip(weights, means)) / total
    between = math.fsum(w * (mean - centre) ** 2 for w, mean in zip(weights, means)) / (k - 1)
    leftover = math.fsum((1 - w / total) ** 2 / (arm.n - 1) for w, arm in zip(weights, arms))
    statistic = between / (1 + 2 * (k - 2) / (k * k - 1) * leftover)
    degrees = (k * k - 1) / (3 * leftover)
    p_value = float(fdtrc(k - 1, degrees, statistic))
    inside = math.fsum((arm.n - 1) * spread for arm, spread in zip(arms, spreads))
    pooled = math.sqrt(inside / (sum(arm.n for arm in arms) - k))
    return Balance(p_value, p_value >= IMBALANCE_ALPHA, statistic, (max(means) - min(means)) / pooled)


@dataclass(frozen=True, slots=True)
class DoubleExposure:
    """Units seen in two variants: ``share`` of all exposed units, ok up to 1 %."""

    share: float | None
    ok: bool


def double_exposure(units_in_two: int, units: int) -> DoubleExposure:
    """The share of exposed units that met more than one variant; None without units."""
    if not 0 <= units_in_two <= units:
        raise ValueError("units in two variants must be among the exposed units")
    if not units:
        return DoubleExposure(None, True)
    share = units_in_two / units
    return DoubleExposure(share, share <= DOUBLE_EXPOSURE_LIMIT)


@dataclass(frozen=True, slots=True)
class Novelty:
    """How the effect changes with time: ``slope`` per period, ``p_value`` of no change at all,
    ``trend_p_value`` of no slope.

    ``fades`` when the slope pulls the effect towards zero and is significant at 5 %.
    """

    slope: float
    trend_p_value: float
    p_value: float
    fades: bool
    periods: int


def novelty(periods: Sequence[tuple[ArmSummary, ArmSummary]]) -> Novelty | Undefined:
    """Effects of periods of exposure (baseline, treatment), in order: their heterogeneity and weighted trend.

    Inverse-variance weights: Cochran's Q with k - 1 degrees of freedom (Cochran 1954) and the slope of the
    weighted regression on the period's number with known variances, ``SE^2 = 1 / sum of w (t - mean t)^2``,
    normal. Periods with fewer than two units in an arm or without spread are left out; three are needed.
    """
    points = [
        (float(index), treatment.mean - baseline.mean, baseline.error + treatment.error)
        for index, (baseline, treatment) in enumerate(periods)
        if min(baseline.n, treatment.n) >= 2
    ]
    points = [one for one in points if one[2] > 0]
    if len(points) < 3:
        return Undefined("too_few_units")
    weights = [1 / error for _, _, error in points]
    total = math.fsum(weights)
    middle = math.fsum(w * t for w, (t, _, _) in zip(weights, points)) / total
    effect = math.fsum(w * d for w, (_, d, _) in zip(weights, points)) / total
    reach = math.fsum(w * (t - middle) ** 2 for w, (t, _, _) in zip(weights, points))
    slope = math.fsum(w * (t - middle) * (d - effect) for w, (t, d, _) in zip(weights, points)) / reach
    spread = math.fsum(w * (d - effect) ** 2 for w, (_, d, _) in zip(weights, points))
    trend = float(chdtrc(1, slope * slope * reach))
    return Novelty(
        slope,
        trend,
        float(chdtrc(len(points) - 1, spread)),
        trend < NOVELTY_ALPHA and slope * effect < 0,
        len(points),
    )
