"""How long buckets are kept: minutes 35 days, hours 13 months, days for good."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

MINUTES_KEPT: Final = timedelta(days=35)
"""Of minutes, and of the samples that they are made of."""
HOURS_KEPT: Final = timedelta(days=397)
"""13 months, whichever they are."""


def minutes_from(now: datetime) -> datetime:
    """The first whole hour whose minutes are still kept."""
    return (now - MINUTES_KEPT).replace(minute=0, second=0, microsecond=0)


def hours_from(now: datetime) -> datetime:
    """The first whole day whose hours are still kept."""
    return (now - HOURS_KEPT).replace(hour=0, minute=0, second=0, microsecond=0)
