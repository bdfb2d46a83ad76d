"""What must be well for the kernel to work; importing this registers the checks."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from .health_checks import Finding, graded, register_check
from .selectors.installation import disk, queue_length, reach_broker
from .selectors.jobs import failed_jobs_since, oldest_queued_job
from .selectors.leases import BEAT, lease_renewed_at
from .selectors.outbox import outbox_backlog
from .selectors.task_outcomes import task_outcomes

LAG_WARN: Final = 300
LAG_FAIL: Final = 3600
QUEUE_WARN: Final = 1_000
QUEUE_FAIL: Final = 10_000
DISK_WARN: Final = 0.10
DISK_FAIL: Final = 0.03
FAILURES_WARN: Final = 1
FAILURES_FAIL: Final = 3
BEAT_FAIL: Final = 10
"""Lengths of the lease."""

_migrated = False


def _database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Finding("pass", f"{connection.vendor} answers")


def _migrations() -> Finding:
    """Once none is pending for this code it stays so."""
    global _migrated
    if _migrated:
        return Finding("pass", "none is pending", 0)
    executor = MigrationExecutor(connection)
    pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    _migrated = not pending
    if _migrated:
        return Finding("pass", "none is pending", 0)
    first = pending[0][0]
    return Finding("fail", f"pending, the first is {first.app_label}.{first.name}", len(pending))


def _broker() -> Finding:
    reach_broker()
    return Finding("pass", "the broker answers")


def _beat() -> Finding:
    renewed = lease_renewed_at(BEAT)
    if renewed is None:
        return Finding("warn", "no beat has ever ticked: what is scheduled does not run")
    age = max(0.0, (timezone.now() - renewed).total_seconds())
    lease = settings.BEAT_LEASE.total_seconds()
    return graded(
        round(age, 1),
        warn=lease,
        fail=BEAT_FAIL * lease,
        text=f"a beat gave its last sign of life {age:,.0f} s ago",
        unit="s",
    )


def _lag(since: object, nothing: str, something: str) -> Finding:
    if since is None:
        return Finding("pass", nothing, 0, "s")
    age = max(0.0, (timezone.now() - since).total_seconds())  # type: ignore[operator]
    return graded(round(age, 1), warn=LAG_WARN, fail=LAG_FAIL, text=f"{something} {age:,.0f} s", unit="s")


def _outbox() -> Finding:
    found = outbox_backlog()
    what = f"{found.waiting:,} deliveries wait, {found.failing:,} have failed before; the oldest for"
    return _lag(found.oldest, "no domain event waits", what)


def _jobs() -> Finding:
    return _lag(oldest_queued_job(), "no job waits", "a job waits for a worker for")


def _queue() -> Finding:
    length = queue_length()
    if length is None:
        return Finding("warn", "the broker's folder is not there: no system runs here")
    text = f"{length:,} messages wait in the broker"
    return graded(length, warn=QUEUE_WARN, fail=QUEUE_FAIL, text=text, unit="messages")


def _disk() -> Finding:
    found = disk()
    share = found.free / found.size
    text = f"{share:.0%} free: {found.free / 1024**3:,.1f} of {found.size / 1024**3:,.1f} GiB"
    return graded(
        round(share, 4), warn=DISK_WARN, fail=DISK_FAIL, text=text, unit="ratio", less_is_worse=True
    )


def _failing() -> Finding:
    rows = [row for row in task_outcomes() if row.failures]
    failed = failed_jobs_since(timezone.now() - timedelta(days=1))
    worst = max((row.failures for row in rows), default=0)
    said = [f"{row.task} has failed {row.failures:,} times in a row: {row.error}" for row in rows[:3]]
    if failed:
        said.append(f"{failed:,} jobs have failed within a day")
    status = "fail" if worst >= FAILURES_FAIL else "warn" if worst >= FAILURES_WARN or failed else "pass"
    text = "; ".join(said) or "no task and no job fails"
    return Finding(status, text[:500], len(rows) + failed)  # type: ignore[arg-type]


register_check(
    "database",
    _database,
    measures="responseTime",
    component="datastore",
    needed=True,
    thresholds="fails when it does not answer",
)
register_check(
    "migrations",
    _migrations,
    measures="pending",
    component="datastore",
    needed=True,
    thresholds="fails while one is pending",
)
register_check(
    "broker", _broker, measures="responseTime", needed=True, thresholds="fails when it does not answer in 2 s"
)
register_check(
    "beat",
    _beat,
    measures="leaseAge",
    thresholds=f"warns beyond the lease, {settings.BEAT_LEASE.total_seconds():g} s, or where none has ever ticked; "
    f"fails beyond {BEAT_FAIL} leases",
)
register_check(
    "outbox",
    _outbox,
    measures="oldestWaiting",
    thresholds=f"warns when an event has waited {LAG_WARN} s, fails at {LAG_FAIL:,} s",
)
register_check(
    "jobs",
    _jobs,
    measures="oldestWaiting",
    thresholds=f"warns when a job has waited {LAG_WARN} s, fails at {LAG_FAIL:,} s",
)
register_check(
    "queue",
    _queue,
    measures="length",
    thresholds=f"warns beyond {QUEUE_WARN:,} messages, fails beyond {QUEUE_FAIL:,}",
)
register_check(
    "disk",
    _disk,
    measures="freeShare",
    component="system",
    thresholds=f"warns below {DISK_WARN:.0%} free, fails below {DISK_FAIL:.0%}",
)
register_check(
    "failing",
    _failing,
    measures="failing",
    thresholds=f"warns when a task failed last or a job failed within a day; fails when a task failed "
    f"{FAILURES_FAIL} times in a row",
)
