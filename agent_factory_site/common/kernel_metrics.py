"""The numbers that the kernel publishes about its own work; importing this registers them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from django.utils import timezone

from . import metric_readings
from .metrics import Number, Sample, register, shared
from .selectors.installation import build_labels, database_size, disk, queue_length
from .selectors.jobs import job_counts, oldest_queued_job
from .selectors.leases import BEAT, lease_renewed_at
from .selectors.outbox import outbox_backlog
from .selectors.task_outcomes import last_successes, task_outcomes

__all__ = ["metric_readings"]

backlog = shared(outbox_backlog)
outcomes = shared(task_outcomes)
var_disk = shared(disk)


def _one(measure: Callable[[], Number | None]) -> Callable[[], Iterable[Sample]]:
    return lambda: [Sample({}, measure())]


def _age(moment: datetime | None) -> float:
    """Seconds since ``moment``; 0 where nothing waits."""
    return max(0.0, (timezone.now() - moment).total_seconds()) if moment else 0.0


def _jobs() -> Iterator[Sample]:
    for state, count in job_counts().items():
        yield Sample({"state": state}, count)


def _waiting() -> Iterator[Sample]:
    found = backlog()
    yield Sample({"failed_before": "no"}, found.waiting - found.failing)
    yield Sample({"failed_before": "yes"}, found.failing)


def _job_successes() -> Iterator[Sample]:
    for kind, at in last_successes().items():
        yield Sample({"kind": kind}, at.timestamp())


def _task_successes() -> Iterator[Sample]:
    for row in outcomes():
        yield Sample({"task": row.task}, row.succeeded_at.timestamp() if row.succeeded_at else None)


def _task_failures() -> Iterator[Sample]:
    for row in outcomes():
        yield Sample({"task": row.task}, row.failures)


def _beat_age() -> float | None:
    renewed = lease_renewed_at(BEAT)
    return _age(renewed) if renewed else None


register(
    "agent_factory_build_info",
    "What is running, always 1.",
    "",
    ["version", "python", "django", "celery", "database"],
    lambda: [Sample(build_labels(), 1)],
)
register("agent_factory_jobs", "Background jobs by state.", "jobs", ["state"], _jobs)
register(
    "agent_factory_job_oldest_queued_seconds",
    "Time that the job which waits longest has waited for a worker; 0 when none waits.",
    "seconds",
    [],
    _one(lambda: _age(oldest_queued_job())),
)
register(
    "agent_factory_job_last_success_timestamp_seconds",
    "When a job of each kind last succeeded, in seconds since 1970; only kinds that ever have.",
    "seconds",
    ["kind"],
    _job_successes,
)
register(
    "agent_factory_task_last_success_timestamp_seconds",
    "When each background task last succeeded, in seconds since 1970, to 10 seconds.",
    "seconds",
    ["task"],
    _task_successes,
)
register(
    "agent_factory_task_consecutive_failures",
    "Failures of each background task since it last succeeded.",
    "failures",
    ["task"],
    _task_failures,
)
register(
    "agent_factory_outbox_waiting_deliveries",
    "Domain events not yet delivered to a subscriber, and whether delivery has failed before.",
    "deliveries",
    ["failed_before"],
    _waiting,
)
register(
    "agent_factory_outbox_oldest_waiting_seconds",
    "Age of the oldest domain event that a subscriber still waits for; 0 when none does.",
    "seconds",
    [],
    _one(lambda: _age(backlog().oldest)),
)
register(
    "agent_factory_beat_lease_age_seconds",
    "Time since the lease of the schedule was last renewed; it grows when no beat ticks.",
    "seconds",
    [],
    _one(_beat_age),
)
register(
    "agent_factory_queue_waiting_messages",
    "Messages in the broker that no worker has taken yet.",
    "messages",
    [],
    _one(queue_length),
)
register(
    "agent_factory_database_size_bytes",
    "Size of the database on disk.",
    "bytes",
    [],
    _one(database_size),
)
register(
    "agent_factory_disk_free_bytes",
    "Free space of the file system of VAR_DIR, on the machine that answers.",
    "bytes",
    [],
    _one(lambda: var_disk().free),
)
register(
    "agent_factory_disk_size_bytes",
    "Size of the file system of VAR_DIR, on the machine that answers.",
    "bytes",
    [],
    _one(lambda: var_disk().size),
)
