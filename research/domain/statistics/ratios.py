"""Ratios of two sums over units (cost per success): the delta method."""

from __future__ import annotations

from .means import checked
from .moments import Moments
from .values import ArmSummary, Undefined


def ratio_summary(arm: Moments) -> ArmSummary | Undefined:
    """R = sum of numerators / sum of denominators, with the variance of its linearised unit.

    ``var = (s_N^2 + R^2 s_D^2 - 2 R s_ND) / m_D^2`` with divisor n - 1, which is the usual
    ``R^2 (s_N^2/m_N^2 + s_D^2/m_D^2 - 2 s_ND/(m_N m_D))`` and holds at m_N = 0 too. Deng, Knoblich & Lu (2018),
    "Applying the delta method in metric analytics", section 3; the unit of analysis is the assigned unit, whatever
    the number of its events. Tested with :func:`means.welch` on the linearised values.
    """
    if not arm.n:
        return Undefined("empty_arm")
    numerator, denominator = arm.mean, arm.denominator_mean
    s_n, s_d, s_nd = arm.variance, arm.denominator_variance, arm.covariance_xd
    if not denominator:
        return Undefined("zero_denominator")
    if numerator is None or s_n is None or s_d is None or s_nd is None:
        return Undefined("one_unit")
    ratio = numerator / denominator
    spread = s_n + ratio * ratio * s_d - 2 * ratio * s_nd
    size = s_n + ratio * ratio * s_d
    # A numerator proportional to the denominator leaves nothing but rounding.
    variance = spread / denominator / denominator if spread > 1e-14 * size else 0.0
    return checked(arm.n, ratio, variance)
