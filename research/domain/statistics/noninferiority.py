"""Guardrails: whether an arm stays inside its margin, breaches it, or it is too early to say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .values import ArmSummary, Direction, Interval, Scale, Undefined, check_finite

GuardrailState = Literal["held", "breached", "open"]


@dataclass(frozen=True, slots=True)
class Guardrail:
    """``excess`` is the harm beyond the margin, in the unit of the metric: above 0 is outside the margin.

    ``held``: the whole interval lies inside the margin. ``breached``: it lies outside. Else ``open``.
    """

    state: GuardrailState
    excess: float
    interval: Interval


def guardrail(
    baseline: ArmSummary,
    treatment: ArmSummary,
    *,
    direction: Direction,
    margin: float,
    scale: Scale,
    critical_value: float,
) -> Guardrail | Undefined:
    """Non-inferiority by interval, ``direction`` being the one in which the metric is better.

    With h = +1 for metrics to be decreased and -1 for those to be increased, the harm is h (m_T - m_C).
    Absolute margin: ``excess = h (m_T - m_C) - margin``. Relative: ``excess = h (m_T - m_C) - margin
    |m_C|``, tested on the scale of the metric as a linear contrast with ``SE^2 = SE_T^2 + (h + margin
    sign(m_C))^2 SE_C^2``, so that the error of the baseline counts and a baseline of zero needs no special
    case (Hida & Tango 2011; not pooled). ``critical_value`` in standard errors: the always-valid one where
    the answer stops an arm.
    """
    check_finite("a margin", margin)
    if margin < 0:
        raise ValueError(f"a margin must not be negative, not {margin}")
    harm = 1.0 if direction == "decrease" else -1.0
    base = baseline.mean
    weight, excess = harm, harm * (treatment.mean - base)
    if scale == "relative":
        weight += math.copysign(margin, base)
        excess -= margin * abs(base)
    else:
        excess -= margin
    error = math.sqrt(treatment.error + weight * weight * baseline.error)
    if error == 0:
        return Undefined("zero_variance")
    width = critical_value * error
    if not math.isfinite(width) or not math.isfinite(excess):
        return Undefined("overflow")
    interval = Interval(excess - width, excess + width)
    state: GuardrailState = "breached" if interval.low > 0 else "held" if interval.high < 0 else "open"
    return Guardrail(state, excess, interval)
