"""Which minutes and hours lie in the maintenance windows of SLOs, as the windows stand now.

Asked under the lock of the indicator: a window that was committed before is seen, and one that is committed later
is followed by a recount, which waits for the lock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q

from agent_factory_site.common.db.prepared import PreparedQuery
from agent_factory_site.common.periods import Interval
from operations.slo.domain.exclusions import MAX_DURATION, Maintenance, excluded, merge, whole_hours
from operations.slo.models import EPOCH, MaintenanceWindow

MINUTES_PER_DAY = 1440
Holds = Callable[[int], bool]


def excluded_minutes(slos: Collection[UUID], start: int, end: int) -> dict[UUID, Holds]:
    """For each SLO, whether a minute (since 1970) of ``[start, end)`` counts as excluded."""
    return {
        slo: _within(_intervals(some, start, end), 60) for slo, some in windows_of(slos, start, end).items()
    }


def excluded_hours(slos: Collection[UUID], start: int, end: int) -> dict[UUID, Holds]:
    """For each SLO, whether an hour (since 1970) of ``[start, end)`` counts as excluded where minutes are gone."""
    windows = windows_of(slos, start * 60, end * 60)
    return {
        slo: _within(whole_hours(_intervals(some, start * 60, end * 60))[0], 3600)
        for slo, some in windows.items()
    }


def maintenance_of(row: MaintenanceWindow) -> Maintenance:
    """A window as the domain sees it."""
    return Maintenance(
        row.starts_at, timedelta(seconds=row.duration_seconds), row.rrule or None, ZoneInfo(row.timezone)
    )


# Asked for every batch of samples: most have no window to be in.
_WINDOWS: Final = PreparedQuery(
    lambda: MaintenanceWindow.objects.filter(archived_at__isnull=True).order_by().values_list("pk")[:1]
)


def windows_of(slos: Collection[UUID], start: int, end: int) -> dict[UUID, list[Maintenance]]:
    """The windows of each SLO that may hold a minute of ``[start, end)``."""
    found: dict[UUID, list[Maintenance]] = {slo: [] for slo in slos}
    if not _WINDOWS.rows():
        return found
    begin, until = EPOCH + timedelta(minutes=start), EPOCH + timedelta(minutes=end)
    rows = MaintenanceWindow.objects.filter(archived_at__isnull=True, starts_at__lt=until).filter(
        Q(rrule__isnull=False) | Q(starts_at__gt=begin - MAX_DURATION)
    )
    links = MaintenanceWindow.slos.through.objects.filter(slo__in=slos)
    named: dict[UUID, list[UUID]] = {}
    for slo, window in links.values_list("slo_id", "maintenancewindow_id"):
        named.setdefault(window, []).append(slo)
    for row in rows.filter(Q(all_slos=True) | Q(pk__in=links.values("maintenancewindow"))).order_by("pk"):
        when = maintenance_of(row)
        for slo in slos if row.all_slos else named.get(row.pk, ()):
            found[slo].append(when)
    return found


def _intervals(windows: Iterable[Maintenance], start: int, end: int) -> list[Interval]:
    days = range(start // MINUTES_PER_DAY, (end - 1) // MINUTES_PER_DAY + 1)
    return merge(part for window in windows for day in days for part in _of_day(window, day))


@lru_cache(maxsize=20_000)
def _of_day(window: Maintenance, day: int) -> tuple[Interval, ...]:
    # Rules take a while to expand, and every batch of a day asks for the same.
    begin = EPOCH + timedelta(days=day)
    return tuple(excluded([window], Interval(begin, begin + timedelta(days=1))))


def _within(intervals: list[Interval], width: int) -> Holds:
    starts = [int((part.start - EPOCH).total_seconds()) // width for part in intervals]
    ends = [int((part.end - EPOCH).total_seconds()) // width for part in intervals]

    def holds(bucket: int) -> bool:
        at = bisect_right(starts, bucket) - 1
        return at >= 0 and bucket < ends[at]

    return holds
