"""Windows made up of block, day, hour and minute rows: exact, few rows, and honest where rows are gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_factory_site.common.periods import Interval
from operations.slo.domain.tiling import WIDTH, Tiling, ceil_to, floor_to, tile
from tests.effort import examples

pytestmark = pytest.mark.once

MINUTE = timedelta(minutes=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
STARTS = st.integers(0, 400 * 1440).map(lambda minutes: START + minutes * MINUTE)


def _signs(tiling: Tiling) -> dict[datetime, int]:
    """How often each minute is counted when every row is the sum of its minutes."""
    counted: dict[datetime, int] = {}
    for part in tiling.ranges:
        assert floor_to(part.start, part.tier) == part.start < part.end == floor_to(part.end, part.tier)
        for number in range((part.end - part.start) // MINUTE):
            minute = part.start + number * MINUTE
            counted[minute] = counted.get(minute, 0) + part.sign
    return {minute: times for minute, times in counted.items() if times}


def _minutes(window: Interval) -> dict[datetime, int]:
    return {window.start + number * MINUTE: 1 for number in range(window.duration // MINUTE)}


@given(STARTS, st.integers(0, 5 * 1440))
@settings(max_examples=examples(150), deadline=None)
def test_every_minute_of_the_window_is_counted_once_and_no_other(start: datetime, length: int) -> None:
    window = Interval(start, start + length * MINUTE)
    tiling = tile(window)
    assert _signs(tiling) == _minutes(window)
    assert tiling.exact
    assert (tiling.precision, tiling.note) == ("minute", "")


@given(STARTS, st.integers(0, 7 * 365 * 1440))
@settings(max_examples=examples(3000), deadline=None)
def test_seven_years_are_at_most_200_rows(start: datetime, length: int) -> None:
    window = Interval(start, start + length * MINUTE)
    tiling = tile(window)
    assert tiling.rows <= 200
    assert sum(part.sign * ((part.end - part.start) // MINUTE) for part in tiling.ranges) == length


def test_the_worst_edges_of_seven_years_are_within_200_rows() -> None:
    """Both half an hour from an hour, half a day from a day and half a block from a block."""
    half = timedelta(days=16, hours=12, minutes=30)
    block = floor_to(START, "block")
    rows = {
        tile(
            Interval(block + half - one * MINUTE, block + blocks * WIDTH["block"] + half - other * MINUTE)
        ).rows
        for blocks in range(1, 80)
        for one in (0, 1)
        for other in (0, 1)
    }
    assert 185 < max(rows) <= 200


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        ("2026-11-22T12:00", "2026-11-22T13:00", 1),
        ("2026-11-22T12:01", "2026-11-22T13:01", 3),
        ("2026-11-22T12:17", "2026-11-22T12:22", 5),
        ("2026-11-22T12:05", "2026-11-22T12:59", 7),
        ("2026-11-22T00:00", "2026-11-23T00:00", 1),
        ("2026-11-22T00:00", "2026-11-22T23:00", 2),
        ("2026-11-22T11:00", "2026-11-22T13:00", 2),
        ("2026-08-24T23:59", "2026-11-22T23:59", 30),
        ("2026-01-01T00:00", "2027-01-01T00:00", 31),
    ],
)
def test_no_more_rows_than_needed(start: str, end: str, rows: int) -> None:
    window = Interval(*(datetime.fromisoformat(edge).replace(tzinfo=UTC) for edge in (start, end)))
    assert tile(window).rows == rows


@given(STARTS, st.integers(1, 3 * 1440), st.integers(0, 4000), st.integers(0, 4000))
@settings(max_examples=examples(300), deadline=None)
def test_rows_that_are_gone_are_not_named(start: datetime, length: int, minutes: int, hours: int) -> None:
    window = Interval(start, start + length * MINUTE)
    minutes_from = start + timedelta(minutes=minutes - 500)
    hours_from = minutes_from - timedelta(minutes=hours)
    tiling = tile(window, minutes_from=minutes_from, hours_from=hours_from)
    assert _signs(tiling) == _minutes(tiling.covers)
    for part in tiling.ranges:
        kept_from = {"minute": minutes_from, "hour": hours_from}.get(part.tier, part.start)
        assert part.start >= kept_from
    assert tiling.covers.start <= window.start
    assert window.end <= tiling.covers.end
    assert tiling.covers.duration - window.duration < 2 * WIDTH[tiling.precision]
    if window.start >= minutes_from:
        assert tiling.exact
    assert bool(tiling.note) is not tiling.exact


def test_a_window_that_was_widened_says_so() -> None:
    at = datetime(2026, 11, 22, 10, 20, tzinfo=UTC)
    window = Interval(datetime(2026, 10, 1, 10, 20, tzinfo=UTC), at)
    tiling = tile(window, minutes_from=at - timedelta(days=35))
    assert tiling.precision == "hour"
    assert tiling.covers == Interval(datetime(2026, 10, 1, 10, tzinfo=UTC), at)
    assert tiling.note == (
        "Single minutes are no longer kept that far back: this is for whole hours, "
        "2026-10-01 10:00 to 2026-11-22 10:20 UTC."
    )
    old = Interval(datetime(2025, 3, 1, 10, 20, tzinfo=UTC), datetime(2025, 3, 1, 11, tzinfo=UTC))
    tiling = tile(old, minutes_from=at - timedelta(days=35), hours_from=at - timedelta(days=396))
    assert tiling.precision == "day"
    day = datetime(2025, 3, 1, tzinfo=UTC)
    assert tiling.covers == Interval(day, day + timedelta(days=1))
    assert tiling.rows == 1


def test_half_minutes_and_hours_that_end_before_minutes_are_refused() -> None:
    half = START + timedelta(seconds=30)
    with pytest.raises(ValueError, match="begins and ends with a minute"):
        tile(Interval(START, half))
    assert (floor_to(half, "minute"), ceil_to(half, "minute")) == (START, START + MINUTE)
    assert ceil_to(START, "day") == START
    with pytest.raises(ValueError, match="at least as long"):
        tile(Interval(START, START + MINUTE), minutes_from=START, hours_from=half)


def test_an_empty_window_reads_nothing() -> None:
    assert tile(Interval(START, START)).ranges == ()
