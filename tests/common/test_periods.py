"""Calendar arithmetic: exact where clocks change, and without gap or overlap anywhere."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent_factory_site.common.periods import (
    UNITS,
    Interval,
    Unit,
    floor_period,
    iter_periods,
    next_period,
    parse_zone,
    period_key,
    previous_period,
    rolling_days,
)

pytestmark = pytest.mark.once

CALENDAR: tuple[Unit, ...] = tuple(unit for unit in UNITS if unit != "total")
TICK = timedelta(microseconds=1)
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "America/Havana",
    "Asia/Kolkata", "Asia/Kathmandu", "Asia/Beirut", "Asia/Gaza", "Africa/Cairo", "Africa/Casablanca",
    "Australia/Lord_Howe", "Australia/Eucla", "Pacific/Chatham", "Pacific/Apia", "Pacific/Kwajalein",
    "Antarctica/Troll", "America/Caracas", "Asia/Pyongyang", "America/Nuuk", "Pacific/Kiritimati",
]  # fmt: skip


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def hours(unit: Unit, text: str, zone: str) -> float:
    return floor_period(at(text), unit, ZoneInfo(zone)).duration / timedelta(hours=1)


@pytest.mark.parametrize(
    ("unit", "zone", "start", "end", "key"),
    [
        ("hour", "UTC", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z", "2026-11-22T10:00:00Z"),
        (
            "hour",
            "Europe/Berlin",
            "2026-11-22T10:00:00Z",
            "2026-11-22T11:00:00Z",
            "2026-11-22T11:00:00+01:00",
        ),
        ("hour", "Asia/Kolkata", "2026-11-22T09:30:00Z", "2026-11-22T10:30:00Z", "2026-11-22T15:00:00+05:30"),
        (
            "hour",
            "Asia/Kathmandu",
            "2026-11-22T09:15:00Z",
            "2026-11-22T10:15:00Z",
            "2026-11-22T15:00:00+05:45",
        ),
        ("day", "UTC", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-22"),
        ("day", "Asia/Kathmandu", "2026-11-21T18:15:00Z", "2026-11-22T18:15:00Z", "2026-11-22"),
        ("day", "America/New_York", "2026-11-22T05:00:00Z", "2026-11-23T05:00:00Z", "2026-11-22"),
        ("week", "UTC", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-W47"),
        ("month", "UTC", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z", "2026-11"),
        ("month", "America/New_York", "2026-11-01T04:00:00Z", "2026-12-01T05:00:00Z", "2026-11"),
        ("quarter", "UTC", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z", "2026-Q4"),
        ("year", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", "2026"),
        ("total", "UTC", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "total"),
    ],
)
def test_the_period_of_an_instant(unit: Unit, zone: str, start: str, end: str, key: str) -> None:
    period = floor_period(at("2026-11-22T10:11:12.345678Z"), unit, ZoneInfo(zone))
    assert (period.start, period.end, period.key, period.unit) == (at(start), at(end), key, unit)
    assert period.start.tzinfo is UTC


def test_weeks_of_two_years() -> None:
    assert period_key(at("2026-12-31T12:00Z"), "week", UTC) == "2026-W53"
    assert period_key(at("2027-01-03T23:59:59Z"), "week", UTC) == "2026-W53"
    assert period_key(at("2027-01-04T00:00Z"), "week", UTC) == "2027-W01"
    assert period_key(at("2029-12-31T00:00Z"), "week", UTC) == "2030-W01"


def test_days_of_23_24_and_25_hours() -> None:
    assert hours("day", "2026-03-29T12:00Z", "Europe/Berlin") == 23
    assert hours("day", "2026-03-30T12:00Z", "Europe/Berlin") == 24
    assert hours("day", "2026-10-25T12:00Z", "Europe/Berlin") == 25
    assert hours("day", "2026-04-05T00:00Z", "Australia/Lord_Howe") == 24.5
    assert hours("day", "2026-10-04T00:00Z", "Australia/Lord_Howe") == 23.5
    assert hours("month", "2026-03-15T00:00Z", "Europe/Berlin") == 31 * 24 - 1
    assert hours("week", "2026-10-25T12:00Z", "Europe/Berlin") == 7 * 24 + 1


def test_a_day_whose_midnight_is_skipped_begins_after_the_gap() -> None:
    # Beirut goes from 00:00 to 01:00.
    beirut = floor_period(at("2026-03-29T12:00Z"), "day", ZoneInfo("Asia/Beirut"))
    assert (beirut.key, beirut.start, beirut.duration) == (
        "2026-03-29", at("2026-03-28T22:00Z"), timedelta(hours=23),
    )  # fmt: skip


def test_a_gap_that_begins_before_midnight() -> None:
    # Toronto 1919-03-30: 23:30 became 00:30 of the 31st.
    zone = ZoneInfo("America/Toronto")
    day = floor_period(at("1919-03-31T12:00Z"), "day", zone)
    assert (day.key, day.start) == ("1919-03-31", at("1919-03-31T04:30Z"))
    assert day.start.astimezone(zone).time().isoformat() == "00:30:00"
    assert previous_period(day.start, "day", zone).end == day.start


def test_a_midnight_that_comes_twice_counts_the_first_time() -> None:
    # St John's 2006-10-29: 00:01 became 23:01 of the 28th.
    zone = ZoneInfo("America/St_Johns")
    day = floor_period(at("2006-10-29T12:00Z"), "day", zone)
    assert (day.start, day.duration) == (at("2006-10-29T02:30Z"), timedelta(hours=25))
    again = at("2006-10-29T03:00Z")
    assert again.astimezone(zone).isoformat() == "2006-10-28T23:30:00-03:30"
    assert period_key(again, "day", zone) == "2006-10-29"


def test_the_day_that_apia_skipped() -> None:
    zone = ZoneInfo("Pacific/Apia")
    last = floor_period(at("2011-12-30T09:59:59.999999Z"), "day", zone)
    assert (last.key, last.end) == ("2011-12-29", at("2011-12-30T10:00Z"))
    assert next_period(last.start, "day", zone).key == "2011-12-31"
    month = Interval(at("2011-12-15T00:00Z"), at("2012-01-01T00:00Z"))
    days = [day.key for day in iter_periods(month, "day", zone)]
    assert "2011-12-30" not in days
    assert days[-2:] == ["2011-12-31", "2012-01-01"]
    assert hours("week", "2011-12-28T00:00Z", "Pacific/Apia") == 6 * 24


def test_hours_around_a_change_of_the_clock() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    autumn = Interval(at("2026-10-24T23:30Z"), at("2026-10-25T02:00Z"))
    assert [hour.key for hour in iter_periods(autumn, "hour", berlin)] == [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]
    howe = ZoneInfo("Australia/Lord_Howe")
    # At 02:00 it becomes 01:30 again: half an hour of the second kind.
    around = Interval(at("2026-04-04T14:00Z"), at("2026-04-04T16:30Z"))
    assert [(hour.key, hour.duration) for hour in iter_periods(around, "hour", howe)] == [
        ("2026-04-05T01:00:00+11:00", timedelta(hours=1)),
        ("2026-04-05T01:00:00+10:30", timedelta(minutes=30)),
        ("2026-04-05T02:00:00+10:30", timedelta(hours=1)),
    ]
    # At 02:00 it becomes 02:30: the hour that begins then is half as long.
    around = Interval(at("2026-10-03T14:30Z"), at("2026-10-03T17:00Z"))
    assert [(hour.key, hour.duration) for hour in iter_periods(around, "hour", howe)] == [
        ("2026-10-04T01:00:00+10:30", timedelta(hours=1)),
        ("2026-10-04T02:00:00+11:00", timedelta(minutes=30)),
        ("2026-10-04T03:00:00+11:00", timedelta(hours=1)),
    ]


def test_rolling_days_are_whole_days() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    window = rolling_days(7, at("2026-03-31T10:00Z"), berlin)
    assert (window.start, window.end) == (at("2026-03-24T23:00Z"), at("2026-03-31T22:00Z"))
    assert window == rolling_days(7, at("2026-03-31T21:59:59Z"), berlin)
    assert window.duration == timedelta(days=7, hours=-1)
    assert rolling_days(1, at("2026-03-31T10:00Z"), berlin) == Interval(
        at("2026-03-30T22:00Z"), at("2026-03-31T22:00Z")
    )
    with pytest.raises(ValueError, match="at least one day"):
        rolling_days(0, at("2026-03-31T10:00Z"), berlin)


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "America", "../etc/passwd", "/etc/localtime", "right/Europe/Berlin", "posix/UTC",
     "localtime", "posixrules", "Factory", "Europe/Berlin\x00", "+01:00"],
)  # fmt: skip
def test_what_is_no_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        parse_zone(name)


def test_zones_have_names() -> None:
    assert parse_zone("Europe/Berlin").key == "Europe/Berlin"
    assert parse_zone("UTC").utcoffset(None) in (None, timedelta(0))


def test_naive_times_and_backward_intervals_are_refused() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(ValueError, match="with a zone"):
        floor_period(naive, "day", UTC)
    with pytest.raises(ValueError, match="with a zone"):
        Interval(naive, at("2026-01-02T00:00Z"))
    with pytest.raises(ValueError, match="no earlier"):
        Interval(at("2026-01-02T00:00Z"), at("2026-01-01T00:00Z"))


def test_the_ends_of_the_calendar_are_told() -> None:
    with pytest.raises(ValueError, match="1 to 9999"):
        floor_period(at("9999-12-31T12:00Z"), "month", UTC)
    with pytest.raises(ValueError, match="1 to 9999"):
        floor_period(at("0001-01-01T00:00Z"), "day", ZoneInfo("Asia/Tokyo"))
    with pytest.raises(ValueError, match="nothing follows"):
        next_period(at("2026-01-01T00:00Z"), "total", UTC)
    with pytest.raises(ValueError, match="nothing comes before"):
        previous_period(at("2026-01-01T00:00Z"), "total", UTC)


def test_intervals() -> None:
    day = Interval(at("2026-01-01T00:00Z"), at("2026-01-02T00:00Z"))
    assert day.start in day
    assert day.end not in day
    assert day.overlap(Interval(at("2026-01-01T12:00Z"), at("2026-01-03T00:00Z"))) == Interval(
        at("2026-01-01T12:00Z"), day.end
    )
    assert day.overlap(Interval(day.end, at("2026-01-03T00:00Z"))) is None
    assert not Interval(day.start, day.start)
    assert list(iter_periods(Interval(day.start, day.start), "day", UTC)) == []
    # Half past two twice in one zone: later by the clock's own order, not by its face.
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 45, tzinfo=berlin)
    second = datetime(2026, 10, 25, 2, 15, tzinfo=berlin, fold=1)
    assert Interval(first, second).duration == timedelta(minutes=30)


instants = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2199, 12, 31)).map(  # noqa: DTZ001
    lambda naive: naive.replace(tzinfo=UTC)
)


@given(instants, st.sampled_from(CALENDAR), st.sampled_from(ZONES))
@example(at("2006-10-29T02:30:30Z"), "day", "America/St_Johns")
@example(at("2011-12-30T10:00:00Z"), "hour", "Pacific/Apia")
@example(at("2026-04-04T15:15:00.000001Z"), "hour", "Australia/Lord_Howe")
@example(at("1993-08-21T12:00:00Z"), "day", "Pacific/Kwajalein")
def test_periods_follow_each_other_without_gap_or_overlap(instant: datetime, unit: Unit, name: str) -> None:
    zone = ZoneInfo(name)
    period = floor_period(instant, unit, zone)
    assert instant in period
    following, preceding = next_period(instant, unit, zone), previous_period(instant, unit, zone)
    assert preceding.end == period.start < period.end == following.start
    assert floor_period(period.start, unit, zone) == period
    assert floor_period(period.end - TICK, unit, zone) == period
    assert len({preceding.key, period.key, following.key}) == 3
    if unit != "hour":
        assert preceding.key < period.key < following.key


@given(instants, st.sampled_from(ZONES), st.sampled_from(CALENDAR), st.integers(1, 90))
def test_periods_cover_an_interval(start: datetime, name: str, unit: Unit, days: int) -> None:
    zone = ZoneInfo(name)
    interval = Interval(start, start + timedelta(days=days))
    if unit == "hour":
        interval = Interval(start, start + timedelta(hours=days))
    periods = list(iter_periods(interval, unit, zone))
    assert periods[0].start <= interval.start < periods[0].end
    assert periods[-1].start < interval.end <= periods[-1].end
    assert all(one.end == two.start for one, two in pairwise(periods))
    assert len({period.key for period in periods}) == len(periods)


@given(instants, st.sampled_from(ZONES))
def test_greater_units_begin_with_a_day(instant: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    for unit in ("week", "month", "quarter", "year"):
        period = floor_period(instant, unit, zone)
        assert floor_period(period.start, "day", zone).start == period.start
        assert floor_period(period.end, "day", zone).start == period.end


@pytest.mark.parametrize("name", [zone for zone in ZONES if zone != "America/St_Johns"])
def test_days_are_what_the_wall_clock_says(name: str) -> None:
    """Every quarter hour of twenty-two years against the date on the wall."""
    zone = ZoneInfo(name)
    # Where a clock goes back over midnight the rule is another one, tested above.
    instant, end = at("2012-01-01T00:00Z"), at("2034-01-01T00:00Z")
    period = floor_period(instant, "day", zone)
    while instant < end:
        if instant >= period.end:
            period = floor_period(instant, "day", zone)
        wall: date = instant.astimezone(zone).date()
        assert period.key == wall.isoformat(), instant
        instant += (
            timedelta(minutes=15) if abs(instant - period.end) < timedelta(hours=2) else timedelta(hours=1)
        )


def test_no_framework_is_needed() -> None:
    code = (
        "import sys, importlib.util as u;"
        "spec = u.spec_from_file_location('periods', 'agent_factory_site/common/periods.py');"
        "m = u.module_from_spec(spec); sys.modules['periods'] = m; spec.loader.exec_module(m);"
        "assert 'django' not in sys.modules; print(m.UNITS)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "('hour', 'day', 'week', 'month', 'quarter', 'year', 'total')\n"
