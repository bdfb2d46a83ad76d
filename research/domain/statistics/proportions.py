"""Shares of units with an event: Wilson and Newcombe intervals, exact methods for few events."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaln, ndtri

from .means import Estimate, two_sided
from .moments import Moments
from .values import ArmSummary, Interval, Undefined, check_alpha

EXACT_BELOW = 10
"""An arm with fewer events, or fewer units without the event, is compared exactly."""


def events(arm: Moments) -> int:
    """Units with the event. ValueError when the values are not all 0 or 1."""
    total = arm.total
    count = round(total)
    if abs(total - count) > 1e-6 * max(1.0, total) or not 0 <= count <= arm.n:
        raise ValueError("the values of a proportion must be 0 or 1")
    return count


def proportion_summary(arm: Moments) -> ArmSummary | Undefined:
    """The share of units, with the variance of one unit ``p (1 - p) n / (n - 1)`` (divisor n - 1)."""
    if not arm.n:
        return Undefined("empty_arm")
    if arm.n < 2:
        return Undefined("one_unit")
    share = events(arm) / arm.n
    return ArmSummary(arm.n, share, share * (1 - share) * arm.n / (arm.n - 1))


def wilson(count: int, n: int, alpha: float) -> Interval:
    """The score interval of one share, without continuity correction (Wilson 1927)."""
    z = -float(ndtri(check_alpha(alpha) / 2))
    share, square = count / n, z * z
    centre = (share + square / (2 * n)) / (1 + square / n)
    width = z / (1 + square / n) * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    # At 0 and n the bound is exact; computed, it would be off by rounding.
    return Interval(
        0.0 if count == 0 else max(0.0, centre - width), 1.0 if count == n else min(1.0, centre + width)
    )


def clopper_pearson(count: int, n: int, alpha: float) -> Interval:
    """The exact interval of one share, from the beta quantiles (Clopper & Pearson 1934)."""
    half = check_alpha(alpha) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, n - count + 1, half))
    high = 1.0 if count == n else float(betaincinv(count + 1, n - count, 1 - half))
    return Interval(low, high)


def difference_interval(
    baseline: tuple[int, int], treatment: tuple[int, int], alpha: float, *, exact: bool = False
) -> Interval:
    """Interval of the difference of two shares, each arm given as (events, units).

    Newcombe (1998), "Interval estimation for the difference between independent proportions", method 10: the
    distances of each arm's Wilson limits from its share, squared and added; without continuity correction.
    ``exact`` takes Clopper-Pearson limits in their place, which is conservative.
    """
    one_arm = clopper_pearson if exact else wilson
    (x, m), (y, n) = baseline, treatment
    base, treated = x / m, y / n
    low_c, high_c = one_arm(x, m, alpha)
    low_t, high_t = one_arm(y, n, alpha)
    effect = treated - base
    return Interval(
        effect - math.hypot(treated - low_t, high_c - base),
        effect + math.hypot(high_t - treated, base - low_c),
    )


def pooled_z(baseline: tuple[int, int], treatment: tuple[int, int]) -> float:
    """The score of the difference with the variance of both arms pooled: Pearson's chi-square is its square."""
    (x, m), (y, n) = baseline, treatment
    share = (x + y) / (m + n)
    return (y / n - x / m) / math.sqrt(share * (1 - share) * (1 / m + 1 / n))


def fisher(baseline: tuple[int, int], treatment: tuple[int, int]) -> float:
    """Fisher's exact two-sided p-value: the total probability of all tables no more likely than this one.

    Conditional on both margins (Fisher 1935; tables within a relative 1e-7 count as equally likely, as in R).
    Sums both tails outwards and stops where the terms vanish.
    """
    (x, m), (y, n) = baseline, treatment
    total = x + y
    low, high = max(0, total - n), min(total, m)

    def log_term(k: NDArray[np.int64] | int) -> NDArray[np.float64]:
        return np.asarray(
            gammaln(m + 1) - gammaln(np.add(k, 1)) - gammaln(np.subtract(m + 1, k))
            + gammaln(n + 1) - gammaln(np.subtract(total + 1, k)) - gammaln(np.add(n - total + 1, k))
        )  # fmt: skip

    norm = float(gammaln(m + n + 1) - gammaln(total + 1) - gammaln(m + n - total + 1))
    limit = float(log_term(x)) + 1e-7
    mode = min(high, max(low, (total + 1) * (m + 1) // (m + n + 2)))

    def tail(start: int, step: int) -> float:
        found = 0.0
        while low <= start <= high:
            stop = min(high, start + 999) if step > 0 else max(low, start - 999)
            part = float(np.exp(log_term(np.arange(min(start, stop), max(start, stop) + 1)) - norm).sum())
            found += part
            if part <= 1e-17 * found:
                break
            start = stop + step
        return found

    # The probabilities rise to the mode and fall after it: each tail begins where they pass the limit.
    left = _last(low - 1, mode, lambda k: bool(log_term(k) <= limit))
    right = _last(-high - 1, -mode, lambda k: bool(log_term(-k) <= limit))
    if left >= -right:
        return 1.0
    return min(1.0, tail(left, -1) + tail(-right, 1))


def compare_proportions(
    baseline: tuple[int, int], treatment: tuple[int, int], alpha: float
) -> tuple[Estimate, str] | Undefined:
    """The difference of two shares, and the name of the method.

    Newcombe's interval with the p-value of the pooled z test; where an arm has fewer than 10 events or
    fewer than 10 units without: Clopper-Pearson limits squared and added, with Fisher's exact p-value.
    """
    (x, m), (y, n) = baseline, treatment
    if not m or not n:
        return Undefined("empty_arm")
    if x + y in (0, m + n):
        return Undefined("no_events")
    exact = min(x, m - x, y, n - y) < EXACT_BELOW
    base, treated = x / m, y / n
    error = math.sqrt(base * (1 - base) / max(m - 1, 1) + treated * (1 - treated) / max(n - 1, 1))
    p_value = fisher(baseline, treatment) if exact else two_sided(pooled_z(baseline, treatment))
    interval = difference_interval(baseline, treatment, alpha, exact=exact)
    return Estimate(treated - base, error, math.inf, interval, p_value), "exact" if exact else "newcombe"


def _last(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """The last k of (low, high] for which ``holds`` (true up to some k, then false); ``low`` when for none."""
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
