"""Ranges are covered exactly once, at the coarsest level that is exact."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial.domain.ranges import (
    EPOCH_ORDINAL,
    Segment,
    from_micros,
    neighbours,
    period_label,
    plan,
    to_micros,
    unit_seconds,
)

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Pacific/Apia", "Africa/Casablanca", "America/St_Johns", "Pacific/Chatham", "Africa/Cairo", "Asia/Gaza",
]  # fmt: skip
instants = st.integers(0, 20 * 365 * 86_400_000_000).map(
    lambda micros: datetime(2010, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
units = st.sampled_from([None, "hour", "day", "week", "month"])


@given(instants, st.timedeltas(timedelta(microseconds=1), timedelta(days=800)), st.sampled_from(ZONES), units)
def test_segments_cover_a_range_exactly_once(start, length, zone, unit):
    end = start + length
    segments = plan(start, end, ZoneInfo(zone), unit)
    assert segments[0].start == to_micros(start)
    assert segments[-1].end == to_micros(end)
    assert all(a.end == b.start for a, b in zip(segments, segments[1:], strict=False))
    assert all(segment.start < segment.end for segment in segments)
    for segment in segments:
        if segment.level != "rows":
            size = {"quarter": 900, "day": 86_400, "local_day": 86_400}[segment.level] * 1_000_000
            ahead = segment.offset * 1_000_000 if segment.level == "local_day" else 0
            assert (segment.start + ahead) % size == 0
            assert (segment.end + ahead) % size == 0
        else:
            assert segment.end - segment.start <= 900 * 1_000_000


@given(instants, st.timedeltas(timedelta(days=1), timedelta(days=500)), st.sampled_from(ZONES))
def test_offsets_are_constant_within_a_segment(start, length, zone):
    tz = ZoneInfo(zone)
    for segment in plan(start, start + length, tz, "day"):
        for micros in (segment.start, (segment.start + segment.end) // 2, segment.end - 1):
            assert from_micros(micros).astimezone(tz).utcoffset() == timedelta(seconds=segment.offset)


def label_of(moment: datetime, unit: str, zone: str) -> str:
    offset = moment.astimezone(ZoneInfo(zone)).utcoffset() // timedelta(seconds=1)
    return period_label(unit, (to_micros(moment) // 1_000_000 + offset) // unit_seconds(unit), offset)


@given(instants, st.sampled_from(ZONES))
def test_labels_are_those_of_the_local_calendar(moment, zone):
    local = moment.astimezone(ZoneInfo(zone))
    assert label_of(moment, "day", zone) == local.date().isoformat()
    assert label_of(moment, "month", zone) == f"{local:%Y-%m}"
    assert label_of(moment, "week", zone) == (local.date() - timedelta(days=local.weekday())).isoformat()
    hour = local.replace(minute=0, second=0, microsecond=0).isoformat()
    assert label_of(moment, "hour", zone) == hour.replace("+00:00", "Z")


def test_the_two_hours_of_a_clock_set_back_keep_apart():
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert label_of(first, "hour", "Europe/Berlin") == "2026-10-25T02:00:00+02:00"
    assert label_of(first + timedelta(hours=1), "hour", "Europe/Berlin") == "2026-10-25T02:00:00+01:00"


def test_whole_months_of_utc_read_day_rollups_only():
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    first = date(2026, 11, 1).toordinal() - EPOCH_ORDINAL
    for unit in (None, "day", "week", "month"):
        segments = plan(start, end, UTC, unit)
        assert [(s.level, s.buckets) for s in segments] == [("day", (first, first + 30))]


def test_a_month_in_berlin_is_days_with_quarters_at_its_edges_or_around_each_of_them():
    zone = ZoneInfo("Europe/Berlin")
    start, end = datetime(2026, 11, 1, tzinfo=zone), datetime(2026, 12, 1, tzinfo=zone)
    assert [s.level for s in plan(start, end, zone, None)] == ["quarter", "day", "quarter"]
    assert [s.level for s in plan(start, end, zone, "hour")] == ["quarter"]
    assert [s.level for s in plan(start, end, zone, "day")] == ["local_day"]


def test_a_clock_change_splits_a_range():
    zone = ZoneInfo("Europe/Berlin")
    start, end = datetime(2026, 10, 1, tzinfo=zone), datetime(2026, 11, 1, tzinfo=zone)
    assert [(s.level, s.offset) for s in plan(start, end, zone, "day")] == [
        ("local_day", 7200),
        ("quarter", 7200),
        ("quarter", 3600),
        ("local_day", 3600),
    ]


@pytest.mark.parametrize("quarters", [n for n in range(-48, 57) if n])
def test_local_days_are_utc_days_less_what_a_neighbour_has(quarters):
    offset = quarters * 900
    other = neighbours(offset)
    assert other.part[1] - other.part[0] <= 48
    for day in (0, 1):
        for quarter in range(96):
            number = day + other.number + (other.step if other.part[0] <= quarter < other.part[1] else 0)
            assert number == (day * 86_400 + quarter * 900 + offset) // 86_400


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("10:05", "10:10", [("10:05", "10:10")]),
        ("10:05", "10:20", [("10:05", "10:15"), ("10:15", "10:20")]),
        ("10:15", "10:20", [("10:15", "10:20")]),
    ],
)
def test_less_than_a_quarter_is_read_from_rows(start, end, expected):
    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-11-22T{text}:00+00:00")

    assert plan(at(start), at(end), UTC, None) == [
        Segment("rows", to_micros(at(a)), to_micros(at(b)), 0) for a, b in expected
    ]


def test_times_where_no_cost_can_be_are_left_out():
    segments = plan(
        datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC), ZoneInfo("Asia/Tokyo"), "day"
    )
    assert from_micros(segments[0].start).year == 1990
    assert from_micros(segments[-1].end).year == 2200
    assert plan(datetime(1, 1, 1, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC), UTC, None) == []
