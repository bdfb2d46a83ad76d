"""Bayesian answers: the chance to beat the baseline and what choosing wrongly is expected to cost.

They answer "what do I believe now", and do not protect against peeking: stopping when the chance looks good finds
winners among equals more often than the chance says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import betainc, betaincc, betaln, erfcx, ndtr, ndtri

from .values import Direction, Interval, Scale, Undefined, check_alpha, check_finite

PEEKING = "This does not protect against peeking."


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """A normal belief about the effect before the data; ``relative`` ones are fractions of |baseline|."""

    mean: float = 0.0
    sd: float = 0.3
    scale: Scale = "relative"

    def __post_init__(self) -> None:
        check_finite("a prior", self.mean, self.sd)
        if self.sd <= 0:
            raise ValueError("the standard deviation of a prior must be positive")


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """A beta belief about the share of each arm before the data; (1, 1) is flat."""

    alpha: float = 1.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_finite("a prior", self.alpha, self.beta)
        if min(self.alpha, self.beta) <= 0:
            raise ValueError("both parameters of a beta prior must be positive")


@dataclass(frozen=True, slots=True)
class Bayesian:
    """``chance_to_beat`` is towards the metric's direction; ``expected_loss`` in the unit of the metric.

    The loss is what is expected to be lost by choosing the treatment if it is in truth the worse one.
    """

    chance_to_beat: float
    expected_loss: float
    mean: float
    interval: Interval


def normal(
    effect: float,
    standard_error: float,
    alpha: float,
    direction: Direction,
    *,
    prior: NormalPrior | None = None,
    baseline: float = 1.0,
) -> Bayesian | Undefined:
    """Normal posterior of the effect; without a prior flat, so that the posterior is N(effect, SE^2).

    Precision-weighted with a prior N(m0, s0^2), times |``baseline``| for a relative one. Chance = Phi(mu / s);
    loss = E[max(-d, 0)] = s phi(mu/s) - mu Phi(-mu/s), in closed form (Gelman et al., "Bayesian data analysis", section
    2.5; the loss as in Stucchio 2015, "Bayesian A/B testing at VWO"). Both towards ``direction``.
    """
    if standard_error <= 0:
        return Undefined("zero_variance")
    mean, sd = effect, standard_error
    if prior is not None:
        factor = abs(baseline) if prior.scale == "relative" else 1.0
        before = prior.sd * factor
        if before == 0:
            return Undefined("zero_baseline")
        # Precision weights as a ratio of spreads, which neither overflow nor vanish.
        weight = 1 / (1 + (sd / before) * (sd / before))
        mean = weight * effect + (1 - weight) * prior.mean * factor
        sd = before * (sd / math.hypot(sd, before))
    towards = mean if direction == "increase" else -mean
    score = towards / sd
    if not math.isfinite(score):
        return Undefined("overflow")
    width = -float(ndtri(check_alpha(alpha) / 2)) * sd
    return Bayesian(float(ndtr(score)), sd * _normal_loss(score), mean, Interval(mean - width, mean + width))


def _normal_loss(score: float) -> float:
    """phi(z) - z Phi(-z); for z > 0 as phi(z) (1 - z M(z)) with Mills' ratio M, where both terms are tiny."""
    density = math.exp(-0.5 * score * score) / math.sqrt(2 * math.pi)
    if score <= 0:
        return density - score * float(ndtr(-score))
    return density * max(0.0, 1 - score * math.sqrt(math.pi / 2) * float(erfcx(score / math.sqrt(2))))


def beta_binomial(
    baseline: tuple[int, int],
    treatment: tuple[int, int],
    alpha: float,
    direction: Direction,
    prior: BetaPrior | None = None,
) -> Bayesian | Undefined:
    """Posteriors Beta(a + events, b + others) per arm, arms given as (events, units).

    ``P(T > C) = integral of f_T F_C`` and ``loss = E[max(C - T, 0)]`` by quadrature: the narrower posterior is
    integrated over its log-odds, where its density is analytic and the trapezoid rule converges exponentially
    (Trefethen & Weideman 2014), and the other arm enters by its incomplete beta function. The
    interval of the difference is the normal one from both posterior means and variances.
    """
    prior = prior or BetaPrior()
    (x, m), (y, n) = baseline, treatment
    if not m or not n:
        return Undefined("empty_arm")
    control = (prior.alpha + x, prior.beta + m - x)
    treated = (prior.alpha + y, prior.beta + n - y)
    better, worse = (treated, control) if direction == "increase" else (control, treated)
    # `better` must come out above `worse` for the treatment to win.
    chance, loss = share_above(better, worse)
    mean = treated[0] / sum(treated) - control[0] / sum(control)
    width = -float(ndtri(check_alpha(alpha) / 2)) * math.sqrt(_variance(*treated) + _variance(*control))
    return Bayesian(min(1.0, chance), loss, mean, Interval(max(-1.0, mean - width), min(1.0, mean + width)))


def _variance(a: float, b: float) -> float:
    return a * b / ((a + b) ** 2 * (a + b + 1))


@lru_cache(maxsize=4096)
def share_above(one: tuple[float, float], two: tuple[float, float]) -> tuple[float, float]:
    """P(X > Y) and E[max(Y - X, 0)] for X ~ Beta(one), Y ~ Beta(two); every engine asks it of the same arms."""
    narrow, wide = (one, two) if _variance(*one) <= _variance(*two) else (two, one)
    a, b = narrow
    middle, spread = math.log(a / b), math.sqrt(1 / a + 1 / b)
    low, high = middle - max(9 * spread, 45 / a), middle + max(9 * spread, 45 / b)
    count = min(4000, max(48, math.ceil((high - low) / (0.35 * spread))))
    odds, step = np.linspace(low, high, count, retstep=True)
    # x = 1 / (1 + e^-t), and its logarithms, without losing what is left of 1 - x.
    log_x, log_rest = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    density = np.exp(a * log_x + b * log_rest - float(betaln(a, b))) * step
    x = np.exp(log_x)
    c, d = wide
    mean = c / (c + d)
    if narrow is one:
        above = float(density @ betainc(c, d, x))
        part = mean * betaincc(c + 1, d, x) - x * betaincc(c, d, x)
    else:
        above = float(density @ betaincc(c, d, x))
        part = x * betainc(c, d, x) - mean * betainc(c + 1, d, x)
    return above, float(density @ np.maximum(part, 0.0))
