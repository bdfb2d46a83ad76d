"""What goes into a forecast and what comes out of it.

Every value is in the unit of the series itself (dollars, nano-units, requests): nothing here rounds, and
nothing converts. A *bucket* is one step of the series: an hour, a day, a month.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Decomposition = Literal["none", "additive", "multiplicative"]
Method = Literal["mean", "theta+damped"]

MINIMUM: Final = 3
"""Values below which nothing is forecast."""
MODEL_MINIMUM: Final = 8
"""Values from which level and trend are estimated; with fewer the mean is carried on."""
LONGEST: Final = 20_000
"""Most values of a history, and most buckets ahead."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a value lies with a probability of ``level`` (0.8 or 0.95), by the model."""

    level: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Band:
    """The intervals of one ``level`` for every bucket ahead; ``low`` and ``high`` as long as the forecast."""

    level: float
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The next buckets of a series, the nearest first.

    ``period`` is the season that was found significant and used, 1 without one.
    """

    expected: tuple[float, ...]
    bands: tuple[Band, ...]
    method: Method
    decomposition: Decomposition
    period: int


@dataclass(frozen=True, slots=True)
class TotalForecast:
    """What will have been spent when the budget's period ends, and when its limit is passed.

    ``expected`` and ``intervals`` include what is spent already and are never below it. ``exhausts`` is
    the time from now at which the expected spend reaches the limit, in buckets, of which the rest of the
    current one is the first; 0.0 when it is reached already, None when it is not reached before the period's
    end or no limit was given. ``path`` is the expected spend of the period at the end of the current bucket
    and of each one after it, for a chart; its last value is ``expected``.
    """

    expected: float
    intervals: tuple[Interval, ...]
    exhausts: float | None
    path: tuple[float, ...]
    method: Method
    decomposition: Decomposition
    period: int


@dataclass(frozen=True, slots=True)
class NoForecast:
    """There is no forecast, which is not a forecast of 0; ``reason`` is one sentence for people."""

    reason: str


def checked(history: Sequence[float] | Array, period: int) -> Array:
    """``history`` as an array of its own; ValueError for what is no regularly spaced, finite series."""
    try:
        values = np.array(history, dtype=np.float64)
    except (TypeError, OverflowError) as error:
        raise ValueError("a history consists of numbers") from error
    if values.ndim != 1:
        raise ValueError("a history is one row of numbers")
    if len(values) > LONGEST:
        raise ValueError(f"a history has at most {LONGEST:,} values")
    if not np.isfinite(values).all():
        raise ValueError("a history holds no NaN and no infinity: a bucket without anything is 0")
    if len(values) and np.abs(values).max() > 1e100:
        raise ValueError("a history holds values up to 1e100")
    whole("period", period, 1)
    return values


def amount(name: str, value: float) -> float:
    """``value`` as a float; ValueError when it is no finite number up to 1e100."""
    if isinstance(value, bool | str) or not abs(found := float(value)) <= 1e100:
        raise ValueError(f"{name} is a finite number")
    return found


def whole(name: str, value: int, least: int) -> None:
    """ValueError when ``value`` is not a whole number from ``least`` to LONGEST."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value <= LONGEST:
        raise ValueError(f"{name} is a whole number from {least} to {LONGEST:,}")
