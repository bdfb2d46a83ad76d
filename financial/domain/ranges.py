"""Which rollups answer a range exactly: days where they fit, quarter hours around them, rows at ragged edges.

A local day that is not a UTC day is made of one all the same: the piece by which the two differ, read
from quarter hours, is taken from the one local day and given to its neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final, Literal

QUARTER: Final = 900
DAY: Final = 86_400
QUARTERS: Final = DAY // QUARTER
HOUR: Final = 3_600
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
EARLIEST: Final = datetime(1990, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

TimeUnit = Literal["hour", "day", "week", "month"]
Level = Literal["rows", "quarter", "day", "local_day"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a range to be read at one level, under one offset from UTC.

    ``start`` and ``end`` are microseconds since 1970, half-open; ``offset`` in seconds.
    """

    level: Level
    start: int
    end: int
    offset: int

    @property
    def buckets(self) -> tuple[int, int]:
        """First bucket and the one after the last, in the numbering of the level's rollup."""
        size = (DAY if self.level == "day" else QUARTER) * 1_000_000
        return self.start // size, self.end // size

    @property
    def local_days(self) -> tuple[int, int]:
        """First local day and the one after the last, counted from 1970."""
        ahead = self.offset * 1_000_000
        return (self.start + ahead) // (DAY * 1_000_000), (self.end + ahead) // (DAY * 1_000_000)

    @property
    def instants(self) -> tuple[datetime, datetime]:
        """Start and end as UTC times."""
        return from_micros(self.start), from_micros(self.end)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """How local days differ from UTC days at one offset.

    UTC day ``d`` is local day ``d + number``, but for its quarter hours ``part`` (from, to), which
    belong to local day ``d + number + step``.
    """

    number: int
    part: tuple[int, int]
    step: Literal[1, -1]


def neighbours(offset: int) -> Neighbours:
    """The same at ``offset`` seconds, a multiple of a quarter hour, the shorter way round."""
    if 0 < offset <= DAY // 2:
        return Neighbours(0, (QUARTERS - offset // QUARTER, QUARTERS), 1)
    return Neighbours(1 if offset > 0 else 0, (0, -offset % DAY // QUARTER), -1)


def to_micros(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """The UTC time of ``micros`` microseconds since 1970."""
    return EPOCH + timedelta(microseconds=micros)


def plan(start: datetime, end: datetime, zone: tzinfo, unit: TimeUnit | None) -> list[Segment]:
    """The segments that together cover ``[start, end)`` once.

    With a ``unit``, no segment crosses a change of the zone's offset, so that one integer division
    finds the local hour or day of any bucket. Times before 1990 and after 2200, where no cost can be, are left out.
    """
    first, last = to_micros(max(start, EARLIEST)), to_micros(min(end, LATEST))
    if first >= last:
        return []
    spans = [(first, last, 0)] if unit is None else list(_offset_spans(first, last, zone))
    segments: list[Segment] = []
    for span_start, span_end, offset in spans:
        if unit is None or offset == 0:
            segments.extend(_cover(span_start, span_end, offset, use_days=unit != "hour"))
        elif unit == "hour" or offset % QUARTER:
            segments.extend(_cover(span_start, span_end, offset, use_days=False))
        else:
            segments.extend(_cover_local(span_start, span_end, offset))
    return segments


def plan_rows(start: datetime, end: datetime, zone: tzinfo, unit: TimeUnit | None) -> list[Segment]:
    """The same cover when no rollup can answer: rows only, each stretch under one offset."""
    first, last = to_micros(max(start, EARLIEST)), to_micros(min(end, LATEST))
    if first >= last:
        return []
    spans = [(first, last, 0)] if unit is None else _offset_spans(first, last, zone)
    return [Segment("rows", span_start, span_end, offset) for span_start, span_end, offset in spans]


def _cover(start: int, end: int, offset: int, *, use_days: bool) -> Iterator[Segment]:
    quarter, day = QUARTER * 1_000_000, DAY * 1_000_000
    inner_start, inner_end = -(-start // quarter) * quarter, end // quarter * quarter
    if inner_start >= inner_end:
        # At most two ragged ends meeting at a quarter's boundary.
        middle = min(inner_start, end)
        if start < middle:
            yield Segment("rows", start, middle, offset)
        if middle < end:
            yield Segment("rows", middle, end, offset)
        return
    if start < inner_start:
        yield Segment("rows", start, inner_start, offset)
    day_start, day_end = -(-inner_start // day) * day, inner_end // day * day
    if use_days and day_start < day_end:
        if inner_start < day_start:
            yield Segment("quarter", inner_start, day_start, offset)
        yield Segment("day", day_start, day_end, offset)
        if day_end < inner_end:
            yield Segment("quarter", day_end, inner_end, offset)
    else:
        yield Segment("quarter", inner_start, inner_end, offset)
    if inner_end < end:
        yield Segment("rows", inner_end, end, offset)


def _cover_local(start: int, end: int, offset: int) -> Iterator[Segment]:
    day, ahead = DAY * 1_000_000, offset * 1_000_000
    day_start = -(-(start + ahead) // day) * day - ahead
    day_end = (end + ahead) // day * day - ahead
    if day_start >= day_end:
        yield from _cover(start, end, offset, use_days=False)
        return
    if start < day_start:
        yield from _cover(start, day_start, offset, use_days=False)
    yield Segment("local_day", day_start, day_end, offset)
    if day_end < end:
        yield from _cover(day_end, end, offset, use_days=False)


def _offset_spans(start: int, end: int, zone: tzinfo) -> Iterator[tuple[int, int, int]]:
    """Stretches of one offset. No zone has changed its offset twice within a week since 1990."""
    week = 7 * DAY * 1_000_000
    span_start, here, offset = start, start, _offset(start, zone)
    while here < end:
        there = min(here + week, end)
        if _offset(there - 1, zone) != offset:
            changed = _change(here - 1, there - 1, offset, zone)
            yield span_start, changed, offset
            span_start, offset = changed, _offset(changed, zone)
            there = changed
        here = there
    yield span_start, end, offset


def _change(low: int, high: int, offset: int, zone: tzinfo) -> int:
    """The first microsecond in ``(low, high]`` with another offset than ``offset``."""
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == offset:
            low = middle
        else:
            high = middle
    return high


def _offset(micros: int, zone: tzinfo) -> int:
    offset = from_micros(micros).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(seconds=1)


def unit_seconds(unit: TimeUnit) -> int:
    """The step that SQL groups by: local hours, or local days that are folded further afterwards."""
    return HOUR if unit == "hour" else DAY


def period_label(unit: TimeUnit, number: int, offset: int) -> str:
    """The key of the period that holds local hour or day ``number`` (counted from 1970).

    ``2026-11-22T10:00:00+01:00`` for an hour, ``2026-11-22`` for a day, the Monday's date for a week,
    ``2026-11`` for a month.
    """
    if unit == "hour":
        local = EPOCH + timedelta(hours=number)
        sign, minutes = "-" if offset < 0 else "+", abs(offset) // 60
        suffix = "Z" if offset == 0 else f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
        return f"{local:%Y-%m-%dT%H:%M:%S}{suffix}"
    day = date.fromordinal(EPOCH_ORDINAL + number)
    if unit == "day":
        return day.isoformat()
    if unit == "week":
        return (day - timedelta(days=day.weekday())).isoformat()
    return f"{day:%Y-%m}"
