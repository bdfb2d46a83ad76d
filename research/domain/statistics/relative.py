"""Relative effects: the lift over the size of the baseline, by the first-order delta method."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .values import ArmSummary, Undefined


@dataclass(frozen=True, slots=True)
class Lift:
    """(treatment - baseline) / |baseline|, as a fraction, with its standard error."""

    lift: float
    standard_error: float


def relative_effect(baseline: ArmSummary, treatment: ArmSummary) -> Lift | Undefined:
    """``(m_T - m_C) / |m_C|`` with ``SE^2 = s_T^2/(n_T m_C^2) + s_C^2 m_T^2/(n_C m_C^4)``.

    First-order delta method (Deng, Knoblich & Lu 2018, section 3.1). Dividing by the *size* of the baseline
    keeps the sign of the effect when the baseline is negative: a loss of 100 that becomes 80 is +20 %.
    """
    base = baseline.mean
    if base == 0:
        return Undefined("zero_baseline")
    quotient = treatment.mean / base
    lift = (treatment.mean - base) / abs(base)
    error = math.hypot(math.sqrt(treatment.error) / base, math.sqrt(baseline.error) * quotient / base)
    if not (math.isfinite(lift) and math.isfinite(error)):
        return Undefined("overflow")
    if error == 0:
        return Undefined("zero_variance")
    return Lift(lift, error)
