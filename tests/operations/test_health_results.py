"""Results of health checks: heartbeats that do not come, states, samples, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.metrics import find_metric
from agent_factory_site.common.services.outbox import dispatch
from operations.health.domain.standing import Standing, Thresholds, after, missed, next_due, status_fits
from operations.health.events import HealthCheckChanged
from operations.health.models import HealthCheckResult
from operations.health.services.results import (
    prune_health_results,
    record_heartbeat,
    sweep_heartbeats,
)
from operations.health.services.samples import sample_of, wanted_by
from operations.slo.models import SloSample
from operations.slo.selectors.sources import forget_sources
from operations.slo.services.slis import archive_sli, create_sli

from .health_setup import NOON, Caller, heard, make, make_heartbeat, stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(client: Client) -> Caller:
    return Caller(client)


@pytest.fixture
def events() -> Iterator[list[HealthCheckChanged]]:
    with heard() as seen:
        yield seen


def test_a_heartbeat_that_does_not_come_is_failing(api: Any, events: list[HealthCheckChanged]) -> None:
    made = make_heartbeat(api)
    assert (made["state"], made["due_at"], made["failure_threshold"]) == ("unknown", None, 1)
    assert sweep_heartbeats(now=NOON + timedelta(days=9)) == 0
    record_heartbeat(name="nightly", now=NOON)
    assert stored("nightly").due_at == NOON + timedelta(seconds=90)
    assert sweep_heartbeats(now=NOON + timedelta(seconds=89)) == 0
    assert stored("nightly").state == "passing"
    assert sweep_heartbeats(now=NOON + timedelta(seconds=90)) == 1
    row = stored("nightly")
    assert (row.state, row.last_text) == (
        "failing",
        "No heartbeat for 90 s: the expected heartbeat has not come.",
    )
    assert sweep_heartbeats(now=NOON + timedelta(seconds=91)) == 0
    record_heartbeat(name="nightly", now=NOON + timedelta(seconds=100))
    assert stored("nightly").state == "passing"
    dispatch()
    assert [event.state for event in events] == ["passing", "failing", "passing"]


def test_many_that_were_missed_are_one_result_and_count_as_many(api: Any) -> None:
    make_heartbeat(api, failure_threshold=3)
    record_heartbeat(name="nightly", now=NOON)
    sweep_heartbeats(now=NOON + timedelta(seconds=90 + 60))
    row = stored("nightly")
    assert (row.state, row.failures, row.due_at) == ("passing", 2, NOON + timedelta(seconds=90 + 120))
    sweep_heartbeats(now=NOON + timedelta(seconds=90 + 120))
    assert (stored("nightly").state, HealthCheckResult.objects.count()) == ("failing", 3)


def test_the_published_status_is_absent_while_unknown(api: Any) -> None:
    make(api, key="unknown")
    make_heartbeat(api, key="good", entity_type="agent", entity_id="bot")
    make_heartbeat(api, key="bad")
    record_heartbeat(name="good")
    record_heartbeat(name="bad", ok=False)
    metric = find_metric("agent_factory_health_check_status")
    assert metric is not None
    reading = metric.current()
    assert {tuple(sample.labels.values()): sample.value for sample in reading.samples} == {
        ("unknown", ""): None, ("good", "agent/bot"): 1, ("bad", ""): 0,
    }  # fmt: skip


def test_results_become_samples_with_an_id_of_their_own(api: Any) -> None:
    make_heartbeat(api, entity_type="agent", entity_id="bot")
    row = stored("nightly")
    row.number = 7
    event, labels = f"health:{row.pk}:7", {"check": "nightly", "entity": "agent/bot"}
    for kind, unit, ok, seconds, said in (
        ("ratio", "", True, 0.2, (1, 1, None)),
        ("ratio", "", False, None, (0, 1, None)),
        ("threshold", "", True, 0.2, (None, None, 0.2)),
        ("threshold", "ms", True, 0.25, (None, None, 250.0)),
        ("threshold", "", False, 0.2, (0, 1, None)),
        ("threshold", "", True, None, (1, 1, None)),
        ("timeslice", "", True, 0.2, (1, 1, None)),
    ):
        sample = sample_of(row, kind, unit, ok, seconds, NOON)
        assert (sample.event_id, sample.timestamp, sample.labels) == (event, NOON, labels)
        assert (sample.good, sample.total, sample.value) == said, (kind, ok)
    for wanted, filters in (
        (True, {}),
        (True, {"check": "nightly"}),
        (True, {"entity": "agent/bot", "kind": "heartbeat"}),
        (False, {"check": "search"}),
        (False, {"check": "nightly", "entity": "agent/other"}),
        (False, {"colour": "red"}),
    ):
        assert wanted_by(filters, row) is wanted


def test_results_are_counted_by_the_indicators_that_want_them(api: Any) -> None:
    for key, kind, wanted, more in (
        ("all", "ratio", {}, {}),
        ("mine", "ratio", {"check": "nightly"}, {}),
        ("fast", "threshold", {"entity": "agent/bot"}, {"threshold": 0.5, "op": "lte"}),
        ("other", "ratio", {"check": "search"}, {}),
        ("gone", "ratio", {}, {}),
    ):
        create_sli(body={"key": key, "kind": kind, "source": "health", "source_filter": wanted, **more})
    archive_sli(sli="gone")
    forget_sources()
    make_heartbeat(api, entity_type="agent", entity_id="bot")
    for ok in (True, False, True):
        record_heartbeat(name="nightly", ok=ok)
    rows = SloSample.objects.order_by("sli__key", "timestamp").values_list(
        "sli__key", "good", "total", "labels"
    )
    labels = {"check": "nightly", "entity": "agent/bot"}
    assert list(rows) == [
        (key, good, 1, labels) for key in ("all", "fast", "mine") for good in (1, 0, 1)
    ]  # fmt: skip


def test_results_are_kept_a_week(api: Any) -> None:
    make_heartbeat(api)
    record_heartbeat(name="nightly", now=NOON)
    record_heartbeat(name="nightly", now=NOON + timedelta(days=1))
    assert prune_health_results(now=NOON + timedelta(days=7)) == 0
    assert prune_health_results(now=NOON + timedelta(days=7, seconds=1)) == 1
    assert HealthCheckResult.objects.get().at == NOON + timedelta(days=1)


def test_a_result_and_its_event_are_stored_together_or_not_at_all(api: Any) -> None:
    make_heartbeat(api)
    HealthCheckResult.objects.create(health_check=stored("nightly"), number=1, at=NOON, ok=True)
    with pytest.raises(Exception, match=r"(?i)unique"):
        record_heartbeat(name="nightly")
    assert (stored("nightly").state, stored("nightly").number) == ("unknown", 0)
    assert connection.in_atomic_block is False


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_the_state_is_what_the_last_results_say(results: list[bool], fails: int, passes: int) -> None:
    standing, expected = Standing(), "unknown"
    for count in range(1, len(results) + 1):
        seen = results[:count]
        standing = after(standing, seen[-1], Thresholds(fails, passes))
        if len(seen) >= fails and not any(seen[-fails:]):
            expected = "failing"
        elif seen[-1] and (expected == "unknown" or (len(seen) >= passes and all(seen[-passes:]))):
            expected = "passing"
        assert standing.state == expected


def test_times_that_are_due() -> None:
    minute = timedelta(minutes=1)
    assert next_due(NOON, minute, NOON - minute) == NOON
    assert next_due(NOON, minute, NOON) == NOON + minute
    assert next_due(NOON, minute, NOON + timedelta(seconds=150)) == NOON + 3 * minute
    assert [missed(NOON, minute, NOON + timedelta(seconds=s)) for s in (-1, 0, 59, 60, 150)] == [
        0,
        1,
        1,
        2,
        3,
    ]
    assert [status_fits(status, ["200-299", "401"]) for status in (199, 200, 299, 300, 401)] == [
        False, True, True, False, True,
    ]  # fmt: skip
