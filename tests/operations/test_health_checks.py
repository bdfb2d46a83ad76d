"""Health checks of agents and tools: defined over the API, probed, told, and seen by everybody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.metrics import find_metric
from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.outbox import subscribe, unsubscribe
from agent_factory_site.common.secrets import SecretLost, decrypt, encrypt
from agent_factory_site.common.services.allowed_networks import allow_network
from agent_factory_site.common.services.outbox import dispatch
from operations.health.domain.standing import Standing, Thresholds, after, missed, next_due, status_fits
from operations.health.events import HealthCheckChanged
from operations.health.models import HealthCheck, HealthCheckResult
from operations.health.services.probing import claim_due, probe_due_checks, record_probe
from operations.health.services.results import (
    Outcome,
    prune_health_results,
    record_heartbeat,
    sweep_heartbeats,
)
from operations.health.services.samples import sample_of, wanted_by
from operations.slo.models import SloSample
from operations.slo.selectors.sources import forget_sources
from operations.slo.services.slis import archive_sli, create_sli
from tests.common.callers import key_headers
from tests.common.outgoing_servers import Server, fixed, serving, silence

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = "/api/v1/operations/health-checks"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall ok\n"
BAD = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def api(client: Client) -> Any:
    headers = key_headers("operations:write", "ingest")

    class Api:
        def __getattr__(self, method: str) -> Any:
            def call(path: str, body: Any = None, **extra: str) -> Any:
                given: dict[str, Any] = {"headers": {**headers, **extra}}
                if body is not None:
                    given |= {"data": body, "content_type": "application/json"}
                return getattr(client, method)(path, **given)

            return call

    return Api()


@pytest.fixture
def events() -> Iterator[list[HealthCheckChanged]]:
    seen: list[HealthCheckChanged] = []
    subscribe(HealthCheckChanged, "tests.health", seen.append)
    yield seen
    unsubscribe("tests.health")


def make(api: Any, **changes: Any) -> dict[str, Any]:
    answer = api.post(ROOT, {"key": "search", "url": "https://agent.example.org/health", **changes})
    assert answer.status_code == 201, answer.content
    return answer.json()


def make_heartbeat(api: Any, **changes: Any) -> dict[str, Any]:
    body = {"key": "nightly", "kind": "heartbeat", "interval_seconds": 60, "grace_seconds": 30, **changes}
    answer = api.post(ROOT, body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def stored(key: str = "search") -> HealthCheck:
    return HealthCheck.objects.select_related("entity").get(key=key)


def opened(server: Server) -> str:
    allow_network(cidr="127.0.0.0/8", port=server.port, purpose="tests")
    return f"http://127.0.0.1:{server.port}/health"


def test_a_check_is_made_read_changed_and_archived(api: Any) -> None:
    made = make(api, name="Search", entity_type="tool", entity_id="search", headers={"X-Token": "s3cret"})
    assert {name: made[name] for name in ("key", "kind", "state", "entity_type", "entity_id", "method")} == {
        "key": "search", "kind": "http", "state": "unknown", "entity_type": "tool", "entity_id": "search",
        "method": "GET",
    }  # fmt: skip
    assert (made["failure_threshold"], made["interval_seconds"], made["timeout_seconds"]) == (2, 60, 10)
    answer = api.get(f"{ROOT}/search")
    assert answer.json() == made
    assert answer.json()["header_names"] == ["X-Token"]
    assert api.get(f"{ROOT}/{made['id']}").json() == made
    assert api.patch(f"{ROOT}/search", {"name": "x"}).status_code == 428
    assert api.patch(f"{ROOT}/search", {"name": "x"}, **{"If-Match": '"0"'}).status_code == 412
    changed = api.patch(f"{ROOT}/search", {"interval_seconds": 30}, **{"If-Match": answer["ETag"]})
    assert (changed.status_code, changed.json()) == (200, {**made, "interval_seconds": 30})
    assert changed["ETag"] != answer["ETag"]
    assert [row["key"] for row in api.get(ROOT).json()["results"]] == ["search"]
    assert api.get(f"{ROOT}?state=failing").json()["results"] == []
    assert api.post(f"{ROOT}/search/archive").json()["archived_at"] is not None
    assert api.get(ROOT).json()["results"] == []
    assert [row["key"] for row in api.get(f"{ROOT}?archived=true").json()["results"]] == ["search"]
    gone = api.patch(f"{ROOT}/search", {"name": "x"}, **{"If-Match": "*"})
    assert (gone.status_code, gone.json()["code"]) == (409, "archived")
    assert stored().sealed_headers == ""
    again = api.post(ROOT, {"key": "search", "url": "https://agent.example.org/"})
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_key")
    assert api.get(f"{ROOT}/nothing").status_code == 404


def test_scopes(client: Client) -> None:
    for scope, get, post in (
        ("operations:read", 200, 403),
        ("ingest", 403, 403),
        ("operations:admin", 200, 201),
    ):
        headers = key_headers(scope)
        assert client.get(ROOT, headers=headers).status_code == get
        body = {"key": "a", "url": "https://example.org/"}
        answer = client.post(ROOT, body, content_type="application/json", headers=headers)
        assert answer.status_code == post


def test_secrets_are_sealed_and_another_url_forgets_them(api: Any) -> None:
    make(api, headers={"Authorization": "Bearer hush-hush"})
    row = stored()
    assert decrypt(row.sealed_headers) == '{"Authorization": "Bearer hush-hush"}'
    assert "hush" not in row.sealed_headers
    trail = str(list(AuditEvent.objects.values()))
    assert "hush" not in trail
    assert row.sealed_headers not in trail
    api.patch(f"{ROOT}/search", {"name": "kept"}, **{"If-Match": "*"})
    assert stored().sealed_headers == row.sealed_headers
    changed = api.patch(f"{ROOT}/search", {"url": "https://evil.example.org/"}, **{"If-Match": "*"})
    assert (stored().sealed_headers, changed.json()["header_names"]) == ("", [])
    both = {"url": "https://agent.example.org/", "headers": {"A": "new"}}
    api.patch(f"{ROOT}/search", both, **{"If-Match": "*"})
    assert decrypt(stored().sealed_headers) == '{"A": "new"}'
    api.patch(f"{ROOT}/search", {"headers": {}}, **{"If-Match": "*"})
    assert stored().sealed_headers == ""


def test_sealed_secrets_follow_the_key(settings: Any) -> None:
    token = encrypt("hush")
    assert token != encrypt("hush")
    before, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    with pytest.raises(SecretLost):
        decrypt(token)
    settings.SECRET_KEY_FALLBACKS = [before]
    assert decrypt(token) == "hush"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"key": ""}, "/key"),
        ({"key": "A b"}, "/key"),
        ({"key": "a/b"}, "/key"),
        ({"kind": "ping"}, "/kind"),
        ({"url": ""}, "/url"),
        ({"url": "ftp://example.org/"}, "/url"),
        ({"url": "https://user:pw@example.org/"}, "/url"),
        ({"url": "https://exa mple.org/"}, "/url"),
        ({"url": "https://example.org\\@127.0.0.1/"}, "/url"),
        ({"url": "http://127.0.0.1/"}, "/url"),
        ({"url": "http://2130706433/"}, "/url"),
        ({"url": "http://0177.0.0.1/"}, "/url"),
        ({"url": "http://0x7f.1/"}, "/url"),
        ({"url": "http://127.1/"}, "/url"),
        ({"url": "http://[::1]/"}, "/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "http://[64:ff9b::7f00:1]/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "http://100.64.0.1/"}, "/url"),
        ({"method": "DELETE"}, "/method"),
        ({"method": "HEAD", "contains": "x"}, "/contains"),
        ({"headers": {"a b": "c"}}, "/headers/a b"),
        ({"headers": {"A": "b\r\nHost: c"}}, "/headers/A"),
        ({"headers": {"hOst": "inside"}}, "/headers/hOst"),
        ({"headers": {f"h{number}": "x" for number in range(21)}}, "/headers"),
        ({"expected_statuses": []}, "/expected_statuses"),
        ({"expected_statuses": ["2xx"]}, "/expected_statuses/0"),
        ({"expected_statuses": ["299-200"]}, "/expected_statuses/0"),
        ({"interval_seconds": 9}, "/interval_seconds"),
        ({"interval_seconds": "60"}, "/interval_seconds"),
        ({"interval_seconds": True}, "/interval_seconds"),
        ({"timeout_seconds": 0}, "/timeout_seconds"),
        ({"timeout_seconds": 61}, "/timeout_seconds"),
        ({"interval_seconds": 10, "timeout_seconds": 11}, "/timeout_seconds"),
        ({"failure_threshold": 0}, "/failure_threshold"),
        ({"entity_type": "agent"}, "/entity_id"),
        ({"entity_id": "a"}, "/entity_type"),
        ({"colour": "red"}, "/colour"),
        ({"name": "x" * 201}, "/name"),
        ({"kind": "heartbeat"}, "/url"),
        ({"kind": "heartbeat", "url": "", "contains": "x"}, "/contains"),
    ],
)
def test_bad_input_names_its_field_and_stores_nothing(
    api: Any, changes: dict[str, Any], pointer: str
) -> None:
    answer = api.post(ROOT, {"key": "search", "url": "https://agent.example.org/", **changes})
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert "Host: c" not in answer.content.decode()
    assert HealthCheck.objects.count() == 0


def test_what_never_changes_is_refused(api: Any) -> None:
    make(api)
    for body in ({"key": "other"}, {"kind": "heartbeat"}, []):
        assert api.patch(f"{ROOT}/search", body, **{"If-Match": "*"}).status_code == 400
    assert stored().key == "search"


def test_a_probe_passes_fails_after_two_and_recovers(api: Any, events: list[HealthCheckChanged]) -> None:
    answers = [GOOD, BAD, BAD, GOOD]
    states = []
    for number, answer in enumerate(answers):
        with serving(fixed(answer)) as server:
            url = opened(server)
            if number == 0:
                make(
                    api, url=url, contains="all ok", entity_type="agent", entity_id="bot", interval_seconds=10
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
        make(api, url=opened(server), timeout_seconds=5)
        probe_due_checks()
    row = stored()
    assert (row.last_ok, row.state, row.failures) == (False, "unknown", 1)
    assert row.last_text != ""
    if text is not None:
        assert row.last_text == text


def test_an_endless_answer_is_cut(api: Any) -> None:
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000
    with serving(fixed(body)) as server:
        make(api, url=opened(server), contains="y", timeout_seconds=5)
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
            make(api, key=f"c{number}", url=url)
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
        assert asked.wait(60)
        child.kill()
        child.communicate(timeout=60)
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


def test_heartbeats_over_the_api(api: Any, client: Client) -> None:
    make_heartbeat(api)
    path = f"{ROOT}/nightly/heartbeat"
    # As curl -X POST sends it: no body, no content type.
    bare = client.generic("POST", path, content_type="", headers=key_headers("ingest"))
    assert (bare.status_code, bare.json()["state"]) == (200, "passing")
    assert api.post(path, {}).json()["state"] == "passing"
    ill = api.post(path, {"status": "fail", "text": "no disk"}).json()
    assert (ill["state"], ill["last_text"]) == ("failing", "no disk")
    assert api.post(path, {"status": "meh"}).status_code == 400
    assert api.post(path, {"mood": "good"}).status_code == 400
    assert client.post(path, headers=key_headers("operations:read")).status_code == 403
    make(api)
    assert api.post(f"{ROOT}/search/heartbeat", {}).json()["code"] == "not_a_heartbeat"
    api.post(f"{ROOT}/nightly/pause")
    assert api.post(path, {}).json()["code"] == "paused"


def test_pausing_makes_it_unknown_and_resuming_starts_anew(api: Any) -> None:
    make_heartbeat(api)
    record_heartbeat(name="nightly")
    paused = api.post(f"{ROOT}/nightly/pause").json()
    assert (paused["state"], paused["paused_at"] is None) == ("unknown", False)
    assert sweep_heartbeats(now=datetime.now(UTC) + timedelta(days=1)) == 0
    resumed = api.post(f"{ROOT}/nightly/resume").json()
    assert resumed["paused_at"] is None
    due = datetime.fromisoformat(resumed["due_at"])
    assert timedelta(seconds=60) < due - datetime.now(UTC) <= timedelta(seconds=90)


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
