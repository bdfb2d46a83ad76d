"""Rolling and calendar windows: half-open, by the minute, right when clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.periods import Interval
from operations.slo.domain.windows import (
    CalendarWindow,
    RollingWindow,
    Window,
    format_duration,
    look_back,
    minutes_in,
    parse_duration,
    previous_window,
    so_far,
    window_at,
    window_from,
    windows_between,
)

pytestmark = pytest.mark.once

BERLIN = ZoneInfo("Europe/Berlin")
AT = datetime(2026, 11, 22, 10, 30, 40, tzinfo=UTC)
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago"]
).map(ZoneInfo)
INSTANTS = st.integers(946_684_800, 2_840_140_800).map(lambda second: datetime.fromtimestamp(second, UTC))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_durations_are_read_and_written() -> None:
    assert parse_duration("5m") == timedelta(minutes=5)
    assert parse_duration("4w") == timedelta(days=28)
    assert [format_duration(parse_duration(text)) for text in ("90m", "36h", "24h", "30d", "2w")] == [
        "90m", "36h", "1d", "30d", "14d",
    ]  # fmt: skip
    for text in ("", "0m", "5", "5s", "-5m", "1.5h", "5 m", "30D", "99999999d", "٣m"):
        with pytest.raises(ValueError, match="whole number"):
            parse_duration(text)


def test_a_rolling_window_ends_with_the_running_minute() -> None:
    window = RollingWindow(timedelta(days=28))
    end = _utc("2026-11-22T10:31")
    assert window_at(window, AT) == so_far(window, AT) == Interval(end - timedelta(days=28), end)
    assert look_back(AT, timedelta(minutes=5)) == Interval(_utc("2026-11-22T10:26"), end)
    assert previous_window(window, AT).end == window_at(window, AT).start
    assert minutes_in(window_at(window, AT)) == 28 * 1440
    assert window.text == "rolling 28d"


def test_a_rolling_window_is_of_whole_minutes() -> None:
    for length in (timedelta(0), timedelta(seconds=90), timedelta(days=-1)):
        with pytest.raises(ValueError, match="whole number of minutes"):
            RollingWindow(length)


@pytest.mark.parametrize(
    ("unit", "at", "start", "end", "minutes"),
    [
        ("month", "2026-03-15T00:00", "2026-02-28T23:00", "2026-03-31T22:00", 31 * 1440 - 60),
        ("month", "2026-10-15T00:00", "2026-09-30T22:00", "2026-10-31T23:00", 31 * 1440 + 60),
        ("month", "2026-10-31T22:59", "2026-09-30T22:00", "2026-10-31T23:00", 31 * 1440 + 60),
        ("month", "2026-10-31T23:00", "2026-10-31T23:00", "2026-11-30T23:00", 30 * 1440),
        ("quarter", "2026-01-01T00:00", "2025-12-31T23:00", "2026-03-31T22:00", 90 * 1440 - 60),
        ("week", "2026-03-29T12:00", "2026-03-22T23:00", "2026-03-29T22:00", 7 * 1440 - 60),
        ("year", "2026-07-01T00:00", "2025-12-31T23:00", "2026-12-31T23:00", 365 * 1440),
    ],
)
def test_calendar_windows_in_berlin(unit: str, at: str, start: str, end: str, minutes: int) -> None:
    window = window_from(None, unit, "Europe/Berlin")  # type: ignore[arg-type]
    found = window_at(window, _utc(at))
    assert found == Interval(_utc(start), _utc(end))
    assert minutes_in(found) == minutes


def test_a_calendar_window_so_far_ends_with_the_running_minute() -> None:
    window = CalendarWindow("month", BERLIN)
    assert so_far(window, AT) == Interval(_utc("2026-10-31T23:00"), _utc("2026-11-22T10:31"))
    assert previous_window(window, AT) == Interval(_utc("2026-09-30T22:00"), _utc("2026-10-31T23:00"))
    assert window.text == "calendar month (Europe/Berlin)"


def test_a_stored_window_is_of_one_kind() -> None:
    assert window_from(86400, None, "UTC") == RollingWindow(timedelta(days=1))
    for arguments in ((None, None), (60, "month")):
        with pytest.raises(ValueError, match="either rolling or"):
            window_from(*arguments, "UTC")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown time zone"):
        window_from(None, "month", "Europe/Bärlin")


def test_reports_are_made_of_the_windows_that_have_ended() -> None:
    months = windows_between(CalendarWindow("month", BERLIN), _utc("2026-08-15T00:00"), AT)
    assert [f"{month.start:%m-%dT%H}" for month in months] == ["07-31T22", "08-31T22", "09-30T22"]
    weeks = windows_between(RollingWindow(timedelta(days=7)), AT - timedelta(days=15), AT)
    assert [week.end.day for week in weeks] == [8, 15, 22]
    assert all(a.end == b.start for a, b in zip(weeks, weeks[1:]))
    assert windows_between(CalendarWindow("year", BERLIN), AT, AT) == []


@given(INSTANTS, ZONES, st.sampled_from(["week", "month", "quarter", "year"]))
def test_calendar_windows_hold_the_instants_whose_local_date_they_name(
    at: datetime, zone: ZoneInfo, unit: str
) -> None:
    window: Window = CalendarWindow(unit, zone)  # type: ignore[arg-type]
    found = window_at(window, at)
    assert at in found
    local = at.astimezone(zone).date()
    # By walking over dates, not by arithmetic.
    first, after = local, local + timedelta(days=1)
    while _name(first - timedelta(days=1), unit) == _name(local, unit):
        first -= timedelta(days=1)
    while _name(after, unit) == _name(local, unit):
        after += timedelta(days=1)
    assert found == Interval(_midnight(first, zone), _midnight(after, zone))
    assert previous_window(window, at).end == found.start
    assert at in so_far(window, at)


def _name(day: date, unit: str) -> object:
    return {
        "week": day.isocalendar()[:2],
        "month": (day.year, day.month),
        "quarter": (day.year, (day.month - 1) // 3),
        "year": day.year,
    }[unit]


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first minute that reads this date, found by looking at each."""
    minute = datetime.combine(day, time(), UTC) - timedelta(hours=15)
    # In steps of 5 minutes: no zone of these begins a day at other times.
    while minute.astimezone(zone).date() < day:
        minute += timedelta(minutes=5)
    return minute
