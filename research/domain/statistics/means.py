"""Means and counts per unit: Welch's test of two averages with unequal variances."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtr, ndtri, stdtr, stdtrit

from .moments import Moments
from .values import ArmSummary, Interval, Undefined, check_alpha

# Above this many degrees of freedom Student's t and the normal agree to 1e-8 in what is shown.
NORMAL_FROM = 1e9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference of two arms, treatment minus baseline, in the unit of the metric."""

    effect: float
    standard_error: float
    degrees_of_freedom: float
    interval: Interval
    p_value: float


def mean_summary(arm: Moments) -> ArmSummary | Undefined:
    """Mean and variance (n - 1) of the value of one unit."""
    if not arm.n:
        return Undefined("empty_arm")
    if arm.variance is None or arm.mean is None:
        return Undefined("one_unit")
    return checked(arm.n, arm.mean, arm.variance)


def checked(n: int, mean: float, variance: float) -> ArmSummary | Undefined:
    """The summary, or the reason when the numbers have overflowed."""
    if not (math.isfinite(mean) and math.isfinite(variance)):
        return Undefined("overflow")
    return ArmSummary(n, mean, variance)


def welch_degrees_of_freedom(baseline: ArmSummary, treatment: ArmSummary) -> float:
    """Welch-Satterthwaite: ``(a + b)^2 / (a^2/(n_a - 1) + b^2/(n_b - 1))``, a and b the squared errors.

    Welch (1947), "The generalization of Student's problem when several different population variances are
    involved". Variances with n - 1, not pooled. Scaled by the larger error, so that it cannot overflow.
    """
    a, b = baseline.error, treatment.error
    largest = max(a, b)
    a, b = a / largest, b / largest
    # An arm of known variance (a single unit cannot get here, but a linearised one may) adds nothing.
    below = a * a / max(baseline.n - 1, 1) + b * b / max(treatment.n - 1, 1)
    return (a + b) ** 2 / below


def welch(baseline: ArmSummary, treatment: ArmSummary, alpha: float) -> Estimate | Undefined:
    """Difference of means with its two-sided interval and p-value by Student's t at Welch's df.

    The same serves counts (per-unit counts, so that overdispersion is in the variance) and linearised ratios.
    """
    error = baseline.error + treatment.error
    if error <= 0:
        return Undefined("zero_variance")
    degrees = welch_degrees_of_freedom(baseline, treatment)
    return estimate(treatment.mean - baseline.mean, math.sqrt(error), degrees, alpha)


def estimate(effect: float, standard_error: float, degrees: float, alpha: float) -> Estimate | Undefined:
    """Effect +- t standard errors, and 2 P(T > |effect| / error); the normal for infinite ``degrees``."""
    if standard_error <= 0:
        return Undefined("zero_variance")
    score = effect / standard_error
    width = critical_value(degrees, alpha) * standard_error
    if not (math.isfinite(score) and math.isfinite(width)):
        return Undefined("overflow")
    return Estimate(
        effect, standard_error, degrees, Interval(effect - width, effect + width), two_sided(score, degrees)
    )


def critical_value(degrees: float, alpha: float) -> float:
    """The two-sided critical value of Student's t, of the normal for infinite ``degrees``."""
    half = check_alpha(alpha) / 2
    return -float(ndtri(half) if degrees > NORMAL_FROM else stdtrit(degrees, half))


def two_sided(score: float, degrees: float = math.inf) -> float:
    """2 P(T > |score|)."""
    tail = ndtr(-abs(score)) if degrees > NORMAL_FROM else stdtr(degrees, -abs(score))
    return 2 * float(tail)
