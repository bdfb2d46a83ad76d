"""CUPED: taking out of a metric what a covariate from before the exposure already tells."""

from __future__ import annotations

from dataclasses import dataclass

from .means import checked
from .moments import Moments
from .values import ArmSummary, Undefined


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Both arms after the adjustment. ``theta`` is in units of the metric per unit of the covariate.

    ``variance_reduction`` is the share of the squared error of the effect that is gone: 0.3 does as much as
    1 / 0.7 = 1.43 times the units; it is negative where the covariate only adds noise.
    """

    baseline: ArmSummary
    treatment: ArmSummary
    theta: float
    variance_reduction: float


def adjust_means(baseline: Moments, treatment: Moments) -> Adjusted | Undefined:
    """``Y' = Y - theta (X - mean X)`` with theta = cov(Y, X) / var(X) of both arms as one pooled sample.

    Deng, Xu, Kohavi & Walker (2013), "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data". One theta for both arms, from the pooled sample (between-arm differences included, divisor
    n - 1), and centred at the pooled mean of X; ``var = s_Y^2 + theta^2 s_X^2 - 2 theta s_XY`` per arm,
    divisor n - 1.
    """
    return _adjust(baseline, treatment, ratio=False)


def adjust_ratios(baseline: Moments, treatment: Moments) -> Adjusted | Undefined:
    """The same for a ratio, on its linearised value ``(N - R D) / m_D``, R being the ratio of each sample.

    Deng et al. (2013), appendix B: theta = cov(L, X) / var(X) in the pooled sample, where
    cov(L, X) = (s_NX - R s_DX) / m_D.
    """
    return _adjust(baseline, treatment, ratio=True)


def _adjust(baseline: Moments, treatment: Moments, *, ratio: bool) -> Adjusted | Undefined:
    if not baseline.n or not treatment.n:
        return Undefined("empty_arm")
    if baseline.n < 2 or treatment.n < 2:
        return Undefined("one_unit")
    if not baseline.c_squares and not treatment.c_squares and baseline.c_shift == treatment.c_shift:
        return Undefined("no_covariate")
    try:
        pooled = baseline + treatment
    except ValueError:
        return Undefined("overflow")
    spread, centre = pooled.covariate_variance, pooled.covariate_mean
    if not spread or centre is None:
        return Undefined("no_covariate")
    parts = [_linear(arm, ratio=ratio) for arm in (pooled, baseline, treatment)]
    for part in parts:
        if isinstance(part, Undefined):
            return part
    (_, _, shared), *arms = [part for part in parts if not isinstance(part, Undefined)]
    theta = shared / spread
    adjusted = []
    before = after = 0.0
    for arm, (mean, variance, covariance) in zip((baseline, treatment), arms):
        own, middle = arm.covariate_variance, arm.covariate_mean
        assert own is not None
        assert middle is not None
        left = variance + theta * theta * own - 2 * theta * covariance
        # A covariate that explains everything leaves nothing but rounding.
        left = left if left > 1e-13 * variance else 0.0
        one = checked(arm.n, mean - theta * (middle - centre), left)
        if isinstance(one, Undefined):
            return one
        adjusted.append(one)
        before += variance / arm.n
        after += left / arm.n
    if before <= 0:
        return Undefined("zero_variance")
    return Adjusted(adjusted[0], adjusted[1], theta, 1 - after / before)


def _linear(arm: Moments, *, ratio: bool) -> tuple[float, float, float] | Undefined:
    """Estimate, variance and covariance with the covariate, of the linearised value for a ratio."""
    mean, variance, shared = arm.mean, arm.variance, arm.covariance_xc
    assert mean is not None
    assert variance is not None
    assert shared is not None
    if not ratio:
        return mean, variance, shared
    below, spread = arm.denominator_mean, arm.denominator_variance
    product, other = arm.covariance_xd, arm.covariance_dc
    assert spread is not None
    assert product is not None
    assert other is not None
    if not below:
        return Undefined("zero_denominator")
    quotient = mean / below
    linear = (variance + quotient * quotient * spread - 2 * quotient * product) / below / below
    return quotient, max(0.0, linear), (shared - quotient * other) / below
