"""Recording what came of a probe or a heartbeat: the state, the result, the samples, in one transaction."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict
from operations.health.domain.standing import Standing, Thresholds, after, missed, next_due
from operations.health.models import HealthCheck, HealthCheckResult

from .health_checks import locked, tell_change
from .samples import record_as_samples

log = logging.getLogger(__name__)

KEPT: Final = timedelta(days=7)
_PRUNED_AT_ONCE: Final = 5_000
_MISSED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one probe or heartbeat said; ``seconds`` and ``status`` where there was an answer."""

    ok: bool
    text: str
    seconds: float | None = None
    status: int | None = None


def record_heartbeat(
    *, name: str, ok: bool = True, text: str = "", now: datetime | None = None
) -> HealthCheck:
    """A heartbeat has come: it is well, or says itself that it is not.

    Raises :class:`NotFound`, and :class:`Conflict` where the check is archived, paused or not a heartbeat.
    """

    def store() -> HealthCheck:
        with transaction.atomic():
            check = locked(name)
            if check.archived_at is not None:
                raise Conflict("archived", "This health check is archived.")
            if check.kind != HealthCheck.Kind.HEARTBEAT:
                raise Conflict("not_a_heartbeat", "This check is asked over HTTP and takes no heartbeats.")
            if check.paused_at is not None:
                raise Conflict("paused", "This health check is paused.")
            at = now or timezone.now()
            check.number += 1
            check.due_at = at + timedelta(seconds=check.interval_seconds + check.grace_seconds)
            apply_outcome(check, Outcome(ok, text or ("" if ok else "It says that it is not well.")), at)
        return check

    return retry_conflicts(store)


def sweep_heartbeats(*, now: datetime | None = None) -> int:
    """Count the heartbeats that did not come; how many checks. Safe to run from several workers at once."""
    moment = now or timezone.now()
    late = HealthCheck.objects.filter(
        kind=HealthCheck.Kind.HEARTBEAT, archived_at=None, paused_at=None, due_at__lte=moment
    ).order_by("due_at")
    found = 0
    for pk in list(late.values_list("pk", flat=True)[:_MISSED_AT_ONCE]):
        found += retry_conflicts(lambda pk=pk: _miss(pk, moment))  # type: ignore[misc]
    return found


def apply_outcome(check: HealthCheck, outcome: Outcome, at: datetime) -> None:
    """Write ``outcome`` as the result ``check.number``; within the transaction that locked ``check``."""
    standing = after(
        Standing(check.state, check.failures, check.successes),
        outcome.ok,
        Thresholds(check.failure_threshold, check.success_threshold),
    )
    before = check.state
    check.state, check.failures, check.successes = standing.state, standing.failures, standing.successes
    check.last_at, check.last_ok, check.last_seconds = at, outcome.ok, outcome.seconds
    check.last_text = outcome.text[:500]
    check.claimed_until = None
    if before != check.state:
        check.state_since = at
        tell_change(check, before, check.last_text)
    check.save(
        update_fields=[
            "state", "failures", "successes", "last_at", "last_ok", "last_seconds", "last_text", "state_since",
            "claimed_until", "due_at", "number",
        ]
    )  # fmt: skip
    HealthCheckResult.objects.create(
        health_check=check,
        number=check.number,
        at=at,
        ok=outcome.ok,
        seconds=outcome.seconds,
        status=outcome.status,
        text=check.last_text,
    )
    record_as_samples(check, outcome.ok, outcome.seconds, at)


def prune_health_results(*, now: datetime | None = None) -> int:
    """Delete results after a week, some at a time; how many."""
    before = (now or timezone.now()) - KEPT
    deleted = 0
    while True:
        old = HealthCheckResult.objects.filter(at__lt=before).order_by("at").values_list("pk", flat=True)
        count = HealthCheckResult.objects.filter(pk__in=list(old[:_PRUNED_AT_ONCE])).delete()[0]
        deleted += count
        if count < _PRUNED_AT_ONCE:
            return deleted


def _miss(pk: object, now: datetime) -> int:
    with transaction.atomic():
        rows = HealthCheck.objects.select_related("entity").select_for_update(of=("self",))
        check: HealthCheck | None = rows.filter(
            pk=pk, archived_at=None, paused_at=None, due_at__lte=now
        ).first()
        if check is None or check.due_at is None:
            # It has come, or somebody else has counted it, between looking and locking.
            return 0
        interval = timedelta(seconds=check.interval_seconds)
        count = missed(check.due_at, interval, now)
        silent = int((now - check.last_at).total_seconds()) if check.last_ok and check.last_at else None
        last = check.due_at - timedelta(seconds=check.grace_seconds + check.interval_seconds)
        since = silent if silent is not None else int((now - last).total_seconds())
        check.due_at = next_due(check.due_at, interval, now)
        check.number += 1
        # Those that went by while nobody looked are one result, but count as many.
        check.failures += count - 1
        words = "heartbeat has" if count == 1 else f"{count} heartbeats have"
        apply_outcome(
            check, Outcome(False, f"No heartbeat for {since:,} s: the expected {words} not come."), now
        )
    return 1
