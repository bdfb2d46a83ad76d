"""Probes of health checks: what passes and fails, claims, several workers, a killed one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from django.test import Client

from agent_factory_site.common.services.outbox import dispatch
from operations.health.events import HealthCheckChanged
from operations.health.models import HealthCheck, HealthCheckResult
from operations.health.services.probing import claim_due, probe_due_checks, record_probe
from operations.health.services.results import (
    Outcome,
)
from tests.common.outgoing_servers import Server, fixed, serving, silence
from tests.processes import PATIENCE

from .health_setup import BAD, GOOD, NOON, ROOT, Caller, heard, make, opened, stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(client: Client) -> Caller:
    return Caller(client)


@pytest.fixture
def events() -> Iterator[list[HealthCheckChanged]]:
    with heard() as seen:
        yield seen


def test_a_probe_passes_fails_after_two_and_recovers(api: Any, events: list[HealthCheckChanged]) -> None:
    answers = [GOOD, BAD, BAD, GOOD]
    states = []
    for number, answer in enumerate(answers):
        with serving(fixed(answer)) as server:
            url = opened(server)
            if number == 0:
                make(
                    api,
                    url=url,
                    contains="all ok",
                    entity_type="agent",
                    entity_id="bot",
                    interval_seconds=3600,
                )
            else:
                HealthCheck.objects.update(url=url, due_at=datetime.now(UTC))
            assert probe_due_checks() == 1
            assert probe_due_checks() == 0
        states.append(stored().state)
    assert states == ["passing", "passing", "failing", "passing"]
    dispatch()
    assert [(event.key, event.entity, event.before, event.state) for event in events] == [
        ("search", "agent/bot", "unknown", "passing"),
        ("search", "agent/bot", "passing", "failing"),
        ("search", "agent/bot", "failing", "passing"),
    ]
    results = api.get(f"{ROOT}/search/results").json()["results"]
    assert [(row["ok"], row["status"], row["text"]) for row in results] == [
        (True, 200, ""),
        (False, 503, "Answered 503, expected 200-299."),
        (False, 503, "Answered 503, expected 200-299."),
        (True, 200, ""),
    ]
    assert all(row["seconds"] > 0 for row in results)


def test_headers_are_sent_and_the_text_is_looked_for(api: Any) -> None:
    with serving(fixed(GOOD)) as server:
        make(api, url=opened(server), headers={"X-Token": "s3cret"}, contains="not there")
        probe_due_checks()
        assert b"x-token: s3cret" in bytes(server.requests[0]).lower()
    assert stored().last_text == "Answered 200, but the expected text is not there."


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
         "Answered 302, expected 200-299."),
        (b"garbage\r\n\r\n", None),
        (b"", None),
    ],
)  # fmt: skip
def test_redirects_are_not_followed_and_nonsense_is_a_failure(
    api: Any, answer: bytes, text: str | None
) -> None:
    with serving(fixed(answer)) as server:
        make(api, url=opened(server), timeout_seconds=30)
        probe_due_checks()
    row = stored()
    assert (row.last_ok, row.state, row.failures) == (False, "unknown", 1)
    assert row.last_text != ""
    if text is not None:
        assert row.last_text == text


def test_an_endless_answer_is_cut(api: Any) -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000
    with serving(fixed(body)) as server:
        make(api, url=opened(server), contains="y", timeout_seconds=30)
        probe_due_checks()
    assert stored().last_text == "Answered 200, but the expected text is not there in its first 64 KiB."


def test_a_network_that_is_not_open_is_not_asked(api: Any) -> None:
    with serving(fixed(GOOD)) as server:
        make(api)
        HealthCheck.objects.update(url=f"http://127.0.0.1:{server.port}/")
        probe_due_checks()
        assert server.requests == []
    assert stored().last_text.startswith("Not asked: ")


def test_a_claim_is_taken_once_and_given_up_when_its_worker_dies(api: Any) -> None:
    make(api)
    now = datetime.now(UTC)
    first = claim_due(now=now)
    assert [claim.number for claim in first] == [1]
    assert claim_due(now=now + timedelta(seconds=39)) == []
    second = claim_due(now=now + timedelta(seconds=41))
    assert [claim.number for claim in second] == [2]
    # The first worker was not dead after all: what it found no longer counts.
    assert record_probe(first[0], Outcome(False, "late")) is False
    assert record_probe(second[0], Outcome(True, "", 0.1, 200)) is True
    assert record_probe(second[0], Outcome(False, "twice")) is False
    assert [(row.number, row.ok) for row in HealthCheckResult.objects.all()] == [(2, True)]


@pytest.mark.parametrize("deed", ["pause", "archive"])
def test_what_is_paused_or_archived_in_the_meantime_is_discarded(api: Any, deed: str) -> None:
    make(api)
    claim = claim_due()[0]
    api.post(f"{ROOT}/search/{deed}")
    assert record_probe(claim, Outcome(True, "", 0.1, 200)) is False
    assert claim_due(now=NOON + timedelta(days=365)) == []
    assert stored().state == "unknown"


def test_several_workers_probe_each_check_once(api: Any, live_database: str) -> None:
    from tests.children import run_children

    with serving(fixed(GOOD)) as server:
        url = opened(server)
        for number in range(20):
            make(api, key=f"c{number}", url=url, interval_seconds=3600)
        code = """
            from operations.health.services.probing import probe_due_checks
            print(probe_due_checks())
        """
        probed = [int(text.split()[-1]) for text in run_children(code, 3, live_database)]
        assert sum(probed) == 20
        assert len(server.requests) == 20
    assert set(HealthCheck.objects.values_list("state", "number")) == {("passing", 1)}


def test_a_worker_that_is_killed_in_the_middle_of_a_probe_loses_nothing(api: Any, live_database: str) -> None:
    from tests.children import start_child

    asked = Event()

    def stall(connection: Any, server: Server) -> None:
        asked.set()
        silence(connection, server)

    with serving(stall) as server:
        make(api, url=opened(server), timeout_seconds=30)
        code = """
            from operations.health.services.probing import probe_due_checks
            probe_due_checks()
        """
        child = start_child(code, 0, database=live_database)
        assert asked.wait(PATIENCE)
        child.kill()
        child.communicate(timeout=PATIENCE)
    row = stored()
    assert (row.number, row.state, row.claimed_until is None) == (1, "unknown", False)
    assert HealthCheckResult.objects.count() == 0
    with serving(fixed(GOOD)) as server:
        HealthCheck.objects.update(url=opened(server))
        assert probe_due_checks() == 0
        assert probe_due_checks(now=row.claimed_until) == 1
    assert (stored().state, list(HealthCheckResult.objects.values_list("number", "ok"))) == (
        "passing",
        [(2, True)],
    )
