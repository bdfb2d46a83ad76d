"""How likely looks are to cross their boundaries, without an effect and with one."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from .group_sequential import boundaries, legendre, node_count
from .spending import Spending


def rejection_probability(
    fractions: tuple[float, ...], bounds: tuple[float, ...], drift: float
) -> tuple[float, ...]:
    """Probability of having crossed by each look when z at fraction 1 has mean ``drift`` (power, or alpha at
    0).

    The same recursion with the score drifting by ``drift * t`` (Jennison & Turnbull 2000, chapter 19).
    """
    reached: list[float] = []
    nodes = density = np.empty(0)
    before = total = 0.0
    for fraction, bound in zip(fractions, bounds):
        root, gained = math.sqrt(fraction), fraction - before
        step, edge = math.sqrt(gained), min(bound, 9.0 + abs(drift)) * root
        if before == 0.0:
            nodes, density = np.zeros(1), np.ones(1)
        middle = nodes + drift * gained
        # A boundary of infinity is never crossed; beyond the cut-off nothing is left to cross.
        upper = ndtr((middle - bound * root) / step) + ndtr((-bound * root - middle) / step)
        total += float(upper @ density)
        reached.append(total)
        count = min(1200, max(64, node_count(edge / step)))
        place, weight = legendre(count)
        inside = place * edge
        gap = (inside[:, None] - middle[None, :]) / step
        heights = np.exp(-0.5 * gap * gap) @ density / (step * math.sqrt(2 * math.pi))
        nodes, density, before = inside, heights * weight * edge, fraction
    return tuple(reached)


@lru_cache(maxsize=256)
def drift_for_power(looks: int, alpha: float, power: float, spending: Spending) -> float:
    """The mean of z at full information with which one of ``looks`` evenly spaced looks crosses with ``power``."""
    fractions = tuple(number / looks for number in range(1, looks + 1))
    return drift_to_cross(fractions, boundaries(fractions, alpha, spending, final=True), power)


def drift_to_cross(fractions: tuple[float, ...], bounds: tuple[float, ...], power: float) -> float:
    """The mean of z at fraction 1 with which :func:`rejection_probability` reaches ``power`` (above alpha).

    Jennison & Turnbull 2000, chapter 2.3: its square over that of the fixed horizon is the inflation factor of the
    sample size. By the secant method on the normal quantile of the probability, which is nearly linear in the
    drift, inside a bracket.
    """
    wanted = float(ndtri(power))

    def miss(drift: float) -> float:
        reached = rejection_probability(fractions, bounds, drift)[-1]
        return float(ndtri(min(reached, 1 - 1e-16))) - wanted

    low, high = 0.0, 20.0
    one = bounds[-1] + wanted if 0 < bounds[-1] + wanted < high else 3.0
    two, at_one = one + 0.1, miss(one)
    for _ in range(100):
        at_two = miss(two)
        if at_two < 0:
            low = max(low, two)
        else:
            high = min(high, two)
        if abs(two - one) <= 1e-13 * two or at_two == 0:
            break
        following = two - at_two * (two - one) / (at_two - at_one) if at_two != at_one else low
        one, at_one = two, at_two
        two = following if low < following < high else (low + high) / 2
    return two
