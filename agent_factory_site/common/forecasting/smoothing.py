"""Two models of a series without season, each fitted by least squares over a grid of its parameters.

*Theta* (Assimakopoulos & Nikolopoulos 2000, "The theta model", International Journal of Forecasting
16(4)) in the form that Hyndman & Billah (2003, "Unmasking the Theta method", IJF 19(2)) showed it to have:
simple exponential smoothing with a drift of half the slope of the line through the series.
*Damped trend* (Gardner & McKenzie 1985, "Forecasting trends in time series", Management Science 31(10)).

Both are innovation state space models (Hyndman, Koehler, Ord & Snyder 2008, "Forecasting with Exponential
Smoothing"): the error of a forecast k + 1 steps ahead is the sum of the innovations since, each weighted with
its *response* ``psi_k``, where ``psi_0 = 1`` (table 6.1 there).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .values import Array


def _grid(*axes: list[float] | Array) -> tuple[Array, ...]:
    return tuple(axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))


ALPHAS: Final = np.linspace(0.01, 0.99, 50)
DAMPED_ALPHAS, DAMPED_BETAS, DAMPINGS = _grid(
    [0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95],
    [0.0, 0.02, 0.05, 0.1, 0.2, 0.4],
    [0.8, 0.85, 0.9, 0.95, 0.98],
)
START: Final = 10
"""Values at the beginning through which the damped trend's first line goes."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted model: its point forecasts, in-sample one-step ``errors`` and responses.

    Shapes: ``expected`` and ``responses`` as many as buckets ahead, ``errors`` as long as the series.
    """

    expected: Array
    errors: Array
    responses: Array


def slope(values: Array) -> float:
    """The slope per bucket of the least squares line through ``values`` (two or more)."""
    count = len(values)
    centred = np.arange(count) - (count - 1) / 2
    return float(12 * (centred @ values) / (count * (count * count - 1)))


def theta(values: Array, horizon: int) -> Fit:
    """Simple exponential smoothing with half the drift; the level starts so that the first error is 0."""
    drift = slope(values) / 2
    level = np.full(len(ALPHAS), values[0] - drift)
    errors = np.empty((len(values), len(ALPHAS)))
    for step, value in enumerate(values):
        level = level + drift
        error = value - level
        errors[step] = error
        level = level + ALPHAS * error
    best = int(np.argmin(np.einsum("ij,ij->j", errors, errors)))
    responses = np.full(horizon, ALPHAS[best])
    responses[0] = 1.0
    return Fit(level[best] + drift * np.arange(1, horizon + 1), errors[:, best].copy(), responses)


def damped_trend(values: Array, horizon: int) -> Fit:
    """Holt's linear trend that fades by ``phi`` per bucket.

    ``l = l' + phi b' + alpha e``, ``b = phi b' + alpha beta e``; forecasts add ``b (phi + ... + phi^h)``;
    ``psi_k = alpha + alpha beta (phi + ... + phi^k)``.
    """
    first = values[:START]
    trend = np.full(len(DAMPINGS), slope(first))
    level = np.full(len(DAMPINGS), first.mean() - slope(first) * (len(first) + 1) / 2)
    errors = np.empty((len(values), len(DAMPINGS)))
    gains = DAMPED_ALPHAS * DAMPED_BETAS
    for step, value in enumerate(values):
        trend = trend * DAMPINGS
        level = level + trend
        error = value - level
        errors[step] = error
        level = level + DAMPED_ALPHAS * error
        trend = trend + gains * error
    best = int(np.argmin(np.einsum("ij,ij->j", errors, errors)))
    fading = np.cumsum(DAMPINGS[best] ** np.arange(1, horizon + 1))
    responses = np.r_[1.0, DAMPED_ALPHAS[best] + gains[best] * fading[:-1]]
    return Fit(level[best] + trend[best] * fading, errors[:, best].copy(), responses)


def combined(values: Array, horizon: int) -> Fit:
    """The mean of both models: of their forecasts, errors and responses.

    Averaging simple methods beats choosing one of them (Makridakis & Hibon 2000, conclusion 3).
    """
    one, other = theta(values, horizon), damped_trend(values, horizon)
    return Fit(
        (one.expected + other.expected) / 2,
        (one.errors + other.errors) / 2,
        (one.responses + other.responses) / 2,
    )
