"""Counting by processes that are killed on the way, and beside others that change what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import Job
from agent_factory_site.common.services.jobs import run_job, sweep_jobs
from operations.slo.models import MaintenanceWindow, Slo, SloObjective, SloSample
from operations.slo.services import objectives, recount, retention
from operations.slo.services.check_slo import check_slo
from operations.slo.services.maintenance import create_maintenance_window
from operations.slo.services.record_samples import record_samples
from operations.slo.services.retention import remove_expired
from operations.slo.services.slis import change_sli
from operations.slo.services.slos import create_slo
from tests.operations.slo_setup import make_slo, recent_hour, rows_of, valued
from tests.processes import PATIENCE, Child, kill_before

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = recent_hour(24)
MINUTES = "operations_slominute (series_id"
HOURS = "operations_slohour (series_id"
DAYS = "operations_sloday (series_id"


def window(**more: Any) -> dict[str, Any]:
    return {"name": "Move", "starts_at": HOUR.isoformat(), "duration": "40m", "all_slos": True, **more}


def record(count: int = 60, first: int = 0) -> None:
    """A sample a minute, each slower than the one before, of two agents in turn."""
    outcome = record_samples(
        sli="answers",
        samples=[
            valued(f"{n}", HOUR + timedelta(minutes=n), n / 10, labels={"agent": f"a{n % 2}"})
            for n in range(first, first + count)
        ],
    )
    assert len(outcome.accepted) == count


def measured() -> Slo:
    return make_slo(kind="threshold", threshold=Decimal(1), slice_target=Decimal("0.5"), group_by=["agent"])


def good(slo: Slo) -> list[int]:
    """The good events of each agent and of all, by the sums of days."""
    found: dict[str, int] = {}
    for (name, _), row in rows_of(slo, "day").items():
        found[name] = found.get(name, 0) + row[0]
    return [number for _, number in sorted(found.items())]


def finish(job: Job) -> Job:
    """Have the work of a worker that died done by the next."""
    assert (job.state, sweep_jobs(now=timezone.now() + timedelta(minutes=2))) == ("running", 1)
    assert [run_job(job_id=job.pk) for _ in range(2)] == [True, False]
    job.refresh_from_db()
    assert (job.state, job.attempts) == ("succeeded", 2)
    return job


@pytest.mark.parametrize(
    ("statement", "passed"),
    [
        (MINUTES, 0),
        (HOURS, 0),
        (MINUTES, 2),
        (DAYS, 2),
        ("UPDATE operations_sloobjective SET counted_to", 3),
        ("UPDATE operations_sloseries", 1),
        ("UPDATE common_job", 1),
    ],
)
def test_counting_again_goes_on_where_a_killed_worker_stood(
    live_database: str, statement: str, passed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "AT_ONCE", 10)
    monkeypatch.setattr(objectives, "CHUNK", 10)
    slo = measured()
    record()
    assert good(slo) == [6, 5, 11]
    change_sli(sli="answers", changes={"threshold": Decimal(3)})
    assert sum(row[1] for (name, _), row in rows_of(slo).items() if name == "all") == 10
    job = Job.objects.get(kind=objectives.JOB)
    kill_before(statement, lambda: run_job(job_id=job.pk), passed)
    # Samples come while nobody counts: new ones, and corrections of counted and uncounted ones.
    record(10, first=60)
    changed = [
        valued(f"{n}", HOUR + timedelta(minutes=n), 0.5, labels={"agent": "a1"}) for n in range(0, 70, 3)
    ]
    record_samples(sli="answers", samples=changed)
    job.refresh_from_db()
    finish(job)
    found = check_slo(slo="slo")
    assert (found.differences, found.samples) == (0, 70)
    # Of the 31 that are fast enough at 3, and 13 of the others that were corrected to be.
    assert good(slo)[-1] == 44
    assert SloObjective.objects.get(ended_at=None).counted_to is None


@pytest.mark.parametrize(
    ("statement", "passed"), [(MINUTES, 0), (HOURS, 0), (DAYS, 0), (DAYS, 1), ("UPDATE common_job", 2)]
)
def test_excluding_again_is_finished_by_the_next_worker(
    live_database: str, statement: str, passed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recount, "AT_ONCE", 10)
    monkeypatch.setattr(recount, "_SPAN", 15)
    monkeypatch.setattr(recount, "_SERIES_CHUNK", 2)
    slo = measured()
    create_slo(body={"key": "second", "sli": "answers", "target": 0.9, "window": {"rolling": "30d"}})
    record()
    create_maintenance_window(body=window())
    job = Job.objects.get(kind=recount.JOB)
    kill_before(statement, lambda: run_job(job_id=job.pk), passed)
    record(10, first=60)
    job.refresh_from_db()
    finish(job)
    assert [check_slo(slo=key).differences for key in ("slo", "second")] == [0, 0]
    assert sum(row[6] for (name, _), row in rows_of(slo, "day").items() if name == "all") == 40
    assert sum(row[6] for row in rows_of(Slo.objects.get(key="second"), "day").values()) == 40


def _change() -> None:
    change_sli(sli="answers", changes={"threshold": Decimal(3)})


def _exclude() -> None:
    create_maintenance_window(body=window())


def _record() -> None:
    record(10, first=60)


@pytest.mark.parametrize("work", [_change, _exclude, _record])
@pytest.mark.parametrize("statement", [MINUTES, HOURS, DAYS, "INSERT INTO common_auditevent"])
def test_what_was_killed_halfway_never_was(
    live_database: str, work: Callable[[], None], statement: str
) -> None:
    slo = measured()
    record()
    before = [rows_of(slo, tier) for tier in ("minute", "hour", "day")]
    kill_before(statement, work)
    assert [rows_of(slo, tier) for tier in ("minute", "hour", "day")] == before
    counts = (SloSample.objects.count(), SloObjective.objects.count(), MaintenanceWindow.objects.count())
    assert counts == (60, 1, 0)
    work()
    assert check_slo(slo="slo").differences == 0
    assert [rows_of(slo, tier) for tier in ("minute", "hour", "day")] != before


@pytest.mark.parametrize(
    "statement", ["DELETE FROM operations_slosample", "DELETE FROM operations_slominute"]
)
def test_what_expired_is_removed_by_the_next_when_the_first_was_killed(
    live_database: str, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 25)
    slo = measured()
    record()
    hours = rows_of(slo, "hour")
    later = timezone.now() + timedelta(days=36)
    kill_before(statement, lambda: remove_expired(now=later), 1 if "sample" in statement else 0)
    # No sample is left without its minute, from which a correction would take it.
    minutes = {at for _, at in rows_of(slo)}
    assert {row.timestamp for row in SloSample.objects.all()} <= minutes
    assert remove_expired(now=later).minutes == 120
    assert (SloSample.objects.count(), rows_of(slo), rows_of(slo, "hour")) == (0, {}, hours)


def _change_slowly(child: Child) -> None:
    with acting(Actor.system("tests")), transaction.atomic():
        _change()
        child.say("changed")
        child.hear()


def _exclude_meanwhile(child: Child) -> None:
    with acting(Actor.system("tests")):
        _exclude()


def _await_waiting(pid: int) -> None:
    """Until a process waits for a lock of this database."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} waited for nothing")


@pytest.mark.postgres_only
def test_a_window_finds_an_objective_that_begins_at_that_moment(live_database: str) -> None:
    slo = measured()
    record()
    changing = Child(_change_slowly)
    assert changing.hear() == "changed"
    excluding = Child(_exclude_meanwhile)
    _await_waiting(excluding.pid)
    changing.say("go on")
    changing.result()
    excluding.result()
    assert SloObjective.objects.get(ended_at=None).number == 2
    assert sum(row[6] for (name, _), row in rows_of(slo, "day").items() if name == "all") == 40
    assert check_slo(slo="slo").differences == 0
