"""The periods that reports are of: months and quarters of the calendar, and the objective's own windows."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from agent_factory_site.common.periods import Interval, floor_period, iter_periods

from .tiling import floor_to
from .windows import CalendarWindow, RollingWindow, Window

ReportPeriod = Literal["week", "month", "quarter", "year", "rolling"]
ALWAYS: Final[tuple[ReportPeriod, ...]] = ("month", "quarter")
_DAY: Final = timedelta(days=1)


def report_kinds(window: Window) -> tuple[ReportPeriod, ...]:
    """Every objective is reported by month and quarter, and by windows of its own."""
    own: ReportPeriod = "rolling" if isinstance(window, RollingWindow) else window.unit
    return (*ALWAYS, own) if own not in ALWAYS else ALWAYS


def periods_ended(kind: ReportPeriod, window: Window, since: datetime, now: datetime) -> list[Interval]:
    """The periods of a kind that end in ``(since, now]``, oldest first.

    Rolling ones follow each other from the UTC day of ``since`` on, so that they stay where they are; the first is the
    one that ends a whole window after that.
    """
    if kind == "rolling":
        assert isinstance(window, RollingWindow)
        start = floor_to(since, "day")
        found = []
        while start + window.length <= now:
            found.append(Interval(start, start + window.length))
            start += window.length
        return found
    zone = window.zone if isinstance(window, CalendarWindow) else ZoneInfo("UTC")
    if since >= now:
        return []
    periods = iter_periods(Interval(since, now), kind, zone)
    return [Interval(period.start, period.end) for period in periods if since < period.end <= now]


def days_of(interval: Interval, window: Window) -> list[tuple[str, Interval]]:
    """The days of a period by their date, in the zone of the objective; the outer ones cut at its edges."""
    zone = window.zone if isinstance(window, CalendarWindow) else ZoneInfo("UTC")
    found = []
    at = interval.start
    while at < interval.end:
        day = floor_period(at, "day", zone)
        part = day.overlap(interval)
        assert part is not None, "a day that begins in the period"
        found.append((day.key, part))
        at = day.end
    return found
