"""The probes: who is told what, and when each check warns and fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common import health, kernel_checks
from agent_factory_site.common.health_checks import (
    Finding,
    all_checks,
    graded,
    register_check,
    run_checks,
    unregister_check,
    worst,
)
from agent_factory_site.common.models import Job, Lease, OutboxDelivery, OutboxMessage
from agent_factory_site.common.selectors import installation
from agent_factory_site.common.services.leases import acquire_lease
from agent_factory_site.common.services.task_outcomes import note_failure, note_success
from tests.common.callers import key_headers

KERNEL = ["database", "migrations", "broker", "beat", "outbox", "jobs", "queue", "disk", "failing"]


@pytest.fixture
def well(settings: Any, tmp_path: Any) -> None:
    """A broker folder that is there, and a beat that ticks."""
    settings.CELERY_BROKER_URL = "filesystem://localhost"
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": str(tmp_path)}
    acquire_lease(name="beat", holder="tests", duration=timedelta(seconds=30))


@pytest.fixture
def add_check() -> Iterator[Callable[..., None]]:
    names: list[str] = []

    def add(name: str, finding: Finding | Exception, **given: Any) -> None:
        def check() -> Finding:
            if isinstance(finding, Exception):
                raise finding
            return finding

        register_check(name, check, **given)
        names.append(name)

    yield add
    for name in names:
        unregister_check(name)


def finding_of(name: str) -> Finding:
    return run_checks([check for check in all_checks() if check.name == name])[0].finding


def test_livez_asks_nothing_of_anybody(client: Client) -> None:
    # No database mark: a query would be refused.
    for path in ("/livez", "/livez?exclude=x"):
        answer = client.get(path)
        assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert client.get("/livez?verbose&exclude=x").content == (
        b"warning: no check is called 'x'\n[+] process ok\nlivez: alive\n"
    )


@pytest.mark.django_db
def test_the_public_is_told_the_status_and_nothing_else(client: Client, well: None, add_check: Any) -> None:
    add_check("tests", Finding("warn", "secret: table of payments is full", 3, "rows"))
    answer = client.get("/healthz")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/health+json")
    assert answer.json() == {"status": "warn"}
    for headers in (key_headers("common:read"), {"Authorization": "Bearer af_wrong"}, {"X-API-Key": "x"}):
        assert client.get("/healthz", headers=headers).json() == {"status": "warn"}
    assert client.get("/healthz", HTTP_HOST="10.0.0.7:8000").status_code == 200
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_who_may_read_them_is_told_the_findings(
    client: Client, settings: Any, well: None, add_check: Any
) -> None:
    add_check("tests", Finding("warn", "half full", 3, "rows"), measures="rows", component="system")
    by_key = client.get("/healthz", headers=key_headers("metrics:read")).json()
    settings.METRICS_ALLOWED_NETWORKS = [ip_network("10.2.0.0/16")]
    by_network = client.get("/healthz", REMOTE_ADDR="10.2.0.9").json()
    assert client.get("/healthz", REMOTE_ADDR="10.3.0.9").json() == {"status": "warn"}
    for answer in (by_key, by_network):
        assert answer["status"] == "warn"
        assert answer["serviceId"] == "agent-factory"
        assert answer["releaseId"] == "0.1.0"
        names = [key.split(":")[0] for key in answer["checks"]]
        assert (names[: len(KERNEL)], names[-1]) == ([*KERNEL], "tests")
        assert set(names[len(KERNEL) : -1]) == {"slo_evaluation", "otlp"}
        entry = answer["checks"]["tests:rows"][0]
        assert datetime.fromisoformat(entry.pop("time")).tzinfo is not None
        assert entry == {
            "componentType": "system",
            "status": "warn",
            "observedValue": 3,
            "observedUnit": "rows",
            "output": "half full",
        }
        assert answer["checks"]["database:responseTime"][0]["observedUnit"] == "ms"


@pytest.mark.django_db
def test_one_failure_is_503_and_can_be_left_out(client: Client, well: None, add_check: Any) -> None:
    add_check("tests", RuntimeError("no disk"))
    assert (client.get("/healthz").status_code, client.get("/healthz").json()) == (503, {"status": "fail"})
    assert client.get("/healthz?exclude=tests").json() == {"status": "pass"}
    answer = client.get("/healthz?exclude=tests&exclude=nothing&exclude=n%0Aothing")
    assert answer.json() == {
        "status": "pass",
        "notes": ["warning: no check is called 'n\\nothing'", "warning: no check is called 'nothing'"],
    }
    told = client.get("/healthz", headers=key_headers("*")).json()["checks"]["tests:state"][0]
    assert (told["status"], told["output"]) == ("fail", "RuntimeError: no disk")


@pytest.mark.django_db
def test_readyz_needs_only_what_work_needs(client: Client, well: None, add_check: Any) -> None:
    add_check("aside", RuntimeError("down"))
    assert client.get("/readyz").json() == {
        "status": "ready",
        "checks": {"database": "ok", "migrations": "ok", "broker": "ok"},
    }
    add_check("engine", RuntimeError("secret"), needed=True)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
    assert client.get("/readyz?exclude=engine").status_code == 200
    text = client.get("/readyz?verbose&exclude=broker&exclude=x").content.decode()
    assert text == (
        "warning: no check is called 'x'\n"
        "[+] database ok\n[+] migrations ok\n[-] engine failed\nreadyz: not ready\n"
    )
    text = client.get("/readyz?verbose", headers=key_headers("metrics:read")).content.decode()
    assert "[-] engine failed: RuntimeError: secret\n" in text
    assert "[+] migrations ok: none is pending\n" in text


@pytest.mark.django_db
def test_a_check_is_registered_once(add_check: Any) -> None:
    add_check("tests", Finding("pass", "well"))
    with pytest.raises(ValueError, match="registered twice"):
        add_check("tests", Finding("pass", "well"))


@pytest.mark.django_db
def test_everything_is_asked_in_a_fixed_number_of_queries(client: Client, well: None) -> None:
    client.get("/healthz")
    counts = []
    for rows in (0, 20):
        for _ in range(rows):
            Job.objects.create(kind="x", actor_kind="system", actor_id="tests")
        with CaptureQueriesContext(connection) as queries:
            client.get("/healthz")
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[0] <= 10


def test_grades() -> None:
    assert [graded(value, warn=1, fail=3, text="").status for value in (1, 1.5, 3, 3.1)] == [
        "pass", "warn", "warn", "fail",
    ]  # fmt: skip
    assert [
        graded(value, warn=0.1, fail=0.03, text="", less_is_worse=True).status
        for value in (0.1, 0.09, 0.03, 0.02)
    ] == ["pass", "warn", "warn", "fail"]
    assert worst([]) == "pass"


@pytest.mark.django_db
def test_the_beat_by_the_age_of_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding_of("beat").status == "warn"
    acquire_lease(name="beat", holder="a", duration=timedelta(seconds=30))
    assert finding_of("beat").status == "pass"
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    for age, status in ((30, "pass"), (31, "warn"), (300, "warn"), (301, "fail")):
        Lease.objects.update(renewed_at=now - timedelta(seconds=age))
        found = finding_of("beat")
        assert (found.status, found.value) == (status, age)


@pytest.mark.django_db
@pytest.mark.parametrize(("age", "status"), [(0, "pass"), (300, "pass"), (301, "warn"), (3601, "fail")])
def test_events_and_jobs_by_how_long_they_wait(
    monkeypatch: pytest.MonkeyPatch, age: int, status: str
) -> None:
    assert (finding_of("outbox").status, finding_of("jobs").status) == ("pass", "pass")
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    since = now - timedelta(seconds=age)
    message = OutboxMessage.objects.create(topic="t", payload={}, created_at=since)
    OutboxDelivery.objects.create(message=message, subscriber="a", next_attempt_at=since)
    job = Job.objects.create(kind="x", actor_kind="system", actor_id="tests")
    Job.objects.filter(pk=job.pk).update(created_at=since)
    assert (finding_of("outbox").status, finding_of("jobs").status) == (status, status)


@pytest.mark.django_db
def test_tasks_and_jobs_that_fail() -> None:
    assert finding_of("failing").status == "pass"
    note_failure(task="tests.a", error="RuntimeError: x")
    assert finding_of("failing").status == "warn"
    for _ in range(2):
        note_failure(task="tests.a", error="RuntimeError: x")
    found = finding_of("failing")
    assert (found.status, found.text) == ("fail", "tests.a has failed 3 times in a row: RuntimeError: x")
    note_success(task="tests.a")
    assert finding_of("failing").status == "pass"
    Job.objects.create(
        kind="x", actor_kind="system", actor_id="tests", state="failed", heartbeat_at=timezone.now()
    )
    assert finding_of("failing") == Finding("warn", "1 jobs have failed within a day", 1)
    Job.objects.update(heartbeat_at=timezone.now() - timedelta(days=2))
    assert finding_of("failing").status == "pass"


@pytest.mark.django_db
def test_the_queue_by_its_length(settings: Any, tmp_path: Any) -> None:
    settings.CELERY_BROKER_URL = "filesystem://localhost"
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": str(tmp_path / "queue")}
    assert (finding_of("queue").status, finding_of("broker").status) == ("warn", "fail")
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / "1_a.celery.msg").touch()
    assert (finding_of("queue").value, finding_of("broker").status) == (1, "pass")


def test_the_queue_of_a_real_broker(settings: Any, redis_url: str) -> None:
    from celery import Celery

    from agent_factory_site.celery import app

    settings.CELERY_BROKER_URL = redis_url
    before, app.conf.broker_url = app.conf.broker_url, redis_url
    app.set_current()
    try:
        assert installation.queue_length() == 0
        installation.reach_broker()
        Celery("tests", broker=redis_url).send_task("tests.nothing", ignore_result=True)
        assert installation.queue_length() == 1
    finally:
        app.conf.broker_url = before


def test_a_migration_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, transactional_db: None
) -> None:
    monkeypatch.setattr(kernel_checks, "_migrated", False)
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM django_migrations WHERE app = 'common' AND name = '0008_published_numbers'"
        )
    try:
        found = finding_of("migrations")
        assert (found.status, found.text) == ("fail", "pending, the first is common.0008_published_numbers")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, %s)",
                ["common", "0008_published_numbers", datetime.now(UTC)],
            )
    assert finding_of("migrations").status == "pass"


def test_a_database_that_is_gone_is_told_to_the_public_without_a_word(client: Client) -> None:
    # No database mark: every query is refused, as it is when the server is gone.
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"status": "fail"})
    assert client.get("/readyz").json()["checks"]["database"] == "failed"
    assert set(health.PROBES) == {"/livez", "/readyz", "/healthz"}
