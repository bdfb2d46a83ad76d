"""When maintenance windows come next, and came last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from django.utils import timezone

from agent_factory_site.common.periods import Interval
from operations.slo.domain.exclusions import Maintenance, occurrences
from operations.slo.models import MaintenanceWindow

from .exclusion_minutes import maintenance_of

AHEAD: Final = timedelta(days=366 * 5)
BEHIND: Final = timedelta(days=35)


def next_occurrences(when: Maintenance, count: int = 5, now: datetime | None = None) -> list[Interval]:
    """The occurrences that are not over yet, at most ``count``, within five years."""
    moment = now or timezone.now()
    return list(islice(occurrences(when, Interval(moment, moment + AHEAD)), count))


def past_occurrences(when: Maintenance, count: int = 5, now: datetime | None = None) -> list[Interval]:
    """The latest occurrences that are over, the newest first, within the time that minutes are kept."""
    moment = now or timezone.now()
    found = [one for one in occurrences(when, Interval(moment - BEHIND, moment)) if one.end <= moment]
    return found[::-1][:count]


def next_of(rows: Iterable[MaintenanceWindow], now: datetime | None = None) -> dict[str, Interval | None]:
    """The next occurrence of each window in use, by its id."""
    moment = now or timezone.now()
    return {
        str(row.pk): next(iter(next_occurrences(maintenance_of(row), 1, moment)), None)
        for row in rows
        if row.archived_at is None
    }
