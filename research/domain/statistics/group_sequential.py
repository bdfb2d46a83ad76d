"""Group sequential tests: a few planned looks, each at the boundary that its share of alpha allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from .spending import Spending
from .values import Interval, check_alpha

Array = NDArray[np.float64]

MAXIMUM_LOOKS = 200
FURTHEST = 38.0
"""Boundaries beyond this many standard errors are none: the probability behind them underflows."""

_SMALLEST, _LARGEST = 1e-12, 0.999


@dataclass(frozen=True, slots=True)
class LookResult:
    """One look: the boundary in standard errors, the repeated interval and p-value, and whether it was
    crossed.
    """

    look: int
    fraction: float
    boundary: float
    spent: float
    z: float
    crossed: bool
    interval: Interval | None
    p_value: float


def boundaries(
    fractions: tuple[float, ...], alpha: float, spending: Spending, *, final: bool
) -> tuple[float, ...]:
    """Two-sided symmetric boundaries in z for looks at these information ``fractions`` (1 = as planned).

    Each boundary makes the probability of crossing it first at that look, without an effect, what the
    spending function allows between the looks (Lan & DeMets 1983). The density of the score inside the
    earlier boundaries is carried forward by recursive numerical integration (Armitage, McPherson & Rowe
    1969; Jennison & Turnbull 2000, chapter 19) with Gauss-Legendre nodes.

    Over- and under-running: the last look of a ``final`` analysis spends all that is left, whatever its
    fraction; fractions above 1 enter the correlation of the looks as they are, and spend no more than alpha.
    Infinite where nothing is left to spend. ValueError unless fractions are positive, increasing and at most
    200.
    """
    check_alpha(alpha)
    if not fractions or len(fractions) > MAXIMUM_LOOKS:
        raise ValueError(f"between 1 and {MAXIMUM_LOOKS} looks, not {len(fractions)}")
    if not all(0 < a < b for a, b in zip((1e-300, *fractions), (*fractions, math.inf))):
        raise ValueError("looks need positive, increasing shares of information")
    return _boundaries(tuple(round(one, 12) for one in fractions), alpha, spending, final)


@lru_cache(maxsize=4096)
def _boundaries(
    fractions: tuple[float, ...], alpha: float, spending: Spending, final: bool
) -> tuple[float, ...]:
    return _recursion(fractions, _allowances(fractions, alpha, spending, final))


def _allowances(
    fractions: tuple[float, ...], alpha: float, spending: Spending, final: bool
) -> tuple[float, ...]:
    """The alpha that each look may spend by itself."""
    spent = [spending.spent(one, alpha) for one in fractions]
    if final:
        spent[-1] = alpha
    return tuple(max(0.0, b - a) for a, b in zip((0.0, *spent), spent))


def _recursion(fractions: tuple[float, ...], allowed: tuple[float, ...]) -> tuple[float, ...]:
    found: list[float] = []
    nodes = density = np.empty(0)
    before = 0.0
    for fraction, allowance in zip(fractions, allowed):
        root, step = math.sqrt(fraction), math.sqrt(fraction - before)
        if not found:
            bound = -float(ndtri(allowance / 2)) if allowance > 0 else math.inf
        else:
            bound = _solve(nodes, density, root, step, allowance)
        found.append(bound)
        # The score S = Z sqrt(t) inside the boundary: where it can still be, and how likely.
        edge = min(bound, 9.0) * root
        count = min(800, max(48, 4 * math.ceil(2 * edge / step)))
        place, weight = _legendre(count)
        inside = place * edge
        if before == 0.0:
            heights = np.exp(-0.5 * (inside / step) ** 2) / (step * math.sqrt(2 * math.pi))
        else:
            gap = (inside[:, None] - nodes[None, :]) / step
            heights = np.exp(-0.5 * gap * gap) @ density / (step * math.sqrt(2 * math.pi))
        nodes, density, before = inside, heights * weight * edge, fraction
    return tuple(found)


def _solve(nodes: Array, density: Array, root: float, step: float, allowance: float) -> float:
    """The boundary that is crossed with probability ``allowance`` at this look, by safeguarded Newton steps."""
    if allowance <= 0:
        return math.inf
    target = math.log(allowance)

    def crossing(bound: float) -> tuple[float, float]:
        edge = bound * root
        high, low = (nodes - edge) / step, (-edge - nodes) / step
        probability = float((ndtr(high) + ndtr(low)) @ density)
        slope = float((np.exp(-0.5 * high * high) + np.exp(-0.5 * low * low)) @ density)
        return probability, slope * root / (step * math.sqrt(2 * math.pi))

    low, high, bound = 0.0, FURTHEST, 2.0
    if crossing(low)[0] <= allowance:
        return 0.0
    for _ in range(100):
        probability, slope = crossing(bound)
        if probability > allowance:
            low = bound
        else:
            high = bound
        if probability <= 0 or slope <= 0:
            bound = (low + high) / 2
            continue
        # On the logarithm the curve is nearly a parabola, where Newton converges from far away.
        change = (math.log(probability) - target) * probability / slope
        following = bound + change
        if not low < following < high:
            following = (low + high) / 2
        if abs(following - bound) <= 1e-13 * (1 + bound):
            return following
        bound = following
    return bound if bound < FURTHEST - 1e-6 else math.inf


@lru_cache(maxsize=512)
def _legendre(count: int) -> tuple[Array, Array]:
    place, weight = np.polynomial.legendre.leggauss(count)
    return place, weight


def repeated_p_value(z: float, fractions: tuple[float, ...], spending: Spending, *, final: bool) -> float:
    """The smallest alpha at which the latest look would be at its boundary.

    The p-value that belongs to repeated confidence intervals (Jennison & Turnbull 1989, "Interim analyses: the repeated
    confidence interval approach"): at most alpha exactly when the look crosses its boundary at alpha. Between
    1e-12 (more at looks before 5 % of the information) and 0.999, read from a Chebyshev interpolation of the
    boundary over ln alpha; 1 above that.
    """
    fit = _fit(tuple(round(one, 12) for one in fractions), spending, final)
    wanted, smallest = abs(z), _smallest(fractions[-1], spending)
    low, high = -1.0, 1.0
    above, below = _clenshaw(fit, low) - wanted, _clenshaw(fit, high) - wanted
    if below >= 0:
        return 1.0
    if above <= 0:
        return smallest
    # Regula falsi, halving the end that stays (Illinois): the curve is smooth and decreasing.
    place, kept = low, 0
    for _ in range(60):
        before, place = place, (low * below - high * above) / (below - above)
        miss = _clenshaw(fit, place) - wanted
        if miss == 0 or abs(place - before) <= 1e-12:
            break
        if miss > 0:
            low, above, below, kept = place, miss, below / 2 if kept == 1 else below, 1
        else:
            high, below, above, kept = place, miss, above / 2 if kept == -1 else above, -1
    return math.exp(_log_alpha(place, smallest))


def _smallest(fraction: float, spending: Spending) -> float:
    """The p-value below which none is told apart: early O'Brien-Fleming boundaries soon lie beyond all
    numbers.
    """
    if spending.family != "obrien_fleming" or fraction >= 0.05:
        return _SMALLEST
    return max(_SMALLEST, 4 * float(ndtr(-(FURTHEST - 6) * math.sqrt(fraction))))


def _log_alpha(place: float, smallest: float) -> float:
    """From [-1, 1] to [ln smallest, ln largest], through a map that is finer towards large alphas."""
    share = (1 + place) / 2
    return math.log(smallest) * (1 - share) ** 2 + math.log(_LARGEST) * (1 - (1 - share) ** 2)


@lru_cache(maxsize=256)
def _fit(fractions: tuple[float, ...], spending: Spending, final: bool) -> tuple[float, ...]:
    smallest = _smallest(fractions[-1], spending)

    def bound(place: float) -> float:
        return boundaries(fractions, math.exp(_log_alpha(place, smallest)), spending, final=final)[-1]

    count = 40
    places = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    heights = np.array([min(bound(float(place)), FURTHEST) for place in places])
    return tuple(np.polynomial.chebyshev.chebfit(places, heights, count - 1).tolist())


def _clenshaw(coefficients: tuple[float, ...], place: float) -> float:
    """The value of a Chebyshev series at ``place``; a loop over floats, faster than an array of one."""
    one = two = 0.0
    for coefficient in coefficients[:0:-1]:
        one, two = coefficient + 2 * place * one - two, one
    return coefficients[0] + place * one - two


def look(
    effect: float,
    standard_error: float,
    fractions: tuple[float, ...],
    alpha: float,
    spending: Spending,
    *,
    final: bool,
) -> LookResult:
    """The latest look: ``fractions`` of all looks so far, this one included.

    The interval is the repeated confidence interval, effect -+ boundary * SE; it and the p-value hold at every
    look, also when the experiment goes on after a crossing. ``final`` when no further look will follow.
    """
    bound = boundaries(fractions, alpha, spending, final=final)[-1]
    z = effect / standard_error
    width = bound * standard_error
    interval = Interval(effect - width, effect + width) if math.isfinite(width) else None
    return LookResult(
        look=len(fractions),
        fraction=fractions[-1],
        boundary=bound,
        spent=alpha if final else spending.spent(fractions[-1], alpha),
        z=z,
        crossed=abs(z) >= bound,
        interval=interval,
        p_value=repeated_p_value(z, fractions, spending, final=final),
    )


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
        count = min(1200, max(64, 4 * math.ceil(2 * edge / step)))
        place, weight = _legendre(count)
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
