"""What a budget will have spent at the end of its period, and when its limit is passed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .seasonality import season_of
from .smoothing import combined
from .spread import LEVELS, of_sum, quantile, spread_of
from .values import (
    MINIMUM,
    MODEL_MINIMUM,
    Array,
    Decomposition,
    Interval,
    Method,
    NoForecast,
    TotalForecast,
    amount,
    checked,
    whole,
)


def forecast_total(
    history: Sequence[float] | Array,
    *,
    period: int,
    spent: float,
    current: float,
    elapsed: float,
    remaining: int,
    limit: float | None = None,
) -> TotalForecast | NoForecast:
    """The spend of a budget's period at its end, with intervals of the sum at 80 and 95 %.

    ``history``: spend of each complete bucket (day, hour), the oldest first, the last one just before the
    current bucket; it may reach back beyond the budget's period, and should. A bucket without spend is 0;
    zeros before the first spend are left out. Credits may make values negative. ``period``: buckets of the
    season, as for :func:`~.series.forecast`. ``spent``: in the budget's period up to now, the current bucket
    included. ``current``: what of that came in the current bucket. ``elapsed``: how much of the current bucket
    is over, 0 to 1; better than the share of its time is the share of a bucket's spend that usually has come by
    then. ``remaining``: complete buckets of the budget's period after the current one, 0 in its last bucket.
    ``limit``: that of the budget. All amounts in one unit, which is that of the answer.

    The rest of the current bucket comes at the forecast pace; what came in it above or below that pace moves
    the later buckets as an innovation would (its response ``psi_k``, see :mod:`.smoothing`). No bucket ahead is
    expected to be negative: credits to come are not forecast, and the total is never below ``spent``. The
    intervals are those of the sum (:func:`~.spread.of_sum`), whose errors are correlated.

    With 3 to 7 buckets since the first spend the mean pace ``r = (sum + current) / (n + elapsed)`` is carried
    on for the rest of ``H = remaining + 1 - elapsed`` buckets, give or take
    ``t(n - 1) * s * sqrt(H + H^2 / (n + elapsed))``. With fewer than 3, or none, NoForecast.

    ValueError for NaN, infinity, ``elapsed`` outside 0 to 1, a negative ``remaining``.
    """
    values = checked(history, period)
    spent, current = amount("spent", spent), amount("current", current)
    ceiling = None if limit is None else amount("limit", limit)
    share = amount("elapsed", elapsed)
    if not 0 <= share <= 1:
        raise ValueError("elapsed is a share from 0 to 1")
    whole("remaining", remaining, 0)
    values = values[np.flatnonzero(values)[0] :] if values.any() else values[:0]
    if not len(values):
        return NoForecast("Nothing was spent in a complete bucket yet.")
    if len(values) < MINIMUM:
        return NoForecast(
            f"At least {MINIMUM} complete buckets since the first spend are needed, and there are {len(values)}."
        )
    if len(values) < MODEL_MINIMUM:
        ahead = _carried_on(values, current, share, remaining)
    else:
        ahead = _modelled(values, period, current, share, remaining)
    path = spent + np.cumsum(np.maximum(ahead.buckets, 0.0))
    expected = float(path[-1])
    widths = [quantile(level, ahead.freedom) * ahead.error for level in LEVELS]
    return TotalForecast(
        expected,
        tuple(
            Interval(level, max(spent, expected - width), expected + width)
            for level, width in zip(LEVELS, widths)
        ),
        None if ceiling is None else _exhausts(ceiling, spent, path, share),
        tuple(path.tolist()),
        ahead.method,
        ahead.decomposition,
        ahead.period,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Ahead:
    """``buckets``: expected in the rest of the current bucket and in each later one; ``error``: of their sum."""

    buckets: Array
    error: float
    freedom: int
    method: Method
    decomposition: Decomposition
    period: int


def _modelled(values: Array, period: int, current: float, elapsed: float, remaining: int) -> _Ahead:
    season = season_of(values, period)
    fit = combined(season.remove(values), max(remaining + 1, 2))
    spread = spread_of(fit, season, float(fit.responses[1]))
    count = remaining + 1
    responses, scale = fit.responses[:count], season.scale(len(values), count)
    buckets = season.restore(fit.expected[:count], len(values))
    surprise = (current - elapsed * buckets[0]) / scale[0]
    buckets[1:] += scale[1:] * responses[1:] * surprise
    buckets[0] *= 1 - elapsed
    error = of_sum(spread, responses, scale, elapsed)
    return _Ahead(buckets, error, spread.freedom, "theta+damped", season.kind, season.period)


def _carried_on(values: Array, current: float, elapsed: float, remaining: int) -> _Ahead:
    known = len(values) + elapsed
    buckets = np.full(remaining + 1, (values.sum() + current) / known)
    buckets[0] *= 1 - elapsed
    rest = remaining + 1 - elapsed
    error = float(values.std(ddof=1) * np.sqrt(rest + rest**2 / known))
    return _Ahead(buckets, error, len(values) - 1, "mean", "none", 1)


def _exhausts(limit: float, spent: float, path: Array, elapsed: float) -> float | None:
    """Buckets from now to where the line through ``path`` reaches ``limit``."""
    if spent >= limit:
        return 0.0
    passed = int(np.searchsorted(path, limit))
    if passed == len(path):
        return None
    before = spent if passed == 0 else float(path[passed - 1])
    share = (limit - before) / (float(path[passed]) - before)
    return share * (1 - elapsed) if passed == 0 else passed - elapsed + share
