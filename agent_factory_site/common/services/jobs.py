"""Background work that survives its worker.

A job is a row; Celery only wakes it. Whoever turns the row from queued to running does the work and
signs its writes with the number of the attempt: a worker that was given up for dead, and is not,
finds at its next write that the job is no longer its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from datetime import datetime, timedelta
from threading import Event, Thread
from time import monotonic
from typing import Any, Final
from uuid import UUID

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting, current_actor
from agent_factory_site.common.errors import Conflict, DomainError
from agent_factory_site.common.models import Job
from agent_factory_site.common.selectors.jobs import job_by_id
from agent_factory_site.common.wake_ups import wake_up

log = logging.getLogger(__name__)

RUN: Final = "common.run_job"
LOST_AFTER: Final = timedelta(seconds=60)
MAX_ATTEMPTS: Final = 5
_WRITE_EVERY: Final = 1.0
_PULSE: Final = 10.0
_WOKEN_PER_SWEEP: Final = 20
_ERROR_LENGTH: Final = 2000


class JobStopped(Exception):
    """The job was cancelled, or taken over after this worker was given up for dead: stop working."""


class JobContext:
    """What a job function works with.

    It must call :meth:`progress` or :meth:`save_state` at least every 30 seconds, outside of long
    transactions: they are also its sign of life. Both raise :class:`JobStopped`, which the function
    lets pass. Work that is one long transaction stands inside :meth:`pulse` instead.
    """

    def __init__(self, job: Job) -> None:
        self.job_id: UUID = job.pk
        self.attempt: int = job.attempts
        self.parameters: dict[str, Any] = job.parameters
        self.state: dict[str, Any] = job.state_data
        self.done: int = job.done
        self.total: int | None = job.total
        self._written = 0.0

    def progress(self, done: int, total: int | None = None, note: str = "") -> None:
        """Tell how far the work is; written at most once a second."""
        self.done = done
        if total is not None:
            self.total = total
        if monotonic() - self._written >= _WRITE_EVERY:
            self._write(progress_note=note[:200])

    def save_state(self, state: Mapping[str, Any], done: int | None = None, note: str = "") -> None:
        """Remember where to resume.

        Call it inside the transaction of the work that it tells of: both are kept, or neither.
        """
        if done is not None:
            self.done = done
        self.state = dict(state)
        self._write(state_data=self.state, progress_note=note[:200])

    @contextmanager
    def pulse(self) -> Iterator[Callable[[], None]]:
        """Give signs of life from a thread with a connection of its own: neither a snapshot nor a lock of the
        work holds them back.

        Yields a function to call now and then, which raises :class:`JobStopped` once the job is no longer this
        worker's.
        """
        finished, lost = Event(), Event()

        def beat() -> None:
            try:
                while not finished.wait(_PULSE):
                    try:
                        self._write()
                    except JobStopped:
                        lost.set()
                        return
                    except (OperationalError, InterfaceError):
                        log.warning("job %s could not give a sign of life", self.job_id, exc_info=True)
            finally:
                # Of this thread alone.
                connections.close_all()

        def check() -> None:
            if lost.is_set():
                raise JobStopped(str(self.job_id))

        thread = Thread(
            target=copy_context().run, args=(beat,), name=f"pulse of job {self.job_id}", daemon=True
        )
        thread.start()
        try:
            yield check
        finally:
            finished.set()
            thread.join()

    @property
    def cancelled(self) -> bool:
        """Whether somebody has stopped the job."""
        return not self._mine().exists()

    def _mine(self) -> Any:
        return Job.objects.filter(pk=self.job_id, state=Job.State.RUNNING, attempts=self.attempt)

    def _write(self, **values: Any) -> None:
        written = self._mine().update(done=self.done, total=self.total, heartbeat_at=timezone.now(), **values)
        if not written:
            raise JobStopped(str(self.job_id))
        self._written = monotonic()

    def _finish(self, state: Job.State, **values: Any) -> None:
        now = timezone.now()
        self._mine().update(
            state=state, done=self.done, total=self.total, finished_at=now, heartbeat_at=now, **values
        )


JobFunction = Callable[[JobContext], Mapping[str, Any] | None]

_functions: dict[str, JobFunction] = {}


def register_job(kind: str, function: JobFunction) -> None:
    """Have jobs of ``kind`` done by ``function``, which returns the job's result.

    It may be started again after its worker died and then finds in ``context.state`` what it last
    saved. A :class:`DomainError` that it raises is shown to people as the reason of the failure.
    """
    if _functions.setdefault(kind, function) is not function:
        raise ValueError(f"two functions are registered for jobs of kind {kind}")


def enqueue(*, kind: str, parameters: Mapping[str, Any], total: int | None = None, wake: bool = True) -> Job:
    """Create a job for the acting actor and wake a worker on commit.

    With ``wake`` off the caller runs it itself, as a command does; should it die, the sweep takes over.
    """
    if kind not in _functions:
        raise LookupError(f"no function is registered for jobs of kind {kind}")
    actor = current_actor()
    with transaction.atomic():
        job: Job = Job.objects.create(
            kind=kind,
            parameters=dict(parameters),
            total=total,
            actor_kind=actor.kind,
            actor_id=actor.id,
            heartbeat_at=timezone.now(),
        )
        if wake:
            wake_up(RUN, str(job.pk))
    return job


def run_job(*, job_id: UUID) -> bool:
    """Do a queued job to its end, as the actor who asked for it; ``False`` when somebody else has it."""
    now = timezone.now()
    claimed = Job.objects.filter(pk=job_id, state=Job.State.QUEUED).update(
        state=Job.State.RUNNING,
        attempts=F("attempts") + 1,
        started_at=Coalesce(F("started_at"), now),
        heartbeat_at=now,
        error="",
    )
    if not claimed:
        return False
    job = Job.objects.get(pk=job_id)
    context = JobContext(job)
    with acting(Actor(job.actor_kind, job.actor_id), request_id=f"job:{job.pk}"):
        try:
            result = _functions[job.kind](context)
        except JobStopped:
            log.info("job %s was stopped", job.pk)
        except (OperationalError, InterfaceError):
            # The database went away: the row cannot be trusted to be written, so the sweep decides.
            log.exception("job %s lost the database", job.pk)
        except Exception as error:
            log.exception("job %s failed", job.pk)
            text = error.detail if isinstance(error, DomainError) else f"{type(error).__name__}: {error}"
            context._finish(Job.State.FAILED, error=text[:_ERROR_LENGTH])
        else:
            context._finish(Job.State.SUCCEEDED, result=dict(result or {}))
    return True


def cancel_job(*, job_id: UUID) -> Job:
    """Stop a job: at once when it waits, at its next sign of life when it runs."""
    changed = Job.objects.filter(pk=job_id, state__in=[Job.State.QUEUED, Job.State.RUNNING]).update(
        state=Job.State.CANCELLED, finished_at=timezone.now()
    )
    job = job_by_id(job_id)
    if not changed:
        raise Conflict("job_finished", f"The job has already {job.state}.")
    return job


def sweep_jobs(*, now: datetime | None = None) -> int:
    """Queue the jobs whose worker died again, and wake those that nobody came for; how many were woken.

    A job that lost its worker five times has failed.
    """
    moment = now or timezone.now()
    silent_since = moment - LOST_AFTER
    lost = Job.objects.filter(state=Job.State.RUNNING, heartbeat_at__lt=silent_since)
    for pk, attempts in list(lost.values_list("pk", "attempts")):
        same = lost.filter(pk=pk, attempts=attempts)
        if attempts >= MAX_ATTEMPTS:
            error = f"Its worker died {attempts} times without finishing it."
            same.update(state=Job.State.FAILED, finished_at=moment, error=error)
        else:
            # Its heartbeat is old, so that it is woken right below.
            same.update(state=Job.State.QUEUED)
    waiting = Job.objects.filter(state=Job.State.QUEUED, heartbeat_at__lt=silent_since)
    woken = list(waiting.order_by("created_at").values_list("pk", flat=True)[:_WOKEN_PER_SWEEP])
    for pk in woken:
        Job.objects.filter(pk=pk).update(heartbeat_at=moment)
        wake_up(RUN, str(pk))
    return len(woken)
