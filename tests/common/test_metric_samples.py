"""The past of numbers that no rollup keeps: sampled each minute, only while something uses it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.metrics import Metric, Point, Sample, register, unregister
from agent_factory_site.common.models import MetricSample, MetricSeries, MetricWatch, TaskOutcome
from agent_factory_site.common.selectors.metric_samples import sampled_series_now, watchers
from agent_factory_site.common.services.metric_samples import (
    Sampled,
    prune_metric_samples,
    sample_metrics,
    unwatch,
    watch,
)
from agent_factory_site.common.services.task_outcomes import note_failure, note_success
from agent_factory_site.common.tasks import sample_metrics as sample_metrics_task

pytestmark = pytest.mark.django_db

NAME = "agent_factory_tests_waiting_things"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def things() -> Iterator[dict[tuple[str, str], float | None]]:
    values: dict[tuple[str, str], float | None] = {("a", "x"): 1, ("a", "y"): 2, ("b", "x"): 3}

    def current() -> list[Sample]:
        return [Sample({"team": team, "kind": kind}, value) for (team, kind), value in values.items()]

    register(NAME, "Things.", "things", ["team", "kind"], current)
    yield values
    unregister(NAME)


def metric() -> Metric:
    from agent_factory_site.common.metrics import find_metric

    found = find_metric(NAME)
    assert found is not None
    return found


def past(team: str, kind: str, start: datetime, count: int, step: timedelta = MINUTE) -> list[float | None]:
    points = metric().history({"team": team, "kind": kind}, start, start + count * step, step)
    assert [point.at for point in points] == [start + number * step for number in range(count)]
    return [point.value for point in points]  # type: ignore[misc]


def test_nothing_is_sampled_that_nothing_uses(things: Any) -> None:
    assert sample_metrics(now=NOON) == Sampled(0, 0)
    assert MetricSample.objects.count() == 0
    with pytest.raises(LookupError, match="sampled each minute only while something watches it"):
        past("a", "x", NOON, 1)


def test_what_is_watched_has_a_past_from_then_on(things: Any) -> None:
    watch(metric=NAME, labels={"team": "a"}, by="rule:1")
    for number in range(3):
        things["a", "x"] = number
        assert sample_metrics(now=NOON + number * MINUTE + timedelta(seconds=7)) == Sampled(2, 0)
    assert past("a", "x", NOON, 3) == [0, 1, 2]
    assert past("a", "y", NOON, 3) == [2, 2, 2]
    with pytest.raises(LookupError, match="keeps no history of"):
        past("b", "x", NOON, 1)
    assert past("a", "x", NOON - 2 * MINUTE, 8) == [None, None, 0, 1, 2, 2, None, None]
    assert past("a", "x", NOON, 2, timedelta(minutes=2)) == [0, 2]


def test_unknown_stays_unknown_and_a_gap_is_none(things: Any) -> None:
    watch(metric=NAME, by="rule:1")
    sample_metrics(now=NOON)
    things["a", "x"] = None
    sample_metrics(now=NOON + MINUTE)
    things["a", "x"] = 5
    sample_metrics(now=NOON + 5 * MINUTE)
    assert past("a", "x", NOON, 6) == [1, None, None, None, None, 5]


def test_a_minute_is_sampled_once(things: Any) -> None:
    watch(metric=NAME, by="rule:1")
    watch(metric=NAME, labels={"team": "a"}, by="rule:1")
    watch(metric=NAME, by="tile:2")
    sample_metrics(now=NOON)
    things["a", "x"] = 99
    sample_metrics(now=NOON + timedelta(seconds=59))
    assert MetricSample.objects.count() == 3
    assert past("a", "x", NOON, 1) == [1]
    assert sampled_series_now(NOON + MINUTE) == 3
    assert sampled_series_now(NOON + 2 * MINUTE) == 0


def test_watching_is_idempotent_and_ends(things: Any) -> None:
    first = watch(metric=NAME, labels={"kind": "x", "team": "a"}, by="rule:1")
    assert watch(metric=NAME, labels={"team": "a", "kind": "x"}, by="rule:1") == first
    watch(metric=NAME, by="rule:1")
    watch(metric=NAME, by="rule:2")
    assert watchers() == {NAME: ["rule:1", "rule:2"]}
    assert unwatch(metric=NAME, labels={"team": "a", "kind": "x"}, by="rule:1") == 1
    assert unwatch(by="rule:1") == 1
    sample_metrics(now=NOON)
    assert unwatch(metric=NAME, by="rule:2") == 1
    assert sample_metrics(now=NOON + MINUTE) == Sampled(0, 0)
    # What was sampled stays.
    assert past("a", "x", NOON, 1) == [1]
    assert MetricWatch.objects.count() == 0


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"metric": "agent_factory_nothing"}, "/metric"),
        ({"labels": {"user": "x"}}, "/labels"),
        ({"by": ""}, "/by"),
        ({"by": "x" * 201}, "/by"),
    ],
)
def test_a_watch_of_nothing_is_refused(things: Any, given: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        watch(**{"metric": NAME, "by": "rule:1", **given})
    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert MetricWatch.objects.count() == 0


def test_the_cap_keeps_those_that_were_there_first(things: Any, settings: Any) -> None:
    watch(metric=NAME, labels={"team": "b"}, by="rule:1")
    sample_metrics(now=NOON)
    settings.METRIC_SAMPLED_SERIES = 2
    watch(metric=NAME, by="rule:2")
    assert sample_metrics(now=NOON + MINUTE) == Sampled(2, 1)
    assert past("b", "x", NOON, 2) == [3, 3]
    assert MetricSeries.objects.count() == 2


def test_metrics_with_rollups_are_not_sampled() -> None:
    def history(*_: object) -> list[Point]:
        return [Point(NOON, 7)]

    made = register(
        "agent_factory_tests_kept_things",
        "Kept.",
        "things",
        [],
        lambda: [Sample({}, 7)],
        history=history,
    )
    try:
        watch(metric=made.name, by="rule:1")
        assert sample_metrics(now=NOON) == Sampled(0, 0)
        assert made.history({}, NOON, NOON + MINUTE, MINUTE) == [Point(NOON, 7)]
    finally:
        unregister(made.name)


@pytest.mark.parametrize(
    ("start", "end", "step", "message"),
    [
        (NOON, NOON + 2_001 * MINUTE, MINUTE, "2,000 points at most"),
        (NOON, NOON + MINUTE, timedelta(0), "longer than nothing"),
        (NOON.replace(tzinfo=None), NOON, MINUTE, "with a zone"),
    ],
)
def test_a_history_is_bounded(
    things: Any, start: datetime, end: datetime, step: timedelta, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metric().history({"team": "a", "kind": "x"}, start, end, step)


def test_a_history_costs_two_queries_whatever_its_length(things: Any) -> None:
    watch(metric=NAME, by="rule:1")
    sample_metrics(now=NOON)
    for count in (1, 2_000):
        with CaptureQueriesContext(connection) as queries:
            past("a", "x", NOON, count)
        assert len(queries) == 2


def test_samples_are_kept_90_days(things: Any) -> None:
    watch(metric=NAME, by="rule:1")
    sample_metrics(now=NOON)
    del things["b", "x"]
    sample_metrics(now=NOON + timedelta(days=1))
    assert prune_metric_samples(now=NOON + timedelta(days=90)) == 0
    assert prune_metric_samples(now=NOON + timedelta(days=90, minutes=1)) == 3
    assert MetricSeries.objects.count() == 2
    assert past("a", "x", NOON + timedelta(days=1), 1) == [1]


def test_the_tasks_say_how_they_ended(things: Any) -> None:
    watch(metric=NAME, by="rule:1")
    sample_metrics_task()
    row = TaskOutcome.objects.get(task="common.sample_metrics")
    assert (row.failures, row.error, row.failed_at, row.succeeded_at is None) == (0, "", None, False)
    assert MetricSample.objects.count() == 3


def test_failures_are_counted_until_the_next_success() -> None:
    for number in range(3):
        note_failure(task="tests.b", error="x" * 600 + str(number))
    row = TaskOutcome.objects.get(task="tests.b")
    assert (row.failures, len(row.error), row.succeeded_at) == (3, 500, None)
    note_success(task="tests.b")
    row.refresh_from_db()
    assert (row.failures, row.error) == (0, "")
    before = row.succeeded_at
    note_success(task="tests.b")
    row.refresh_from_db()
    # One in ten seconds is enough.
    assert row.succeeded_at == before
    note_failure(task="tests.b", error="again")
    note_success(task="tests.b")
    row.refresh_from_db()
    assert (row.failures, row.error) == (0, "")
