"""Maintenance windows: recurrence by the wall clock, bounded, merged, and equal to looking at every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_factory_site.common.periods import Interval
from operations.slo.domain.budget import Adjustment, budget_of
from operations.slo.domain.counts import Counts, sum_counts
from operations.slo.domain.exclusions import (
    Maintenance,
    ends_before,
    excluded,
    holds,
    merge,
    minutes_of,
    occurrences,
    rule_fault,
    whole_hours,
)
from operations.slo.domain.tiling import floor_to, tile
from operations.slo.domain.windows import CalendarWindow, minutes_in, so_far, window_at
from tests.effort import examples

pytestmark = pytest.mark.once

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
YEAR = Interval(datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _interval(start: str, end: str) -> Interval:
    return Interval(_utc(start), _utc(end))


def _starts(rule: str, start: str, within: Interval, zone: ZoneInfo = BERLIN) -> list[str]:
    local = datetime.fromisoformat(start).replace(tzinfo=zone)
    window = Maintenance(local.astimezone(UTC), HOUR, rule, zone)
    return [f"{found.start:%m-%dT%H:%M}" for found in occurrences(window, within)]


def test_a_window_once() -> None:
    window = Maintenance(_utc("2026-11-22T01:00"), HOUR, None, BERLIN)
    assert list(occurrences(window, YEAR)) == [_interval("2026-11-22T01:00", "2026-11-22T02:00")]
    assert list(occurrences(window, _interval("2026-11-22T02:00", "2026-11-23T00:00"))) == []
    inside = _interval("2026-11-22T01:20", "2026-11-22T01:30")
    assert excluded([window], inside) == [inside]


def test_two_at_night_stays_two_at_night_when_clocks_change() -> None:
    march = _interval("2026-03-27T12:00", "2026-03-31T12:00")
    # On the 29th 02:00 is skipped and comes an hour later by the clock; the others are 01:00 and 00:00 UTC.
    assert _starts("FREQ=DAILY", "2020-01-01T02:00", march) == [
        "03-28T01:00", "03-29T01:00", "03-30T00:00", "03-31T00:00",
    ]  # fmt: skip
    october = _interval("2026-10-23T12:00", "2026-10-27T12:00")
    # On the 25th 02:00 comes twice: the first is meant.
    assert _starts("FREQ=DAILY", "2020-01-01T02:00", october) == [
        "10-24T00:00", "10-25T00:00", "10-26T01:00", "10-27T01:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "start", "expected"),
    [
        (
            "FREQ=WEEKLY;BYDAY=SU", "2026-11-01T02:00",
            ["11-01T01:00", "11-08T01:00", "11-15T01:00", "11-22T01:00", "11-29T01:00"],
        ),
        ("RRULE:FREQ=WEEKLY;INTERVAL=2", "2019-01-06T02:00", ["11-01T01:00", "11-15T01:00", "11-29T01:00"]),
        ("freq=monthly;byday=1SU", "2026-01-01T02:00", ["11-01T01:00"]),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-01T02:00", ["11-30T01:00"]),
        ("FREQ=MONTHLY", "2026-01-31T02:00", []),
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=-1FR", "2020-01-01T02:00", ["11-27T01:00"]),
        ("FREQ=DAILY;COUNT=3", "2026-11-02T02:00", ["11-02T01:00", "11-03T01:00", "11-04T01:00"]),
        ("FREQ=DAILY;COUNT=3", "2026-10-30T02:00", ["11-01T01:00"]),
        ("FREQ=DAILY;UNTIL=20261103", "2026-11-02T02:00", ["11-02T01:00", "11-03T01:00"]),
        ("FREQ=DAILY;UNTIL=20261103T010000Z", "2026-11-02T02:00", ["11-02T01:00", "11-03T01:00"]),
        ("FREQ=DAILY;UNTIL=20261103T015959", "2026-11-02T02:00", ["11-02T01:00"]),
        ("FREQ=DAILY;UNTIL=20200101", "2026-11-02T02:00", []),
        (
            "FREQ=HOURLY;INTERVAL=6;BYDAY=MO;BYMONTHDAY=-1", "2025-01-01T03:00",
            ["11-30T02:00", "11-30T08:00", "11-30T14:00", "11-30T20:00"],
        ),
        ("FREQ=HOURLY;BYHOUR=3;BYMONTH=11;COUNT=2", "2026-10-30T03:00", ["11-01T02:00", "11-02T02:00"]),
        ("FREQ=DAILY;BYHOUR=1,3;BYMONTHDAY=5", "2026-01-01T02:30", ["11-05T00:30", "11-05T02:30"]),
    ],
)  # fmt: skip
def test_rules_in_november(rule: str, start: str, expected: list[str]) -> None:
    assert rule_fault(rule) == ""
    assert _starts(rule, start, _interval("2026-11-01T00:00", "2026-12-01T00:00")) == expected


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("until", ["99991231", "99991231T235959", "99991231T235959Z"])
def test_the_year_9999_is_no_end(until: str, zone: str) -> None:
    rule, clock = f"FREQ=DAILY;UNTIL={until}", ZoneInfo(zone)
    start = datetime(2026, 10, 1, tzinfo=clock)
    assert rule_fault(rule) == ""
    assert not ends_before(rule, start, clock)
    window = Maintenance(start.astimezone(UTC), HOUR, rule, clock)
    day = Interval(
        datetime(2026, 11, 1, tzinfo=clock).astimezone(UTC),
        datetime(2026, 11, 3, tzinfo=clock).astimezone(UTC),
    )
    assert [one.start.astimezone(clock).day for one in occurrences(window, day)] == [1, 2]
    assert ends_before("FREQ=DAILY;UNTIL=00010101T000000Z", start, clock)


@pytest.mark.parametrize(
    "rule", ["FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=31", "FREQ=YEARLY;INTERVAL=3;BYMONTH=2;BYMONTHDAY=29"]
)
def test_a_rule_that_recurs_from_some_start_is_taken(rule: str) -> None:
    assert rule_fault(rule) == ""


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("", "written like"),
        ("WEEKLY", "written like"),
        ("FREQ=SECONDLY", "by the hour at most"),
        ("FREQ=MINUTELY;INTERVAL=60", "by the hour at most"),
        ("FREQ=FORTNIGHTLY", "FREQ is"),
        ("BYDAY=SU", "FREQ is"),
        ("FREQ=DAILY;FREQ=DAILY", "stands twice"),
        ("FREQ=DAILY;COUNT=1;UNTIL=20270101", "not by both"),
        ("FREQ=DAILY;COUNT=0", "COUNT is from 1"),
        ("FREQ=DAILY;COUNT=1000000000", "COUNT is from 1"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL is from 1"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL is"),
        ("FREQ=DAILY;UNTIL=20261399", "."),
        ("FREQ=WEEKLY;BYDAY=SUNDAY", "BYDAY is"),
        ("FREQ=WEEKLY;WKST=XX", "WKST is"),
        ("FREQ=YEARLY;BYMONTH=13", "BYMONTH is"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "has no 0"),
        ("FREQ=DAILY;BYSECOND=0,1", "BYSECOND"),
        ("FREQ=YEARLY;BYEASTER=0", "BYEASTER"),
        ("FREQ=HOURLY;BYMINUTE=0,30", "24 times a day"),
        ("FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=0,10,20,30,40", "24 times a day"),
        ("FREQ=DAILY\nRRULE:FREQ=DAILY", "FREQ is"),
        ("FREQ=DAILY;" + "X" * 500, "more than 500"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS goes with"),
        ("FREQ=WEEKLY;BYDAY=1SU", "days with a number".capitalize()),
        ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY does not"),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30", "never recurs"),
    ],
)
def test_rules_that_are_refused_say_why(rule: str, words: str) -> None:
    fault = rule_fault(rule)
    assert words in fault
    assert fault.endswith(".")
    assert fault[0].isupper()


def test_a_rule_without_end_is_expanded_only_where_it_is_asked_for() -> None:
    window = Maintenance(_utc("2000-01-01T00:30"), 10 * MINUTE, "FREQ=HOURLY", ZoneInfo("UTC"))
    asked = _interval("2099-06-01T00:00", "2099-06-02T00:00")
    found = excluded([window], asked)
    assert len(found) == 24
    assert minutes_of(found) == 240
    for freq in ("DAILY", "HOURLY"):
        never = Maintenance(_utc("2000-01-01T00:30"), HOUR, f"FREQ={freq};BYMONTH=2;BYMONTHDAY=30", BERLIN)
        assert excluded([never], asked) == []


def test_an_occurrence_that_began_before_reaches_in() -> None:
    window = Maintenance(_utc("2026-11-01T00:00"), timedelta(days=3), "FREQ=MONTHLY", ZoneInfo("UTC"))
    assert excluded([window], _interval("2026-12-03T00:00", "2026-12-10T00:00")) == [
        _interval("2026-12-03T00:00", "2026-12-04T00:00")
    ]


def test_overlapping_windows_are_merged() -> None:
    parts = [
        _interval("2026-11-01T02:00", "2026-11-01T03:00"),
        _interval("2026-11-01T00:00", "2026-11-01T01:00"),
        _interval("2026-11-01T01:00", "2026-11-01T01:30"),
        _interval("2026-11-01T02:10", "2026-11-01T02:20"),
        _interval("2026-11-01T05:00", "2026-11-01T05:00"),
    ]
    merged = merge(parts)
    assert merged == [
        _interval("2026-11-01T00:00", "2026-11-01T01:30"),
        _interval("2026-11-01T02:00", "2026-11-01T03:00"),
    ]
    assert minutes_of(merged) == 150
    assert [holds(merged, _utc(f"2026-11-01T{text}")) for text in ("01:29", "01:30", "02:00", "03:00")] == [
        True, False, True, False,
    ]  # fmt: skip


def test_where_only_hours_are_left_whole_hours_are_excluded() -> None:
    exact = [_interval("2026-01-01T10:00", "2026-01-01T12:00")]
    assert whole_hours(exact) == (exact, False)
    hours, rounded = whole_hours(
        [_interval("2026-01-01T09:30", "2026-01-01T11:29"), _interval("2026-01-01T20:00", "2026-01-01T20:10")]
    )
    assert (hours, rounded) == ([_interval("2026-01-01T09:00", "2026-01-01T11:00")], True)
    # Two short ones in one hour count together.
    two = [
        _interval("2026-01-01T09:00", "2026-01-01T09:15"),
        _interval("2026-01-01T09:30", "2026-01-01T09:45"),
    ]
    assert whole_hours(two) == ([_interval("2026-01-01T09:00", "2026-01-01T10:00")], True)


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
WINDOWS = st.builds(
    lambda day, minute, length, rule, zone: Maintenance(
        _utc("2026-01-01T00:00") + timedelta(days=day, minutes=minute), timedelta(minutes=length), rule, zone
    ),
    st.integers(0, 364),
    st.integers(0, 1439),
    st.integers(1, 3000),
    st.sampled_from(
        [None, "FREQ=WEEKLY", "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=MO,SA", "FREQ=DAILY;COUNT=5"]
    ),
    ZONES.map(ZoneInfo),
)


def _by_hand(window: Maintenance, minute: datetime) -> bool:
    """Whether a minute is excluded, by trying each day on which an occurrence may have begun."""
    if window.rrule is None:
        return window.starts_at <= minute < window.starts_at + window.duration
    first = window.starts_at.astimezone(window.zone).replace(tzinfo=None)
    today = minute.astimezone(window.zone).date()
    for back in range(window.duration // timedelta(days=1) + 3):
        day = today - timedelta(days=back - 1)
        days = (day - first.date()).days
        begins = datetime.combine(day, first.time(), window.zone).astimezone(UTC)
        named = {
            "FREQ=WEEKLY": days % 7 == 0,
            "FREQ=DAILY;INTERVAL=3": days % 3 == 0,
            "FREQ=WEEKLY;BYDAY=MO,SA": day.weekday() in (0, 5),
            "FREQ=DAILY;COUNT=5": days < 5,
        }[window.rrule]
        if days >= 0 and named and begins <= minute < begins + window.duration:
            return True
    return False


@given(
    st.lists(WINDOWS, max_size=4), st.integers(0, 370 * 1440), ZONES, st.sampled_from(["week", "month"]),
    st.randoms(use_true_random=False), st.integers(-50, 50), st.sampled_from(["occurrences", "timeslices"]),
)  # fmt: skip
@settings(max_examples=examples(15), deadline=None)
def test_a_calendar_window_with_exclusions_and_adjustments_equals_looking_at_every_minute(
    windows: list[Maintenance],
    minute: int,
    zone: str,
    unit: str,
    random: object,
    given_back: int,
    budgeting: str,
) -> None:
    at = _utc("2026-01-01T00:00") + minute * MINUTE
    window = CalendarWindow(unit, ZoneInfo(zone))  # type: ignore[arg-type]
    whole, begun = window_at(window, at), so_far(window, at)
    # Minutes of data on both sides of the window too.
    seconds = range(int((whole.start - HOUR).timestamp()), int((begun.end + HOUR).timestamp()), 60 * 7)
    data = {}
    for second in seconds:
        total = random.randint(1, 9)  # type: ignore[attr-defined]
        data[datetime.fromtimestamp(second, UTC)] = (random.randint(0, total), total)  # type: ignore[attr-defined]

    # Ours: buckets with their excluded part, summed by the tiles of the window.
    off = excluded(windows, Interval(whole.start - 2 * HOUR, whole.end + 2 * HOUR))
    tiers: dict[str, dict[datetime, Counts]] = {"minute": {}, "hour": {}, "day": {}}
    for instant, (good, total) in data.items():
        slices = (1, 0) if good == total else (0, 1)
        out = holds(off, instant)
        row = Counts(good, total, 0, *slices, *((good, total, *slices) if out else (0, 0, 0, 0)))
        for tier, rows in tiers.items():
            bucket = floor_to(instant, tier)  # type: ignore[arg-type]
            rows[bucket] = rows.get(bucket, Counts()) + row
    counts = Counts()
    for part in tile(begun).ranges:
        rows = tiers[part.tier]
        found = sum_counts(row for bucket, row in rows.items() if part.start <= bucket < part.end)
        counts = counts + found if part.sign > 0 else counts - found
    budget = budget_of(
        counts, target=Fraction(9, 10), budgeting=budgeting,  # type: ignore[arg-type]
        window_minutes=minutes_in(whole), excluded_minutes=minutes_of(excluded(windows, whole)),
        adjustments=[Adjustment(events=given_back), Adjustment(minutes=Decimal("1.5"))],
    )  # fmt: skip

    # Theirs: every minute by itself, with local dates and no interval arithmetic.
    def local(instant: datetime) -> object:
        day = instant.astimezone(ZoneInfo(zone)).date()
        return day.isocalendar()[:2] if unit == "week" else (day.year, day.month)

    good = total = good_slices = slices_seen = 0
    for instant, (ok, seen) in data.items():
        if local(instant) == local(at) and instant <= at and not any(_by_hand(w, instant) for w in windows):
            good, total = good + ok, total + seen
            good_slices, slices_seen = good_slices + (ok == seen), slices_seen + 1
    countable = 0
    reach = timedelta(days=8 if unit == "week" else 32)
    instant = at - reach
    while instant < at + reach:
        if local(instant) == local(at) and not any(_by_hand(w, instant) for w in windows):
            countable += 1
        instant += MINUTE
    expected = (good, total) if budgeting == "occurrences" else (good_slices, slices_seen)
    assert (budget.good, budget.counted) == expected
    assert budget.minutes == Fraction(countable, 10)
    if budget.left is not None:
        size = Fraction(total, 10) if budgeting == "occurrences" else Fraction(countable, 10)
        back = given_back + Fraction(3, 2) * (size / Fraction(countable, 10))
        assert budget.left == size + back - (expected[1] - expected[0])
        assert budget.met is (budget.left >= 0)
    else:
        assert expected[1] == 0
