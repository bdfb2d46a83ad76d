"""Published numbers: well named, read in one place, unknown where unknown, and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.metrics import (
    Metric,
    Point,
    Reading,
    Sample,
    all_metrics,
    find_metric,
    register,
    unregister,
)
from agent_factory_site.common.models import Job, OutboxDelivery, OutboxMessage

NAME = "agent_factory_tests_seen_events"


@pytest.fixture
def publish() -> Iterator[Any]:
    names: list[str] = []

    def make(samples: Iterable[Sample] | Exception, **given: Any) -> Metric:
        def current() -> Iterable[Sample]:
            if isinstance(samples, Exception):
                raise samples
            return samples

        values = {"name": NAME, "help": "Seen.", "unit": "events", "labels": ["team"], "current": current}
        metric = register(**(values | given))
        names.append(metric.name)
        return metric

    yield make
    for name in names:
        unregister(name)


def test_a_metric_is_found_with_its_definition(publish: Any) -> None:
    metric = publish([Sample({"team": "a"}, 3)])
    assert find_metric(NAME) is metric
    assert metric in all_metrics()
    assert [m.name for m in all_metrics()] == sorted(m.name for m in all_metrics())
    assert (metric.help, metric.unit, metric.labels, metric.kind, metric.has_history) == (
        "Seen.", "events", ("team",), "gauge", False,
    )  # fmt: skip
    assert find_metric("agent_factory_nothing") is None


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"name": "tests_events"}, "a name is agent_factory_"),
        ({"name": "agent_factory_Tests_events"}, "lower case"),
        ({"name": "agent_factory__events"}, "single underscores"),
        ({"name": "agent_factory_tests"}, "ends in its unit, _events"),
        ({"name": "agent_factory_events_total"}, "a counter ends in _total"),
        ({"kind": "counter"}, "a counter ends in _total"),
        ({"name": "agent_factory_events_count", "unit": ""}, "Prometheus' own"),
        ({"help": " "}, "one line"),
        ({"help": "two\nlines"}, "one line"),
        ({"labels": ["Team"]}, "'Team' is no label name"),
        ({"labels": ["job"]}, "'job' is no label name"),
        ({"labels": ["__name"]}, "is no label name"),
        ({"labels": ["a", "a"]}, "named twice"),
    ],
)
def test_bad_definitions_are_refused(publish: Any, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        publish([], **given)


def test_a_name_is_registered_once(publish: Any) -> None:
    publish([])
    with pytest.raises(ValueError, match="registered twice"):
        publish([])


def test_counters_have_their_unit_before_total(publish: Any) -> None:
    metric = publish([Sample({}, 5)], name="agent_factory_tests_events_total", kind="counter", labels=[])
    assert metric.current() == Reading([Sample({}, 5)])


def test_unknown_is_neither_zero_nor_not_a_number(publish: Any) -> None:
    samples = [
        Sample({"team": "a"}, None),
        Sample({"team": "b"}, float("nan")),
        Sample({"team": "c"}, Decimal("Infinity")),
        Sample({"team": "d"}, 0),
        Sample({"team": "e"}, Decimal("0.000000001")),
    ]
    reading = publish(samples).current()
    assert [sample.value for sample in reading.samples] == [None, None, None, 0, Decimal("0.000000001")]
    assert (reading.dropped, reading.error) == (0, "")


def test_a_source_that_fails_is_told_and_gives_nothing(publish: Any) -> None:
    assert publish(RuntimeError("no disk")).current() == Reading((), error="RuntimeError: no disk")


@pytest.mark.parametrize(
    ("samples", "error"),
    [
        ([Sample({"user": "a"}, 1)], "has the labels ['team'], not ['user']"),
        ([Sample({"team": "a"}, 1), Sample({"team": "a"}, 2)], "two samples have the same labels"),
    ],
)
def test_labels_that_do_not_fit_are_an_error(publish: Any, samples: list[Sample], error: str) -> None:
    reading = publish(samples).current()
    assert reading.samples == ()
    assert error in reading.error


def test_a_counter_is_never_negative(publish: Any) -> None:
    metric = publish([Sample({}, -1)], name="agent_factory_tests_events_total", kind="counter", labels=[])
    assert metric.current().error == "ValueError: the counter agent_factory_tests_events_total is negative"


def test_series_are_capped_to_the_greatest_and_the_cap_is_said(publish: Any) -> None:
    samples = [Sample({"team": f"t{number}"}, number) for number in range(10)]
    samples.append(Sample({"team": "unknown"}, None))
    reading = publish(samples, max_series=3).current()
    assert [sample.labels["team"] for sample in reading.samples] == ["t9", "t8", "t7"]
    assert reading.dropped == 8


@pytest.mark.django_db
def test_history_is_read_where_there_is_one(publish: Any) -> None:
    start, end, step = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC), timedelta(days=1)
    asked: list[object] = []

    def history(*arguments: object) -> list[Point]:
        asked.append(arguments)
        return [Point(start, 1), Point(start + step, None)]

    metric = publish([], history=history)
    assert metric.history({"team": "a"}, start, end, step) == [Point(start, 1), Point(start + step, None)]
    assert asked == [({"team": "a"}, start, end, step)]
    with pytest.raises(ValueError, match="has the labels"):
        metric.history({}, start, end, step)
    without = publish([], name="agent_factory_tests_other_events")
    with pytest.raises(LookupError, match="keeps no history"):
        without.history({"team": "a"}, start, end, step)


@pytest.mark.django_db
def test_the_kernel_publishes_its_backlog() -> None:
    Job.objects.create(kind="x", actor_kind="system", actor_id="tests", state="failed")
    message = OutboxMessage.objects.create(topic="t", payload={}, created_at=datetime.now(UTC))
    for name, error in (("a", ""), ("b", "RuntimeError: x"), ("c", "RuntimeError: y")):
        OutboxDelivery.objects.create(
            message=message, subscriber=name, error=error, next_attempt_at=message.created_at
        )
    values = {}
    for name in (
        "agent_factory_jobs",
        "agent_factory_outbox_waiting_deliveries",
        "agent_factory_outbox_oldest_waiting_seconds",
    ):
        metric = find_metric(name)
        assert metric is not None
        with CaptureQueriesContext(connection) as queries:
            reading = metric.current()
        assert (len(queries), reading.error) == (1, "")
        values[name] = {"/".join(sample.labels.values()): sample.value for sample in reading.samples}
    assert values["agent_factory_jobs"] == {
        "queued": 0, "running": 0, "succeeded": 0, "failed": 1, "cancelled": 0,
    }  # fmt: skip
    assert values["agent_factory_outbox_waiting_deliveries"] == {"no": 1, "yes": 2}
    assert 0 <= values["agent_factory_outbox_oldest_waiting_seconds"][""] < 60


@pytest.mark.django_db
def test_every_registered_metric_can_be_read() -> None:
    assert [(metric.name, metric.current().error) for metric in all_metrics() if metric.current().error] == []
