"""Forecasts of regularly spaced series: pure arithmetic, without a clock.

:func:`forecast` looks ahead bucket by bucket, :func:`forecast_total` at the sum to the end of a budget's period.
"""

from __future__ import annotations

from .series import forecast
from .totals import forecast_total
from .values import MINIMUM, MODEL_MINIMUM, Band, Forecast, Interval, NoForecast, TotalForecast

__all__ = [
    "MINIMUM",
    "MODEL_MINIMUM",
    "Band",
    "Forecast",
    "Interval",
    "NoForecast",
    "TotalForecast",
    "forecast",
    "forecast_total",
]
