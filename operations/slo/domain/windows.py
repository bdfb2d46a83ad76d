"""The windows over which service levels are judged: rolling ones, and periods of the calendar in a time zone.

Everything is counted by minutes. A rolling window ends with the minute that is running, which belongs to it, and
is exactly as long as it says. A calendar window begins at the first instant of its first local day, so a month in
Berlin has an hour less or more when clocks change. All intervals are half-open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo

from agent_factory_site.common.periods import (
    Interval,
    floor_period,
    iter_periods,
    parse_zone,
    previous_period,
)

from .tiling import floor_to

CalendarUnit = Literal["week", "month", "quarter", "year"]
CALENDAR_UNITS: Final[tuple[CalendarUnit, ...]] = get_args(CalendarUnit)
MINUTE: Final = timedelta(minutes=1)
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION: Final = re.compile(r"([1-9][0-9]{0,6})([mhdw])\Z")


def parse_duration(text: str) -> timedelta:
    """``5m``, ``6h``, ``30d`` or ``4w``; raises ``ValueError`` for anything else."""
    found = _DURATION.match(text)
    if found is None:
        raise ValueError("a duration is a whole number of m, h, d or w, such as 30d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def format_duration(length: timedelta) -> str:
    """The shortest text of whole minutes in m, h or d: ``5m``, ``36h``, ``30d``."""
    seconds = length // timedelta(seconds=1)
    for unit in ("d", "h"):
        if seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds // 60}m"


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """The last ``length`` of whole minutes, the running one included."""

    length: timedelta

    def __post_init__(self) -> None:
        if self.length < MINUTE or self.length % MINUTE:
            raise ValueError("a rolling window is a whole number of minutes")

    @property
    def text(self) -> str:
        return f"rolling {format_duration(self.length)}"


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """Weeks (from Monday), months, quarters or years of a time zone."""

    unit: CalendarUnit
    zone: ZoneInfo

    @property
    def text(self) -> str:
        return f"calendar {self.unit} ({self.zone.key})"


Window = RollingWindow | CalendarWindow


def window_from(rolling_seconds: int | None, calendar: CalendarUnit | None, zone: str) -> Window:
    """The window that is stored as seconds or as a unit and a zone; exactly one of the two is set."""
    if (rolling_seconds is None) == (calendar is None):
        raise ValueError("a window is either rolling or of the calendar")
    if calendar is not None:
        return CalendarWindow(calendar, parse_zone(zone))
    assert rolling_seconds is not None
    return RollingWindow(timedelta(seconds=rolling_seconds))


_NOMINAL: Final[dict[CalendarUnit, int]] = {"week": 7, "month": 30, "quarter": 90, "year": 365}


def nominal_length(window: Window) -> timedelta:
    """The length for which burn rules are made: of a calendar unit always the same, so that rules do not move."""
    if isinstance(window, RollingWindow):
        return window.length
    return timedelta(days=_NOMINAL[window.unit])


def look_back(at: datetime, length: timedelta) -> Interval:
    """``length`` up to the end of the minute that holds ``at``."""
    end = floor_to(at, "minute") + MINUTE
    return Interval(end - length, end)


def window_at(window: Window, at: datetime) -> Interval:
    """The whole window that holds ``at``; a calendar one may reach into the future."""
    if isinstance(window, RollingWindow):
        return look_back(at, window.length)
    period = floor_period(at, window.unit, window.zone)
    return Interval(period.start, period.end)


def so_far(window: Window, at: datetime) -> Interval:
    """The part of the window at ``at`` that has begun, the running minute included."""
    whole = window_at(window, at)
    return Interval(whole.start, min(whole.end, floor_to(at, "minute") + MINUTE))


def previous_window(window: Window, at: datetime) -> Interval:
    """The window before the one that holds ``at``, without gap or overlap."""
    if isinstance(window, RollingWindow):
        start = window_at(window, at).start
        return Interval(start - window.length, start)
    period = previous_period(at, window.unit, window.zone)
    return Interval(period.start, period.end)


def windows_between(window: Window, start: datetime, end: datetime) -> list[Interval]:
    """The windows that end in ``(start, end]``, oldest first: what a series of reports is made of.

    Rolling ones follow each other backwards from ``end``, of which the begun minute is left out.
    """
    if isinstance(window, RollingWindow):
        last = floor_to(end, "minute")
        found = []
        while last > start:
            found.append(Interval(last - window.length, last))
            last -= window.length
        return found[::-1]
    periods = iter_periods(Interval(start, max(start, end)), window.unit, window.zone)
    return [Interval(period.start, period.end) for period in periods if start < period.end <= end]


def minutes_in(interval: Interval) -> int:
    """How many minutes it has; calendar windows are whole minutes in every zone of today."""
    return interval.duration // MINUTE
