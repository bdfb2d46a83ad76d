"""Signs of life of a job whose work is one long transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.models import Job
from agent_factory_site.common.services import jobs
from agent_factory_site.common.services.jobs import JobContext, JobStopped, cancel_job, enqueue, run_job
from tests.processes import Child, until


def _work(child: Child, job_id: UUID, *, cancelled: bool) -> str:
    """Do the job inside a snapshot that was taken before the first sign of life."""

    def read(context: JobContext) -> dict[str, Any]:
        with context.pulse() as check, snapshot():
            before = Job.objects.get(pk=job_id).heartbeat_at
            child.say("reading")
            assert child.hear() == "go on"
            assert Job.objects.get(pk=job_id).heartbeat_at == before
            if cancelled:
                until(lambda: _stopped(check))
            check()
        return {"read": True}

    jobs.register_job("tests.reading", read)
    with acting(Actor.system("tests")):
        run_job(job_id=job_id)
    return Job.objects.get(pk=job_id).state


def _stopped(check: Callable[[], None]) -> bool:
    try:
        check()
    except JobStopped:
        return True
    return False


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_job_in_a_snapshot_gives_signs_of_life(
    live_database: str, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr(jobs, "_PULSE", 0.01)
    monkeypatch.setitem(jobs._functions, "tests.reading", lambda context: None)
    job = enqueue(kind="tests.reading", parameters={}, wake=False)
    monkeypatch.delitem(jobs._functions, "tests.reading")
    child = Child(lambda child: _work(child, job.pk, cancelled=cancelled))
    assert child.hear() == "reading"
    started = Job.objects.get().heartbeat_at
    until(lambda: Job.objects.get().heartbeat_at > started)
    if cancelled:
        cancel_job(job_id=job.pk)
    child.say("go on")
    assert child.result() == ("cancelled" if cancelled else "succeeded")
    assert Job.objects.get().result == ({} if cancelled else {"read": True})
