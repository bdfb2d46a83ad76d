"""How service levels stand: exact numbers, both views, groups, gaps, and calendars against every sample."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.errors import Invalid, NotFound
from operations.slo.domain.sample_input import SampleInput
from operations.slo.domain.windows import so_far, window_at
from operations.slo.models import Slo, SloMinute, SloSample
from operations.slo.selectors.definitions import definition_of
from operations.slo.selectors.history import daily_levels, slo_history
from operations.slo.selectors.status import group_statuses, slo_status, statuses
from operations.slo.services.maintenance import archive_maintenance_window, create_maintenance_window
from operations.slo.services.record_samples import record_samples
from operations.slo.services.remarks import adjust_budget
from operations.slo.services.slos import archive_slo, create_slo
from tests.operations.slo_setup import sample, valued

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(second=0, microsecond=0)
MINUTE = timedelta(minutes=1)


def made(key: str = "slo", **fields: object) -> Slo:
    """An SLO of 99.9 % over 30 days with an indicator of its own."""
    sli = {"key": key, "kind": "ratio", **fields.pop("sli", {})}  # type: ignore[dict-item]
    body = {"key": key, "sli": sli, "target": 0.999, "window": {"rolling": "30d"}, **fields}
    return create_slo(body=body)


def recorded(sli: str, *samples: SampleInput) -> None:
    outcome = record_samples(sli=sli, samples=list(samples))
    assert outcome.rejected == {}


def test_a_status_says_what_was_counted_and_what_is_left() -> None:
    slo = made()
    recorded("slo", sample("a", NOW - timedelta(days=10), 99_123, 99_999))
    found = slo_status(slo, at=NOW)
    assert (found.level.good, found.level.total) == (99_123, 99_999)
    assert found.sli == Fraction(99_123, 99_999)
    assert (found.budget.total, found.budget.spent) == (Fraction(99_999, 1000), 876)
    assert found.budget.left == Fraction(99_999, 1000) - 876
    assert found.state == "missed"
    assert found.sentences["budget"] == "99,123 of 99,999 good; budget 100, 876 used."
    assert found.coverage == Fraction(1, 43_200)
    assert found.exhaustion.outlook == "exhausted"
    assert {length: burn.rate for length, burn in found.burns.items()} == dict.fromkeys(found.burns)
    assert [one.state for one in found.conditions] == ["unknown"] * 3
    assert found.window.end - found.window.start == timedelta(days=30)
    assert "99,123 of 99,999 good; budget 100, 876 used." in found.text


def test_no_data_is_neither_met_nor_missed_nor_a_number() -> None:
    found = slo_status(made(), at=NOW)
    assert (found.state, found.sli, found.budget.left, found.exhaustion.outlook) == (
        "no_data",
        None,
        None,
        "no_data",
    )
    assert found.coverage == 0
    assert found.text == "No data in this window: it is neither met nor missed."
    assert [one.state for one in found.conditions] == ["unknown"] * 3


def test_burn_rates_are_those_of_their_windows() -> None:
    slo = made()
    recorded(
        "slo",
        sample("a", NOW - 2 * MINUTE, 98, 100),
        sample("b", NOW - 20 * MINUTE, 100, 100),
        sample("c", NOW - timedelta(hours=5), 800, 800),
        sample("d", NOW - timedelta(days=2), 9000, 9000),
    )
    rates = {length // MINUTE: burn.rate for length, burn in slo_status(slo, at=NOW).burns.items()}
    assert rates == {
        5: 20, 30: 10, 60: 10, 120: 10, 360: 2, 1440: 2, 4320: Fraction(1, 5),
    }  # fmt: skip


def test_both_views_answer_with_and_without_maintenance() -> None:
    slo = made(budgeting="timeslices", sli={"slice_target": 0.9})
    begin = NOW - timedelta(hours=2)
    recorded("slo", *(sample(f"{n}", begin + n * MINUTE, 0 if n < 10 else 1) for n in range(60)))
    before = slo_status(slo, at=NOW)
    assert (before.level.good, before.level.total, before.budget.spent) == (50, 60, 10)
    assert before.budget.total == Fraction(432, 10)
    window = create_maintenance_window(
        body={"name": "move", "starts_at": begin.isoformat(), "duration": "5m", "slos": ["slo"]}
    )
    found = {view: slo_status(slo, at=NOW, view=view) for view in ("after", "before")}  # type: ignore[arg-type]
    assert (found["after"].level.good, found["after"].level.total, found["after"].budget.spent) == (50, 55, 5)
    assert found["after"].budget.total == Fraction(43_195, 1000)
    assert found["after"].excluded_minutes == 5
    assert (found["before"].level, found["before"].budget) == (before.level, before.budget)
    archive_maintenance_window(window=window.pk)
    assert slo_status(slo, at=NOW).level == before.level


def test_an_adjustment_counts_where_it_belongs() -> None:
    slo = made(group_by=["agent"])
    recorded("slo", sample("a", NOW - MINUTE, 9_990, 10_000, labels={"agent": "x"}))
    adjust_budget(slo="slo", events=5, reason="a drill")
    adjust_budget(slo="slo", events=-3, reason="a group", labels={"agent": "x"})
    adjust_budget(slo="slo", events=7, reason="long ago", at=NOW - timedelta(days=40))
    assert slo_status(slo, at=timezone.now()).budget.left == 5
    assert slo_status(slo, {"agent": "x"}, at=timezone.now()).budget.left == -3


def test_an_adjustment_counts_from_its_time_on() -> None:
    """In a period of the calendar too, which holds times that had not come yet."""
    slo = made(window={"calendar": "year", "timezone": "UTC"})
    june = datetime(NOW.year - 1, 6, 2, tzinfo=UTC)
    adjust_budget(slo="slo", events=5, reason="a drill", at=june)
    moments = (june - MINUTE, june, june + MINUTE, datetime(NOW.year - 1, 12, 31, tzinfo=UTC))
    assert [slo_status(slo, at=moment).budget.adjusted for moment in moments] == [0, 5, 5, 5]


def test_groups_stand_by_themselves_worst_first() -> None:
    slo = made(group_by=["agent"])
    recorded(
        "slo",
        sample("a", NOW - MINUTE, 100, 100, labels={"agent": "good"}),
        sample("b", NOW - MINUTE, 50, 100, labels={"agent": "bad"}),
        sample("c", NOW - MINUTE, 99, 100),
    )
    found = group_statuses(slo, at=NOW)
    assert [(one.labels["agent"], one.level.good, one.level.total) for one in found] == [
        ("bad", 50, 100), ("good", 100, 100),
    ]  # fmt: skip
    assert slo_status(slo, at=NOW).level.total == 300
    with pytest.raises(NotFound):
        slo_status(slo, {"agent": "unknown"})
    with pytest.raises(Invalid):
        slo_status(slo, {"colour": "red"})


def test_the_queries_of_many_do_not_grow() -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as read:
            found = statuses(Slo.objects.order_by("key"), NOW)
        assert [one.level.total for one in found] == [1] * len(found)
        return len(read)

    taken = []
    for number in range(6):
        made(f"one-{number}")
        recorded(f"one-{number}", sample("a", NOW - MINUTE))
        taken.append(count())
    assert taken == taken[:1] * 6


def test_an_archived_slo_stands_as_it_did() -> None:
    slo = made()
    recorded("slo", sample("a", timezone.now() - MINUTE, 3, 4))
    archive_slo(slo="slo")
    slo = Slo.objects.get()
    found = slo_status(slo)
    assert (found.at, found.level.good, found.level.total) == (slo.archived_at, 3, 4)


@pytest.mark.parametrize(
    ("unit", "zone"),
    [("month", "Europe/Berlin"), ("week", "America/New_York"), ("month", "Australia/Lord_Howe")],
)
def test_calendar_windows_with_changing_clocks_equal_every_sample(unit: str, zone: str) -> None:
    """A window that begins or goes on across a change of clocks, against adding up the stored samples."""
    slo = made(window={"calendar": unit, "timezone": zone}, target=0.95, sli={"slice_target": 0.5})
    rng = random.Random(f"{unit} {zone}")
    newest = timezone.now() - timedelta(hours=1)
    spread = 34 * 1440
    recorded(
        "slo",
        *(
            sample(f"{n}", newest - rng.randrange(spread) * MINUTE, rng.randrange(3), 2 + rng.randrange(3))
            for n in range(1500)
        ),
    )
    window = definition_of(slo).window
    for _ in range(8):
        at = newest - rng.randrange(spread - 2 * 1440) * MINUTE
        whole = window_at(window, at)
        assert whole.start.astimezone(ZoneInfo(zone)).strftime("%H:%M:%S") == "00:00:00"
        begun = so_far(window, at)
        rows = list(SloSample.objects.filter(timestamp__gte=begun.start, timestamp__lt=begun.end))
        minutes = {row.timestamp.replace(second=0, microsecond=0) for row in rows}
        found = slo_status(slo, at=at)
        assert (found.level.good, found.level.total) == (
            sum(r.good for r in rows),
            sum(r.total for r in rows),
        )
        assert found.counts.slices == len(minutes)
        if rows:
            assert found.budget.left == Fraction(5, 100) * found.level.total - (
                found.level.total - found.level.good
            )


@pytest.mark.parametrize(
    ("window", "step"),
    [({"rolling": "2d"}, 15), ({"rolling": "30h"}, 60), ({"rolling": "3d"}, 1440)]
    + [({"calendar": "week", "timezone": "Asia/Kathmandu"}, step) for step in (15, 60, 1440)],
)
def test_a_history_is_the_status_at_each_of_its_steps(window: dict[str, str], step: int) -> None:
    slo = made(window=window, target=0.9, sli={"slice_target": 0.5})
    rng = random.Random(step)
    recorded(
        "slo",
        *(sample(f"{n}", NOW - rng.randrange(9 * 1440) * MINUTE, rng.randrange(3), 2) for n in range(1500)),
    )
    create_maintenance_window(
        body={
            "name": "nightly", "starts_at": (NOW - timedelta(days=9)).isoformat(), "duration": "47m",
            "rrule": "FREQ=DAILY", "slos": ["slo"],
        }
    )  # fmt: skip
    length = timedelta(minutes=step)
    end = NOW - timedelta(hours=1)
    found = slo_history(
        slo, start=end - 20 * length if step < 1440 else end - 5 * length, end=end, step=length
    )
    assert found.points
    for point in found.points:
        counted = SloSample.objects.filter(timestamp__gte=point.start, timestamp__lt=point.end)
        assert point.counts.total == sum(row.total for row in counted)
        stood = slo_status(slo, at=point.end - MINUTE)
        assert point.budget == stood.budget
    assert found.note == ""


def test_a_history_chooses_its_steps_and_refuses_too_many() -> None:
    slo = made(sli={"kind": "threshold", "threshold": 1, "unit": "seconds"})
    recorded("slo", *(valued(f"{n}", NOW - 30 * MINUTE, n / 100) for n in range(1, 101)))
    day = slo_history(slo, start=NOW - timedelta(days=1), end=NOW, quantiles=True)
    assert (day.step, len(day.points) <= 500) == (timedelta(minutes=5), True)
    (known,) = [point for point in day.points if point.total]
    assert list(known.quantiles) == pytest.approx([0.5, 0.9, 0.99], rel=0.01)
    assert (known.good, known.total, known.bad_minutes) == (100, 100, None)
    with pytest.raises(Invalid, match="500 points"):
        slo_history(slo, start=NOW - timedelta(days=1), end=NOW, step=MINUTE)
    coarse = slo_history(slo, start=NOW - timedelta(days=60), end=NOW - timedelta(days=50), step=MINUTE * 30)
    assert coarse.step == timedelta(hours=1)
    assert coarse.note == "Steps are 1h: 30m is no longer kept that far back."


def test_the_trend_of_a_list_is_a_level_a_day() -> None:
    slo = made()
    at = datetime(NOW.year, NOW.month, NOW.day, tzinfo=UTC) - timedelta(days=2)
    recorded("slo", sample("a", at, 3, 4), sample("b", at - timedelta(days=1), 1, 1))
    assert daily_levels([slo], at=at, days=3) == {slo.pk: [None, 1.0, 0.75]}


def test_minutes_are_taken_off_where_that_is_less_to_read() -> None:
    slo = made(target=Decimal("0.5"))
    recorded("slo", *(sample(f"{n}", NOW - n * MINUTE) for n in range(3000)))
    assert SloMinute.objects.count() == 3000
    found = slo_status(slo, at=NOW)
    assert found.level.total == 3000
    assert [burn.events for burn in found.burns.values()] == [5, 30, 60, 120, 360, 1440, 3000]
