"""Random maintenance windows through the database, against a look at every minute.

Windows come before, between and after samples, are changed and archived, overlap, recur, and lie around the nights
in which clocks change. The reference knows neither rules nor zones, only days, wall clocks and the two offsets
that a zone has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agent_factory_site.common.models import Job
from agent_factory_site.common.services.jobs import run_job
from operations.slo.models import EPOCH, MaintenanceWindow, bucket_number
from operations.slo.selectors.exclusion_minutes import excluded_minutes
from operations.slo.services.maintenance import (
    archive_maintenance_window,
    change_maintenance_window,
    create_maintenance_window,
)
from operations.slo.services.record_samples import record_samples
from tests.effort import examples
from tests.operations.slo_setup import make_slo, rows_of, sample

pytestmark = pytest.mark.django_db

# Both have nights in which clocks change within the minutes kept before them.
NOWS = (datetime(2025, 11, 5, 12, 30, tzinfo=UTC), datetime(2026, 4, 8, 3, 59, 59, tzinfo=UTC))
OFFSETS = {
    "UTC": (0.0, 0.0),
    "Europe/Berlin": (1.0, 2.0),
    "America/New_York": (-5.0, -4.0),
    "Australia/Lord_Howe": (10.5, 11.0),
}
# The UTC instants at which summer time begins or ends, of the years looked at.
CHANGES = {
    "UTC": [],
    "Europe/Berlin": ["2024-03-31T01", "2024-10-27T01", "2025-03-30T01", "2025-10-26T01", "2026-03-29T01"],
    "America/New_York": ["2024-03-10T07", "2024-11-03T06", "2025-03-09T07", "2025-11-02T06", "2026-03-08T07"],
    "Australia/Lord_Howe": [
        "2024-04-06T15", "2024-10-05T15:30", "2025-04-05T15", "2025-10-04T15:30", "2026-04-04T15",
    ],
}  # fmt: skip
DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def offset(instant: datetime, zone: str) -> timedelta:
    """How far the clocks of a zone are ahead at an instant."""
    passed = [at for at in CHANGES[zone] if datetime.fromisoformat(at).replace(tzinfo=UTC) <= instant]
    summer = len(passed) % 2 == (0 if zone == "Australia/Lord_Howe" else 1)
    return timedelta(hours=OFFSETS[zone][summer])


def instant_of(wall: datetime, zone: str) -> datetime:
    """The first instant at which a clock shows ``wall``; where it is skipped, as if it had not been put on yet."""
    winter, summer = (wall.replace(tzinfo=UTC) - timedelta(hours=hours) for hours in OFFSETS[zone])
    if offset(summer, zone) == timedelta(hours=OFFSETS[zone][1]):
        return summer
    return winter


@dataclass(frozen=True)
class Window:
    """A window in words that a person would use."""

    zone: str
    first: date
    at: time
    minutes: int
    every: str
    interval: int
    days: tuple[int, ...]
    ends: int | date | None

    def body(self) -> dict[str, Any]:
        return {
            "name": "Random",
            "starts_at": instant_of(datetime.combine(self.first, self.at), self.zone).isoformat(),
            "duration": f"{self.minutes}m",
            "rrule": self.rule(),
            "timezone": self.zone,
            "all_slos": True,
        }

    def rule(self) -> str | None:
        if self.every == "once":
            return None
        parts = [f"FREQ={self.every}", f"INTERVAL={self.interval}"]
        if self.every == "WEEKLY":
            parts.append("BYDAY=" + ",".join(DAYS[day % 7] for day in self.days))
        if self.every == "MONTHLY":
            parts.append("BYMONTHDAY=" + ",".join(str(day) for day in self.days))
        if isinstance(self.ends, int):
            parts.append(f"COUNT={self.ends}")
        elif self.ends is not None:
            parts.append(f"UNTIL={self.ends:%Y%m%d}")
        return ";".join(parts)

    def fits(self, day: date) -> bool:
        if self.every == "DAILY":
            return (day - self.first).days % self.interval == 0
        if self.every == "WEEKLY":
            monday, first = day - timedelta(day.weekday()), self.first - timedelta(self.first.weekday())
            wanted = {number % 7 for number in self.days}
            return day.weekday() in wanted and (monday - first).days // 7 % self.interval == 0
        months = (day.year - self.first.year) * 12 + day.month - self.first.month
        left = day.day - 1 - ((day.replace(day=28) + timedelta(4)).replace(day=1) - timedelta(1)).day
        return months % self.interval == 0 and bool({day.day, left} & set(self.days))

    def walls(self, until: date) -> Iterator[datetime]:
        """The clock times at which it begins, each day looked at."""
        first = datetime.combine(self.first, self.at)
        if self.every == "once":
            yield first
            return
        found: list[datetime] = []
        if self.every == "HOURLY":
            steps = range(int((until - self.first) / timedelta(hours=self.interval)) + 1)
            found = [first + timedelta(hours=self.interval) * step for step in steps]
        else:
            days = [self.first + timedelta(number) for number in range((until - self.first).days + 1)]
            found = [datetime.combine(day, self.at) for day in days if self.fits(day)]
        if isinstance(self.ends, int):
            found = found[: self.ends]
        elif self.ends is not None:
            found = [wall for wall in found if wall.date() <= self.ends]
        yield from found

    def excluded(self, start: int, end: int) -> set[int]:
        """The minutes since 1970 that it excludes."""
        found: set[int] = set()
        for wall in self.walls((EPOCH + timedelta(minutes=end)).date() + timedelta(2)):
            begins = instant_of(wall, self.zone)
            seconds = int((begins - EPOCH).total_seconds())
            found.update(range(max(start, seconds // 60), min(end, -(-(seconds + self.minutes * 60) // 60))))
        return found


@st.composite
def windows(draw: st.DrawFn, now: datetime) -> Window:
    every = draw(st.sampled_from(["once", "HOURLY", "DAILY", "WEEKLY", "MONTHLY"]))
    last = 40 if every == "once" else 400
    first = now.date() - timedelta(draw(st.integers(-1, last)))
    numbers = st.sampled_from([*range(1, 32), *range(-5, 0)])
    ends = st.one_of(
        st.none(),
        st.integers(1, 120),
        st.integers(-40, 3).map(lambda day: max(first, now.date() + timedelta(day))),
    )
    return Window(
        zone=draw(st.sampled_from(sorted(OFFSETS))),
        first=first,
        at=time(draw(st.integers(0, 3) | st.integers(0, 23)), draw(st.sampled_from([0, 30, 59]))),
        minutes=draw(st.sampled_from([1, 7, 60, 90, 600, 1500, 4000])),
        every=every,
        interval=draw(st.integers(1, 30) if every == "HOURLY" else st.integers(1, 3)),
        days=tuple(draw(st.lists(numbers, min_size=1, max_size=3, unique=True))),
        ends=draw(ends) if every != "once" else None,
    )


def run_jobs() -> None:
    for job in Job.objects.filter(state="queued").order_by("pk"):
        assert run_job(job_id=job.pk)


class EveryMinute(TestCase):
    """What is excluded is what a look at every minute says, whatever came first."""

    @settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_the_same_minutes(self, data: st.DataObject) -> None:
        now = data.draw(st.sampled_from(NOWS))
        with patch.object(timezone, "now", lambda: now):
            self._go(now, data)

    def _go(self, now: datetime, data: st.DataObject) -> None:
        slo = make_slo()
        end = bucket_number(now, "minute") + 60
        start = bucket_number(now - timedelta(days=34), "minute")
        nights = [
            bucket_number(datetime.fromisoformat(at).replace(tzinfo=UTC), "minute")
            for some in CHANGES.values()
            for at in some
        ]
        near = [night for night in nights if start + 3000 <= night < end - 3000]
        places = st.integers(start, end - 1) | st.builds(
            lambda night, more: night + more, st.sampled_from(near), st.integers(-300, 300)
        )
        stored: dict[Any, Window] = {}
        counted: dict[int, int] = {}
        for step in data.draw(
            st.lists(st.sampled_from(["samples", "make", "change", "archive"]), max_size=7)
        ):
            if step == "samples":
                minutes = data.draw(st.lists(places, max_size=30))
                record_samples(
                    sli="answers",
                    samples=[
                        sample(f"{len(counted)}-{n}-{minute}", EPOCH + timedelta(minutes=minute))
                        for n, minute in enumerate(minutes)
                    ],
                )
                for minute in minutes:
                    counted[minute] = counted.get(minute, 0) + 1
            elif step == "make":
                window = data.draw(windows(now))
                stored[create_maintenance_window(body=window.body()).pk] = window
            elif stored:
                pk = data.draw(st.sampled_from(sorted(stored)))
                if step == "archive":
                    archive_maintenance_window(window=pk)
                    del stored[pk]
                else:
                    stored[pk] = data.draw(windows(now))
                    change_maintenance_window(window=pk, changes=stored[pk].body())
            if data.draw(st.booleans()):
                run_jobs()
        run_jobs()
        off: set[int] = set()
        for window in stored.values():
            off |= window.excluded(start, end)
        holds = excluded_minutes([slo.pk], start, end)[slo.pk]
        assert {minute for minute in range(start, end) if holds(minute)} == off
        rows = rows_of(slo)
        assert {bucket_number(at, "minute"): (row[1], row[6], row[7]) for (_, at), row in rows.items()} == {
            minute: (number, number * (minute in off), int(minute in off))
            for minute, number in counted.items()
        }
        for tier, width in (("hour", 60), ("day", 1440), ("block", 32 * 1440)):
            sums: dict[int, int] = {}
            for minute, number in counted.items():
                sums[minute // width] = sums.get(minute // width, 0) + number * (minute in off)
            assert {bucket_number(at, tier): row[6] for (_, at), row in rows_of(slo, tier).items()} == sums
        assert MaintenanceWindow.objects.filter(archived_at=None).count() == len(stored)
