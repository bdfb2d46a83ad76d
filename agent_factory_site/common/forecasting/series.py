"""Point forecasts and prediction intervals of one series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .seasonality import season_of
from .smoothing import combined
from .spread import LEVELS, of_each, quantile, spread_of
from .values import MINIMUM, MODEL_MINIMUM, Array, Band, Forecast, NoForecast, checked, whole


def forecast(history: Sequence[float] | Array, *, period: int, horizon: int) -> Forecast | NoForecast:
    """The next ``horizon`` buckets after ``history``, with prediction intervals at 80 and 95 %.

    ``history``: one value per bucket, the oldest first, regularly spaced and without gaps; in a series of
    amounts a bucket in which nothing happened is 0. ``period``: buckets of a season that may be there (24 for
    hours of a day, 7 for days of a week, 12 for months), 1 for none; it is used where the series shows it at
    90 %, which takes three periods at least.

    With 8 values and more: classical decomposition, then the mean of Theta and a damped trend
    (:mod:`.seasonality`, :mod:`.smoothing`), intervals by :mod:`.spread`. With 3 to 7: the mean of the history
    for every bucket, with the interval ``mean +- t(n - 1) * s * sqrt(1 + 1/n)``. With fewer, NoForecast.
    A series that never was negative is not forecast to be: its values and intervals are cut at 0.
    A series that never moved gives no idea of its spread; its intervals have no width.

    ValueError for NaN, infinity, anything that is no row of numbers, and lengths out of bounds.
    """
    values = checked(history, period)
    whole("horizon", horizon, 1)
    if len(values) < MINIMUM:
        return NoForecast(f"At least {MINIMUM} values are needed, and there are {len(values)}.")
    if len(values) < MODEL_MINIMUM:
        return _mean(values, horizon)
    season = season_of(values, period)
    fit = combined(season.remove(values), max(horizon, 2))
    spread = spread_of(fit, season, float(fit.responses[1]))
    expected = season.restore(fit.expected[:horizon], len(values))
    errors = of_each(spread, fit.responses[:horizon], season.scale(len(values), horizon))
    return Forecast(
        tuple(_cut(expected, values).tolist()),
        tuple(_band(level, spread.freedom, expected, errors, values) for level in LEVELS),
        "theta+damped",
        season.kind,
        season.period,
    )


def _mean(values: Array, horizon: int) -> Forecast:
    count = len(values)
    expected = np.full(horizon, values.mean())
    errors = np.full(horizon, values.std(ddof=1) * np.sqrt(1 + 1 / count))
    bands = tuple(_band(level, count - 1, expected, errors, values) for level in LEVELS)
    return Forecast(tuple(_cut(expected, values).tolist()), bands, "mean", "none", 1)


def _band(level: float, freedom: int, expected: Array, errors: Array, values: Array) -> Band:
    width = quantile(level, freedom) * errors
    low, high = _cut(expected - width, values), _cut(expected + width, values)
    return Band(level, tuple(low.tolist()), tuple(high.tolist()))


def _cut(found: Array, values: Array) -> Array:
    return np.maximum(found, 0.0) if values.min() >= 0 else found
