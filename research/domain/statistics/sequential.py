"""Always-valid inference: asymptotic confidence sequences, valid at every look, however many there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .values import ArmSummary, Interval, Undefined, check_alpha

MINIMUM_UNITS = 30
"""Units an arm needs before the normal approximation behind the sequence is used."""

TUNING_N = 5000
"""Units of both arms at which the sequence is tightest."""


@dataclass(frozen=True, slots=True)
class Sequential:
    """The interval that holds at all looks at once, and the p-value that may be read at any time."""

    interval: Interval
    p_value: float
    critical_value: float


def mixture_rate(alpha: float, tuning_n: float) -> float:
    """r = N* / (-2 ln alpha + ln(1 - 2 ln alpha)), in units: the mixture that is tightest near N* units.

    Howard, Ramdas, McAuliffe & Sekhon (2021), "Time-uniform, nonparametric, nonasymptotic confidence sequences",
    section 3.5, with the first-order solution of the Lambert W; ``rho^2 = 1 / r`` in Waudby-Smith et al.
    """
    if not tuning_n > 0 or math.isinf(tuning_n):
        raise ValueError(f"the sequence must be tuned for a positive number of units, not {tuning_n}")
    twice = -2 * math.log(check_alpha(alpha))
    return tuning_n / (twice + math.log(1 + twice))


def critical_value(n: float, alpha: float, tuning_n: float = TUNING_N) -> float:
    """Half-width in standard errors at ``n`` units of both arms: ``sqrt((n + r)/n ln((n + r)/(r alpha^2)))``.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit theory and asymptotic
    confidence sequences", equation 9, two-sided; the standard error has the divisor n - 1 and is not pooled.
    """
    rate = mixture_rate(alpha, tuning_n)
    growth = n / rate + 1
    return math.sqrt(growth * rate / n * (math.log(growth) - 2 * math.log(alpha)))


def always_valid_p(z: float, n: float, alpha: float, tuning_n: float = TUNING_N) -> float:
    """``min(1, sqrt(k) exp(-z^2 (k - 1) / (2 k)))`` with ``k = n / r + 1``: the inverted sequence at fixed r.

    At most ``alpha`` exactly when the sequence at ``alpha`` excludes 0. The mixture r belongs to ``alpha``.
    """
    growth = n / mixture_rate(alpha, tuning_n) + 1
    return math.exp(min(0.0, math.log(growth) / 2 - z * z * (growth - 1) / (2 * growth)))


def confidence_sequence(
    baseline: ArmSummary, treatment: ArmSummary, alpha: float, tuning_n: float = TUNING_N
) -> Sequential | Undefined:
    """The confidence sequence of the difference of two averages at its present number of units."""
    if min(baseline.n, treatment.n) < MINIMUM_UNITS:
        return Undefined("too_few_units")
    error = baseline.error + treatment.error
    if error <= 0:
        return Undefined("zero_variance")
    spread, effect, n = math.sqrt(error), treatment.mean - baseline.mean, baseline.n + treatment.n
    critical = critical_value(n, alpha, tuning_n)
    score = effect / spread
    if not math.isfinite(score * score) or not math.isfinite(critical * spread):
        return Undefined("overflow")
    return Sequential(
        Interval(effect - critical * spread, effect + critical * spread),
        always_valid_p(score, n, alpha, tuning_n),
        critical,
    )
