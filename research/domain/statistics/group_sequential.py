"""Group sequential tests: a few planned looks, each at the boundary that its share of alpha allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, roots_legendre

from .look_paths import LookPoint
from .spending import Spending
from .values import Interval, check_alpha

Array = NDArray[np.float64]

MAXIMUM_LOOKS = 200
FURTHEST = 38.0
"""Boundaries beyond this many standard errors are none: the probability behind them underflows."""

_SMALLEST, _LARGEST = 1e-12, 0.999


@dataclass(frozen=True, slots=True)
class LookResult:
    """One look: the boundary in standard errors, the repeated interval and p-value, whether it was crossed, and at
    which share of its own information (see :mod:`.look_paths`).
    """

    look: int
    fraction: float
    boundary: float
    spent: float
    z: float
    crossed: bool
    interval: Interval | None
    p_value: float
    point: LookPoint


def boundaries(
    fractions: tuple[float, ...],
    alpha: float,
    spending: Spending,
    *,
    final: bool,
    information: tuple[float, ...] | None = None,
) -> tuple[float, ...]:
    """Two-sided symmetric boundaries in z for looks at these information ``fractions`` (1 = as planned).

    With ``information`` (in any unit) the looks go together by it, and ``fractions``, which then need only not fall,
    say alone what may be spent (Lan & DeMets 1989).

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
    seen = fractions if information is None else information
    if not all(0 < a < b for a, b in zip((1e-300, *seen), (*seen, math.inf))):
        raise ValueError("looks need positive, increasing shares of information")
    if len(seen) != len(fractions) or any(a > b for a, b in zip(fractions, fractions[1:])):
        raise ValueError("each look needs a share at which to spend, and none less than the one before")
    shares = tuple(round(one, 12) for one in fractions)
    return _boundaries(shares, shares if information is None else _scaled(seen), alpha, spending, final)


def _scaled(information: tuple[float, ...]) -> tuple[float, ...]:
    """Only ratios count."""
    return tuple(float(f"{one / information[-1]:.12g}") for one in information)


@lru_cache(maxsize=4096)
def _boundaries(
    fractions: tuple[float, ...],
    information: tuple[float, ...],
    alpha: float,
    spending: Spending,
    final: bool,
) -> tuple[float, ...]:
    return _recursion(information, _allowances(fractions, alpha, spending, final))


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
        count = min(800, max(48, node_count(edge / step)))
        place, weight = legendre(count)
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


def node_count(widths: float) -> int:
    """Four nodes for each half of a step's width; few different numbers, for each takes long to prepare."""
    return 32 * math.ceil(widths / 4)


@lru_cache(maxsize=512)
def legendre(count: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss and Legendre on [-1, 1]."""
    place, weight = roots_legendre(count)
    return place, weight


def repeated_p_value(
    z: float,
    fractions: tuple[float, ...],
    spending: Spending,
    *,
    final: bool,
    information: tuple[float, ...] | None = None,
) -> float:
    """The smallest alpha at which the latest look would be at its boundary; ``information`` as for
    :func:`boundaries`.

    The p-value that belongs to repeated confidence intervals (Jennison & Turnbull 1989, "Interim analyses: the repeated
    confidence interval approach"): at most alpha exactly when the look crosses its boundary at alpha. Between
    1e-12 (more at looks before 5 % of the information) and 0.999, read from a Chebyshev interpolation of the
    boundary over ln alpha; 1 above that.
    """
    shares = tuple(round(one, 12) for one in fractions)
    wanted, smallest = abs(z), _smallest(fractions[-1], spending)
    if information is None:
        fit = _fit(shares, spending, final)
        place = _crossing(lambda at: _clenshaw(fit, at) - wanted, 1e-12)
    else:
        # Asked for once: a fit, which serves many, takes forty boundaries, and this some ten.
        seen = _scaled(information)
        place = _crossing(lambda at: _bound_at(at, shares, seen, spending, final) - wanted, 1e-9)
    if place in (-1.0, 1.0):
        return smallest if place < 0 else 1.0
    return math.exp(_log_alpha(place, smallest))


def _crossing(miss: Callable[[float], float], close: float) -> float:
    """Where a smooth, decreasing curve over [-1, 1] is zero; the nearer end where it is not."""
    low, high = -1.0, 1.0
    above, below = miss(low), miss(high)
    if below >= 0:
        return high
    if above <= 0:
        return low
    # Regula falsi, halving the end that stays (Illinois).
    place, kept = low, 0
    for _ in range(60):
        before, place = place, (low * below - high * above) / (below - above)
        here = miss(place)
        if here == 0 or abs(place - before) <= close:
            break
        if here > 0:
            low, above, below, kept = place, here, below / 2 if kept == 1 else below, 1
        else:
            high, below, above, kept = place, here, above / 2 if kept == -1 else above, -1
    return place


def _bound_at(
    place: float,
    fractions: tuple[float, ...],
    information: tuple[float, ...],
    spending: Spending,
    final: bool,
) -> float:
    """The last boundary at the alpha of a place in [-1, 1]."""
    alpha = math.exp(_log_alpha(place, _smallest(fractions[-1], spending)))
    return min(boundaries(fractions, alpha, spending, final=final, information=information)[-1], FURTHEST)


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
    count = 40
    places = np.cos(np.pi * (np.arange(count) + 0.5) / count)
    heights = [_bound_at(float(place), fractions, fractions, spending, final) for place in places]
    return tuple(np.polynomial.chebyshev.chebfit(places, np.array(heights), count - 1).tolist())


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
    information: tuple[float, ...] | None = None,
    p_value: float | None = None,
) -> LookResult:
    """The latest look: ``fractions`` of all looks so far, this one included, ``information`` as for
    :func:`boundaries`, ``p_value`` where it is known.

    The interval is the repeated confidence interval, effect -+ boundary * SE; it and the p-value hold at every
    look, also when the experiment goes on after a crossing. ``final`` when no further look will follow.
    """
    bound = boundaries(fractions, alpha, spending, final=final, information=information)[-1]
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
        p_value=repeated_p_value(z, fractions, spending, final=final, information=information)
        if p_value is None
        else p_value,
        point=LookPoint(fractions[-1], (information or fractions)[-1]),
    )
