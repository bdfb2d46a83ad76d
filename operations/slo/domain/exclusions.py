"""Maintenance windows: which minutes do not count, once or by a recurring rule.

A rule is one RRULE of RFC 5545 (``FREQ=WEEKLY;BYDAY=SU``) and recurs by the clock on the wall of its zone: 02:00
stays 02:00 when clocks change. Of a time that comes twice the first is meant; one that is skipped is moved on by as
much as the clock is (RFC 5545, 3.3.5). An occurrence lasts for its duration in elapsed time. Rules may go on for ever:
they are expanded only within the interval that is asked for, from a first occurrence that was moved close to it.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from agent_factory_site.common.periods import Interval

from .tiling import ceil_to, floor_to
from .windows import MINUTE

MAX_DURATION: Final = timedelta(days=31)
MAX_COUNT: Final = 10_000
MAX_INTERVAL: Final = 1000
MAX_RULE: Final = 500
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_STEPS: Final = {"HOURLY": _HOUR, "DAILY": _DAY, "WEEKLY": 7 * _DAY}
_NUMBERS: Final = {
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYSETPOS": (-366, 366),
}
_DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_LIMITS: Final = {
    "HOURLY": ("BYMONTH", "BYMONTHDAY", "BYDAY", "BYHOUR"),
    "DAILY": ("BYMONTH", "BYMONTHDAY", "BYDAY"),
    "WEEKLY": ("BYMONTH",),
}
_DAY_NAME: Final = re.compile(r"([+-]?[1-9]\d?)?(MO|TU|WE|TH|FR|SA|SU)\Z")
_UNTIL: Final = re.compile(r"\d{8}(T\d{6}Z?)?\Z")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A maintenance window: whole minutes from ``starts_at`` (a UTC instant), repeated by ``rrule`` in ``zone``."""

    starts_at: datetime
    duration: timedelta
    rrule: str | None
    zone: ZoneInfo


def rule_fault(text: str) -> str:
    """A sentence that tells why a rule is refused, or nothing."""
    try:
        parts = _parts(text)
        _check(parts)
        # Where a rule begins is not known here, nor therefore which of its steps an interval leaves out.
        for name in ("UNTIL", "COUNT", "INTERVAL"):
            parts.pop(name, None)
        dates, _ = _split(parts)
        if next(iter(rrulestr(_joined(dates), dtstart=datetime(2024, 2, 29))), None) is None:  # noqa: DTZ001 - a wall clock
            return "The rule never recurs."
    except ValueError as error:
        detail = str(error)
        return f"{detail[:1].upper()}{detail[1:].rstrip('.')}."
    return ""


def ends_before(rule: str, starts_at: datetime, zone: ZoneInfo) -> bool:
    """Whether the UNTIL of a rule lies before its first occurrence may begin."""
    until = _parts(rule).get("UNTIL")
    return until is not None and _until(until, zone) < _wall(starts_at, zone)


def _split(parts: dict[str, str]) -> tuple[dict[str, str], dict[str, set[int]]]:
    """The steps of a rule, and what merely leaves out some of them.

    A rule that leaves out every step would be searched up to the year 9999: so steps are made first, and left out here.
    """
    names = _LIMITS.get(parts["FREQ"], ())
    limits = {name: _limit(name, parts[name]) for name in names if name in parts}
    return {name: value for name, value in parts.items() if name not in limits}, limits


def _limit(name: str, value: str) -> set[int]:
    items = value.split(",")
    return {_DAYS.index(item) if name == "BYDAY" else int(item) for item in items}


def _left_in(begins: datetime, limits: dict[str, set[int]]) -> bool:
    for name, numbers in limits.items():
        match name:
            case "BYMONTH":
                found = {begins.month}
            case "BYDAY":
                found = {begins.weekday()}
            case "BYMONTHDAY":
                found = {begins.day, begins.day - 1 - monthrange(begins.year, begins.month)[1]}
            case _:
                found = {begins.hour}
        if not found & numbers:
            return False
    return True


def _parts(text: str) -> dict[str, str]:
    if len(text) > MAX_RULE:
        raise ValueError(f"has more than {MAX_RULE} characters")
    parts: dict[str, str] = {}
    for part in text.strip().upper().removeprefix("RRULE:").rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise ValueError("a rule is written like FREQ=WEEKLY;BYDAY=SU")
        if name in parts:
            raise ValueError(f"{name} stands twice")
        parts[name] = value
    return parts


def _joined(parts: dict[str, str]) -> str:
    return ";".join(f"{name}={value}" for name, value in parts.items())


def _check(parts: dict[str, str]) -> None:
    freq = parts.get("FREQ")
    if freq in ("SECONDLY", "MINUTELY"):
        raise ValueError("a rule recurs by the hour at most: FREQ=SECONDLY and FREQ=MINUTELY are refused")
    if freq not in ("HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"):
        raise ValueError("FREQ is HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY")
    if "COUNT" in parts and "UNTIL" in parts:
        raise ValueError("a rule ends by COUNT or by UNTIL, not by both")
    for name, value in parts.items():
        _check_part(name, value)
    if freq not in ("MONTHLY", "YEARLY"):
        for name in ("BYSETPOS", "BYYEARDAY", "BYWEEKNO"):
            if name in parts:
                raise ValueError(f"{name} goes with FREQ=MONTHLY or FREQ=YEARLY")
        if not set(parts.get("BYDAY", "MO").split(",")) <= set(_DAYS):
            raise ValueError("days with a number, such as 1SU, go with FREQ=MONTHLY or FREQ=YEARLY")
        if freq == "WEEKLY" and "BYMONTHDAY" in parts:
            raise ValueError("BYMONTHDAY does not go with FREQ=WEEKLY")
    hours = len(set(parts.get("BYHOUR", "0").split(",")))
    minutes = len(set(parts.get("BYMINUTE", "0").split(",")))
    if (24 if freq == "HOURLY" else hours) * minutes > 24:
        raise ValueError("a rule recurs at most 24 times a day")


def _check_part(name: str, value: str) -> None:
    if name == "FREQ":
        return
    if name in ("INTERVAL", "COUNT"):
        most = MAX_INTERVAL if name == "INTERVAL" else MAX_COUNT
        if not re.fullmatch(r"[0-9]{1,6}", value) or not 1 <= int(value) <= most:
            raise ValueError(f"{name} is from 1 to {most}")
    elif name == "UNTIL":
        if not _UNTIL.match(value):
            raise ValueError("UNTIL is a date or a time, such as 20261231 or 20261231T235900Z")
        _until(value, ZoneInfo("UTC"))
    elif name == "WKST":
        if value not in _DAYS:
            raise ValueError("WKST is a day of the week, such as MO")
    elif name == "BYDAY":
        if not all(_DAY_NAME.match(day) for day in value.split(",")):
            raise ValueError("BYDAY is a list of days, such as MO,WE or 1SU")
    elif name in _NUMBERS:
        low, high = _NUMBERS[name]
        for number in value.split(","):
            if not re.fullmatch(r"[+-]?[0-9]{1,3}", number) or not low <= int(number) <= high:
                raise ValueError(f"{name} is a list of numbers from {low} to {high}")
            if low < 0 and int(number) == 0:
                raise ValueError(f"{name} has no 0")
    elif name == "BYSECOND":
        raise ValueError("maintenance windows begin with a minute: BYSECOND is refused")
    else:
        raise ValueError(f"{name} is not a part of a rule that is known here")


def _until(value: str, zone: ZoneInfo) -> datetime:
    """The last wall-clock time at which an occurrence may begin."""
    if len(value) == 8:
        day = datetime.strptime(value, "%Y%m%d")  # noqa: DTZ007 - a wall clock
        return day.replace(hour=23, minute=59, second=59)
    moment = datetime.strptime(value[:15], "%Y%m%dT%H%M%S")  # noqa: DTZ007 - a wall clock, unless it ends in Z
    if value.endswith("Z"):
        # Many calendars write the year 9999 for no end: beyond it no clock goes, and no window begins near it.
        with suppress(OverflowError):
            return moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
    return moment


def occurrences(maintenance: Maintenance, within: Interval) -> Iterator[Interval]:
    """The occurrences that touch ``within``, in order of their wall clocks, not cut at its edges."""
    if maintenance.rrule is None:
        found = Interval(maintenance.starts_at, maintenance.starts_at + maintenance.duration)
        if found.overlap(within):
            yield found
        return
    for begins in _begins(maintenance, within):
        start = begins.replace(tzinfo=maintenance.zone).astimezone(UTC)
        found = Interval(start, start + maintenance.duration)
        if found.overlap(within):
            yield found


def _begins(maintenance: Maintenance, within: Interval) -> Iterator[datetime]:
    """Wall-clock times at which occurrences begin, with a day to spare on both sides of ``within``."""
    assert maintenance.rrule is not None
    zone = maintenance.zone
    first = _wall(maintenance.starts_at, zone)
    low = _wall(within.start, zone) - maintenance.duration - _DAY
    last = _wall(within.end, zone) + _DAY
    parts = _parts(maintenance.rrule)
    if "UNTIL" in parts:
        last = min(last, _until(parts.pop("UNTIL"), zone))
    count = int(parts.pop("COUNT", 0))
    if last < first:
        return
    start = first if count else _moved(first, low, parts)
    steps, limits = _split(parts)
    number = 0
    for begins in rrulestr(_joined(steps), dtstart=start).replace(until=last):
        if not _left_in(begins, limits):
            continue
        number += 1
        if count and number > count:
            return
        if begins >= low:
            yield begins


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def _moved(first: datetime, low: datetime, parts: dict[str, str]) -> datetime:
    """A start in step with the rule, as close before ``low`` as can be told at once.

    It keeps the weekday and the time of day, which the rule may leave to its first occurrence to say.
    """
    step = _STEPS.get(parts["FREQ"])
    if step is None or low <= first:
        return first
    step *= int(parts.get("INTERVAL", 1))
    return first + max(0, (low - first) // step - 1) * step


def merge(intervals: Iterable[Interval]) -> list[Interval]:
    """The same instants as intervals that neither overlap nor touch, in order."""
    merged: list[Interval] = []
    for interval in sorted((part for part in intervals if part), key=lambda part: part.start):
        if merged and interval.start <= merged[-1].end:
            if interval.end > merged[-1].end:
                merged[-1] = Interval(merged[-1].start, interval.end)
        else:
            merged.append(interval)
    return merged


def excluded(windows: Iterable[Maintenance], within: Interval) -> list[Interval]:
    """The minutes within an interval that do not count, merged, in order, cut at its edges."""
    found: list[Interval] = []
    for window in windows:
        for occurrence in occurrences(window, within):
            whole = Interval(floor_to(occurrence.start, "minute"), ceil_to(occurrence.end, "minute"))
            part = whole.overlap(within)
            if part is not None:
                found.append(part)
    return merge(found)


def minutes_of(intervals: Iterable[Interval]) -> int:
    """How many minutes merged intervals hold."""
    return sum(interval.duration // MINUTE for interval in intervals)


def holds(intervals: list[Interval], minute: datetime) -> bool:
    """Whether a minute lies in merged intervals."""
    low, high = 0, len(intervals)
    while low < high:
        middle = (low + high) // 2
        if intervals[middle].end <= minute:
            low = middle + 1
        else:
            high = middle
    return low < len(intervals) and intervals[low].start <= minute


def whole_hours(intervals: Iterable[Interval]) -> tuple[list[Interval], bool]:
    """The whole hours (UTC) that exclusions come to where only hours are kept, and whether anything was lost.

    An hour is excluded when at least half of its minutes are.
    """
    merged = merge(intervals)
    covered: dict[datetime, timedelta] = {}
    for interval in merged:
        hour = floor_to(interval.start, "hour")
        while hour < interval.end:
            part = interval.overlap(Interval(hour, hour + _HOUR))
            assert part is not None
            covered[hour] = covered.get(hour, timedelta(0)) + part.duration
            hour += _HOUR
    hours = merge(Interval(hour, hour + _HOUR) for hour, time in covered.items() if time * 2 >= _HOUR)
    return hours, hours != merged
