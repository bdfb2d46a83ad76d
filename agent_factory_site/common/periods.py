"""Calendar periods in a time zone, exact to the microsecond.

A period is a half-open interval of instants. A day begins at the first instant at which the wall
clock reads that date or later: it may have 23, 24 or 25 hours, and a date that a zone skipped
(Apia, 2011-12-30) has none at all. Weeks begin on Monday, months, quarters and years on their first
day. Periods of one unit follow each other without gap or overlap; where a clock is set back over
midnight the repeated minutes belong to the day that had already begun.

An hour is a wall-clock hour under one offset from UTC: an hour that the clock repeats is two periods,
and one that it cuts short is a short one.

Keys name periods, and sort by time within a unit and zone (hours by their instant): ``total``,
``2026``, ``2026-Q4``, ``2026-11``, ``2026-W47`` (ISO 8601), ``2026-11-22``, and for hours the wall
clock with its offset, ``2026-11-22T10:00:00+01:00`` (``Z`` for UTC), which tells the two halves of a
repeated hour apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Unit = Literal["hour", "day", "week", "month", "quarter", "year", "total"]
UNITS: Final[tuple[Unit, ...]] = get_args(Unit)

BEGINNING: Final = datetime(1, 1, 1, tzinfo=UTC)
END: Final = datetime.max.replace(tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """The instants from ``start`` up to, and without, ``end``; given with any zone, kept in UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("an interval needs times with a zone")
        # Two times of one zone compare by the wall clock, which goes backwards once a year.
        object.__setattr__(self, "start", self.start.astimezone(UTC))
        object.__setattr__(self, "end", self.end.astimezone(UTC))
        if self.end < self.start:
            raise ValueError("an interval ends no earlier than it starts")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def __bool__(self) -> bool:
        return self.start < self.end

    @property
    def duration(self) -> timedelta:
        """How long it lasts, in elapsed time."""
        return self.end - self.start

    def overlap(self, other: Interval) -> Interval | None:
        """The instants in both, or ``None``."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Interval(start, end) if start < end else None


@dataclass(frozen=True, slots=True)
class Period(Interval):
    """An interval that is one unit of the calendar."""

    unit: Unit
    key: str


def parse_zone(name: str) -> ZoneInfo:
    """The IANA time zone called ``name``; raises ``ValueError`` for anything else.

    ``right/…`` counts leap seconds and ``localtime`` is whatever the machine says: neither is a name.
    """
    if not name.startswith(("right/", "posix/")) and name not in ("localtime", "posixrules", "Factory"):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            # A directory such as "America" is an OSError, a path that leaves the database a ValueError.
            pass
    raise ValueError(f"unknown time zone {name!r}")


def floor_period(instant: datetime, unit: Unit, zone: tzinfo) -> Period:
    """The period of ``unit`` that holds ``instant``."""
    if instant.tzinfo is None:
        raise ValueError("a period is found for a time with a zone")
    instant = instant.astimezone(UTC)
    if unit == "total":
        return Period(BEGINNING, END, unit, "total")
    try:
        if unit == "hour":
            return _hour(instant, zone)
        first = _first_date(instant.astimezone(zone).date(), unit)
        following = _next_date(first, unit)
        while instant >= (end := _begins(following, zone)):
            first, following = following, _next_date(following, unit)
        return Period(_begins(first, zone), end, unit, _label(first, unit))
    except OverflowError as error:
        raise ValueError("the period reaches beyond the years 1 to 9999") from error


def period_key(instant: datetime, unit: Unit, zone: tzinfo) -> str:
    """The key of the period of ``unit`` that holds ``instant``."""
    return floor_period(instant, unit, zone).key


def next_period(instant: datetime, unit: Unit, zone: tzinfo) -> Period:
    """The period after the one that holds ``instant``; ``ValueError`` for ``total``, which has none."""
    return floor_period(_bounded(floor_period(instant, unit, zone).end), unit, zone)


def previous_period(instant: datetime, unit: Unit, zone: tzinfo) -> Period:
    """The period before the one that holds ``instant``; ``ValueError`` for ``total``, which has none."""
    start = floor_period(instant, unit, zone).start
    if start == BEGINNING:
        raise ValueError("nothing comes before the first period")
    return floor_period(start - _TICK, unit, zone)


def iter_periods(interval: Interval, unit: Unit, zone: tzinfo) -> Iterator[Period]:
    """The whole periods that ``interval`` touches, in order; the outer ones may reach beyond it."""
    if not interval:
        return
    period = floor_period(interval.start, unit, zone)
    yield period
    while period.end < interval.end:
        period = floor_period(period.end, unit, zone)
        yield period


def rolling_days(count: int, instant: datetime, zone: tzinfo) -> Interval:
    """The calendar day of ``instant`` and the ``count - 1`` dates before it, as whole days.

    Whole, so that the window is the same all day long and is read from daily sums.
    """
    if count < 1:
        raise ValueError("a window has at least one day")
    today = floor_period(instant, "day", zone)
    first = date.fromisoformat(today.key) - timedelta(days=count - 1)
    return Interval(_begins(first, zone), today.end)


def _bounded(instant: datetime) -> datetime:
    if instant >= END:
        raise ValueError("nothing follows the last period")
    return instant


def _hour(instant: datetime, zone: tzinfo) -> Period:
    offset = _offset(instant, zone)
    wall = instant.replace(tzinfo=None) + offset
    floor = wall.replace(minute=0, second=0, microsecond=0)
    start = (floor - offset).replace(tzinfo=UTC)
    end = start + _HOUR
    # A change of the offset within the hour ends one period and begins another.
    if _offset(start, zone) != offset:
        start = _first(start, instant.replace(microsecond=0), lambda moment: _offset(moment, zone) == offset)
    if _offset(end - _TICK, zone) != offset:
        end = _first(instant.replace(microsecond=0), end, lambda moment: _offset(moment, zone) != offset)
    label = f"{floor:%Y-%m-%dT%H:%M:%S}" if floor.year >= 1000 else floor.isoformat()
    return Period(start, end, "hour", label + _offset_label(offset))


def _offset(instant: datetime, zone: tzinfo) -> timedelta:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return offset


def _offset_label(offset: timedelta) -> str:
    if not offset:
        return "Z"
    return datetime(2000, 1, 1, tzinfo=timezone(offset)).isoformat()[19:]


@lru_cache(maxsize=4096)
def _begins(day: date, zone: tzinfo) -> datetime:
    """The first instant at which the wall clock of ``zone`` reads ``day`` 00:00 or later."""
    midnight = datetime.combine(day, time())
    # Of a midnight that comes twice, the first; of one that is skipped, an instant after the gap …
    instant = midnight.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == midnight:
        return instant
    # … and one before it.
    before = midnight.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _first(before, instant, lambda moment: moment.astimezone(zone).replace(tzinfo=None) >= midnight)


def _first(low: datetime, high: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The second in ``(low, high]`` from which on ``holds`` is true; zones change at whole seconds."""
    below, above = 0, (high - low) // _SECOND
    while above - below > 1:
        middle = (below + above) // 2
        if holds(low + middle * _SECOND):
            above = middle
        else:
            below = middle
    return low + above * _SECOND


def _first_date(day: date, unit: Unit) -> date:
    match unit:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return date(day.year, (day.month - 1) // 3 * 3 + 1, 1)
        case "year":
            return date(day.year, 1, 1)
        case _:
            return day


def _next_date(first: date, unit: Unit) -> date:
    match unit:
        case "week":
            return first + 7 * _DAY
        case "month":
            return _months_later(first, 1)
        case "quarter":
            return _months_later(first, 3)
        case "year":
            return _months_later(first, 12)
        case _:
            return first + _DAY


def _months_later(first: date, months: int) -> date:
    years, month = divmod(first.month - 1 + months, 12)
    if first.year + years > 9999:
        raise OverflowError("year 10000")
    return date(first.year + years, month + 1, 1)


def _label(first: date, unit: Unit) -> str:
    match unit:
        case "week":
            year, week, _ = first.isocalendar()
            return f"{year:04d}-W{week:02d}"
        case "month":
            return f"{first.year:04d}-{first.month:02d}"
        case "quarter":
            return f"{first.year:04d}-Q{(first.month + 2) // 3}"
        case "year":
            return f"{first.year:04d}"
        case _:
            return first.isoformat()
