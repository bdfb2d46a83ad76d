"""Sample ratio mismatch: arms that hold other shares of the units than they were given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import chdtrc

from .values import check_finite

SRM_ALPHA = 0.001


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """``p_value`` None while there is nothing to test; ``ok`` unless it is below 0.001."""

    p_value: float | None
    ok: bool
    chi_square: float | None
    degrees_of_freedom: int


def sample_ratio(units: Sequence[int], weights: Sequence[float]) -> SampleRatio:
    """Pearson's ``chi^2 = sum of (O - E)^2 / E`` with k - 1 degrees of freedom, over the k arms with weight
    > 0.

    Eligible arms only: an arm without weight is left out with its units, and k counts the others; an
    eligible arm with zero units stays in. At p < 0.001 the ratio is wrong (Fabijan et al. 2019, "Diagnosing
    sample ratio mismatch").
    """
    if len(units) != len(weights):
        raise ValueError("every arm needs its units and its weight")
    check_finite("a weight", *weights)
    if any(weight < 0 for weight in weights) or any(count < 0 for count in units):
        raise ValueError("units and weights must not be negative")
    arms = [(count, weight) for count, weight in zip(units, weights) if weight > 0]
    everyone, total = sum(count for count, _ in arms), math.fsum(weight for _, weight in arms)
    degrees = len(arms) - 1
    if degrees < 1 or not everyone:
        return SampleRatio(None, True, None, max(degrees, 0))
    expected = [everyone * weight / total for _, weight in arms]
    statistic = math.fsum((count - wanted) ** 2 / wanted for (count, _), wanted in zip(arms, expected))
    p_value = float(chdtrc(degrees, statistic))
    return SampleRatio(p_value, p_value >= SRM_ALPHA, statistic, degrees)
