"""Jobs: done once by one worker, resumed after a crash, stopped when asked, failed after five deaths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting, current_actor, current_request_id
from agent_factory_site.common.errors import Conflict, Invalid, NotFound
from agent_factory_site.common.models import AuditEvent, Job, Team
from agent_factory_site.common.selectors.jobs import find_jobs, job_by_id, job_counts, progress_of
from agent_factory_site.common.services import jobs
from agent_factory_site.common.services.jobs import (
    JobContext,
    JobStopped,
    cancel_job,
    enqueue,
    register_job,
    run_job,
    sweep_jobs,
)
from agent_factory_site.common.tasks import run_job as run_job_task
from tests.processes import Child, run_all

Register = Callable[[Callable[[JobContext], Mapping[str, Any] | None]], str]


@pytest.fixture
def registered() -> Iterator[Register]:
    """Registers a function as the kind ``tests`` for the length of a test."""

    def register(function: Callable[[JobContext], Mapping[str, Any] | None]) -> str:
        register_job("tests", function)
        return "tests"

    yield register
    jobs._functions.pop("tests", None)


def the_job() -> Job:
    return Job.objects.get()


@pytest.mark.django_db
def test_a_job_is_done_once_as_the_actor_who_asked(registered: Register) -> None:
    seen: list[object] = []

    def work(context: JobContext) -> dict[str, object]:
        seen.append((str(current_actor()), current_request_id(), context.parameters, context.total))
        context.progress(3, note="almost")
        return {"rows": 3}

    with acting(Actor.user(7)):
        job = enqueue(kind=registered(work), parameters={"file": "a.csv"}, total=3)
    assert (job.state, job.actor_kind, job.actor_id) == ("queued", "user", "7")
    assert run_job(job_id=job.pk) is True
    assert run_job(job_id=job.pk) is False
    assert seen == [("user:7", f"job:{job.pk}", {"file": "a.csv"}, 3)]
    job = the_job()
    assert (job.state, job.done, job.total, job.result, job.attempts, job.error, job.progress_note) == (
        "succeeded", 3, 3, {"rows": 3}, 1, "", "almost",
    )  # fmt: skip
    assert job.started_at is not None
    assert job.finished_at is not None
    told = AuditEvent.objects.filter(target_type="common.Job").order_by("id")
    assert [(event.action, event.changes.get("state")) for event in told] == [
        ("create", [None, "queued"]),
        ("update", ["queued", "running"]),
        ("update", ["running", "succeeded"]),
    ]


@pytest.mark.django_db
def test_a_domain_error_is_shown_and_another_is_named(registered: Register) -> None:
    def refuse(context: JobContext) -> None:
        context.progress(2)
        raise Invalid.field_error("/file", "unreadable", "not a CSV file")

    job = enqueue(kind=registered(refuse), parameters={})
    run_job(job_id=job.pk)
    assert (the_job().state, the_job().error, the_job().done) == ("failed", "/file: not a CSV file", 2)
    jobs._functions.pop("tests")

    def stumble(context: JobContext) -> None:
        raise ZeroDivisionError("division by zero")

    job = enqueue(kind=registered(stumble), parameters={})
    run_job(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == ("failed", "ZeroDivisionError: division by zero")


@pytest.mark.django_db
def test_an_unknown_kind_cannot_be_asked_for_and_a_kind_has_one_function(registered: Register) -> None:
    with pytest.raises(LookupError, match="no function is registered for jobs of kind nothing"):
        enqueue(kind="nothing", parameters={})
    registered(lambda context: None)
    with pytest.raises(ValueError, match="two functions"):
        registered(lambda context: None)


@pytest.mark.django_db
def test_progress_is_written_at_most_once_a_second(
    registered: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(jobs, "monotonic", lambda: clock[0])
    seen: list[tuple[int, int]] = []

    def work(context: JobContext) -> None:
        for done in range(30):
            with CaptureQueriesContext(connection) as queries:
                context.progress(done)
            if len(queries):
                seen.append((done, the_job().done))
            clock[0] += 0.125

    run_job(job_id=enqueue(kind=registered(work), parameters={}).pk)
    assert seen == [(0, 0), (8, 8), (16, 16), (24, 24)]
    assert the_job().done == 29


@pytest.mark.django_db
def test_a_waiting_job_is_cancelled_at_once(registered: Register) -> None:
    job = enqueue(kind=registered(lambda context: None), parameters={})
    assert cancel_job(job_id=job.pk).state == "cancelled"
    assert run_job(job_id=job.pk) is False
    with pytest.raises(Conflict, match="already cancelled"):
        cancel_job(job_id=job.pk)
    with pytest.raises(NotFound):
        cancel_job(job_id=uuid4())


@pytest.mark.django_db
def test_a_running_job_stops_at_its_next_sign_of_life(registered: Register) -> None:
    reached: list[object] = []

    def work(context: JobContext) -> None:
        assert not context.cancelled
        cancel_job(job_id=context.job_id)
        reached.append(context.cancelled)
        with transaction.atomic():
            Team.objects.create(key="never", name="")
            context.save_state({"at": 2})
        reached.append("beyond")

    job = enqueue(kind=registered(work), parameters={})
    run_job(job_id=job.pk)
    assert reached == [True]
    assert the_job().state == "cancelled"
    assert the_job().state_data == {}
    assert Team.objects.count() == 0


@pytest.mark.django_db
def test_a_worker_given_up_for_dead_cannot_write_any_more(registered: Register) -> None:
    contexts: list[JobContext] = []

    def work(context: JobContext) -> dict[str, int]:
        contexts.append(context)
        if len(contexts) == 1:
            later = timezone.now() + timedelta(seconds=61)
            assert sweep_jobs(now=later) == 1
            assert run_job(job_id=context.job_id) is True
            with pytest.raises(JobStopped), transaction.atomic():
                context.save_state({"from": "the dead"})
        return {"attempt": context.attempt}

    job = enqueue(kind=registered(work), parameters={})
    run_job(job_id=job.pk)
    assert [context.attempt for context in contexts] == [1, 2]
    assert (the_job().state, the_job().result, the_job().attempts) == ("succeeded", {"attempt": 2}, 2)


@pytest.mark.django_db
def test_a_living_worker_is_left_alone(registered: Register) -> None:
    def work(context: JobContext) -> None:
        assert sweep_jobs(now=the_job().heartbeat_at + timedelta(seconds=59)) == 0
        assert the_job().state == "running"

    run_job(job_id=enqueue(kind=registered(work), parameters={}).pk)
    assert the_job().state == "succeeded"


@pytest.mark.django_db
def test_a_job_fails_after_its_worker_died_five_times(registered: Register) -> None:
    job = enqueue(kind=registered(lambda context: None), parameters={})
    now = timezone.now()
    for attempt in range(1, 6):
        Job.objects.filter(pk=job.pk).update(state="running", attempts=attempt, heartbeat_at=now)
        now += timedelta(seconds=61)
        assert sweep_jobs(now=now) == (1 if attempt < 5 else 0)
    job = the_job()
    assert (job.state, job.error) == ("failed", "Its worker died 5 times without finishing it.")
    assert job.finished_at == now


@pytest.mark.django_db
def test_a_job_nobody_came_for_is_woken_once_a_minute(registered: Register) -> None:
    job = enqueue(kind=registered(lambda context: None), parameters={})
    now = timezone.now()
    assert sweep_jobs(now=now + timedelta(seconds=30)) == 0
    assert sweep_jobs(now=now + timedelta(seconds=61)) == 1
    assert sweep_jobs(now=now + timedelta(seconds=90)) == 0
    assert sweep_jobs(now=now + timedelta(seconds=122)) == 1
    assert the_job().state == "queued"
    assert run_job(job_id=job.pk) is True


# --- Processes that die -------------------------------------------------------------------------


class Steps:
    """A job of six steps, each written with its state; says so and waits inside the fourth when told to."""

    def __init__(self, name: str, child: Child | None = None) -> None:
        self.name = name
        self.child = child

    def __call__(self, context: JobContext) -> dict[str, int]:
        for step in range(context.state.get("next", 0), 6):
            with transaction.atomic():
                Team.objects.create(key=f"step-{step}", name=self.name)
                if self.child and step == 3:
                    self.child.say("inside")
                    self.child.hear(timeout=600)
                context.save_state({"next": step + 1}, done=step + 1)
        return {"steps": 6}


def work_until_killed(child: Child, job_id: UUID) -> None:
    jobs._functions["tests"] = Steps("doomed", child)
    run_job(job_id=job_id)


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_worker_is_killed_completes_once(registered: Register) -> None:
    job = enqueue(kind=registered(Steps("survivor")), parameters={}, total=6)
    child = Child(work_until_killed, job.pk)
    assert child.hear() == "inside"
    child.kill()
    job = the_job()
    assert (job.state, job.done, job.state_data) == ("running", 3, {"next": 3})
    # A wake-up that comes a second time, as from a broker that redelivers, finds nothing to do.
    run_job_task(str(job.pk))
    assert the_job().done == 3
    assert sweep_jobs() == 0
    assert sweep_jobs(now=timezone.now() + timedelta(seconds=61)) == 1
    run_job_task(str(job.pk))
    job = the_job()
    assert (job.state, job.done, job.attempts, job.result) == ("succeeded", 6, 2, {"steps": 6})
    assert list(Team.objects.order_by("key").values_list("key", "name")) == [
        (f"step-{step}", "doomed" if step < 3 else "survivor") for step in range(6)
    ]


def try_to_run(child: Child, job_id: UUID) -> bool:
    return run_job(job_id=job_id)


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_does_the_job(registered: Register) -> None:
    job = enqueue(kind=registered(Steps("one")), parameters={})
    assert sorted(run_all(try_to_run, [(job.pk,)] * 6)) == [False] * 5 + [True]
    assert Team.objects.count() == 6
    assert the_job().attempts == 1


# --- Reading ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_progress_says_share_rate_and_time_left() -> None:
    start = datetime.fromisoformat("2026-11-02T10:00:00+00:00")
    job = Job(kind="x", state="running", done=250, total=1000, started_at=start)
    now = start + timedelta(seconds=50)
    progress = progress_of(job, now)
    assert (progress.share, progress.rate, progress.left) == (0.25, 5.0, timedelta(seconds=150))
    unknown = progress_of(Job(kind="x", state="running", done=250, started_at=start), now)
    assert (unknown.share, unknown.rate, unknown.left) == (None, 5.0, None)
    waiting = progress_of(Job(kind="x", state="queued", total=10), now)
    assert (waiting.share, waiting.rate, waiting.left) == (0.0, None, None)
    over = progress_of(Job(kind="x", state="running", done=20, total=10, started_at=start), now)
    assert (over.share, over.left) == (1.0, timedelta(0))
    done = Job(kind="x", state="succeeded", done=10, started_at=start, finished_at=now)
    assert (progress_of(done).share, progress_of(done).rate) == (1.0, 0.2)


@pytest.mark.django_db
def test_jobs_are_found(registered: Register) -> None:
    kind = registered(lambda context: None)
    first, second = enqueue(kind=kind, parameters={}), enqueue(kind=kind, parameters={})
    run_job(job_id=first.pk)
    assert [job.pk for job in find_jobs()] == [second.pk, first.pk]
    assert [job.pk for job in find_jobs(kind=kind, state="queued")] == [second.pk]
    assert job_by_id(first.pk) == first
    with pytest.raises(NotFound):
        job_by_id(uuid4())
    assert job_counts() == {"queued": 1, "running": 0, "succeeded": 1, "failed": 0, "cancelled": 0}
