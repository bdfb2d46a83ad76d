"""What has to happen without anybody asking: runs that never end, what is kept too long, late costs."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import audit_insert
from agent_factory_site.common.db.bulk import write_all
from agent_factory_site.common.db.retry import retry_conflicts
from financial.events import CostsRecorded
from operations.fleet.models import Run, RunHour, RunLatency, RunMinute, StepContent

from .run_results import join_runs, settle_runs
from .run_rollups import add_to_rollups
from .run_rows import EPOCH, locked_rows, replace_rows

BATCH: Final = 500
MINUTES_KEPT_DAYS: Final = 35
HOURS_KEPT_DAYS: Final = 400


def follow_costs(event: CostsRecorded) -> None:
    """Bring the runs that recorded costs name up to the ledger: posted directly, late, corrected or repriced."""
    with transaction.atomic():
        settle_runs(run_ids=event.runs)


def names_runs(event: CostsRecorded) -> bool:
    """Whether recorded costs name a run."""
    return bool(event.runs)


def sweep_lost_runs(*, now: datetime | None = None) -> int:
    """Mark the runs of which nothing was heard for ``RUN_LOST_AFTER`` as lost; how many there were."""
    moment = now or timezone.now()
    before = moment - settings.RUN_LOST_AFTER
    swept = 0
    while done := retry_conflicts(lambda: _sweep(before, moment)):
        swept += done
    return swept


def _sweep(before: datetime, now: datetime) -> int:
    with transaction.atomic():
        silent = Run.objects.filter(status=Run.Status.RUNNING, last_at__lt=before).order_by("last_at")
        rows = locked_rows(silent.values_list("pk", flat=True)[:BATCH])
        # Something may have come before the lock did.
        old = [row for row in rows.values() if row.status == Run.Status.RUNNING and row.last_at < before]
        if not old:
            return 0
        lost = [row._replace(status=Run.Status.LOST.value) for row in old]
        replace_rows(lost, now)
        join_runs(keys=[row.id for row in lost])
        told = audit_insert(action="lose", target_type="operations.Run", changes={"runs": len(lost)})
        write_all(connection, [told])
        add_to_rollups(list(zip(old, lost, strict=True)))
    return len(lost)


def prune_fleet(*, now: datetime | None = None) -> int:
    """Delete prompts and completions that have expired, and minutes and hours that are no longer kept."""
    moment = now or timezone.now()
    pruned = 0
    while ids := list(
        StepContent.objects.filter(expires_at__lte=moment).values_list("pk", flat=True)[:BATCH]
    ):
        pruned += StepContent.objects.filter(pk__in=ids).delete()[0]
    seconds = int((moment - EPOCH).total_seconds())
    hours = (seconds - HOURS_KEPT_DAYS * 86_400) // 3600
    pruned += RunMinute.objects.filter(bucket__lt=(seconds - MINUTES_KEPT_DAYS * 86_400) // 60).delete()[0]
    pruned += RunHour.objects.filter(bucket__lt=hours).delete()[0]
    pruned += RunLatency.objects.filter(tier=3600, bucket__lt=hours).delete()[0]
    return pruned
