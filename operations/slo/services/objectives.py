"""Versions of what an SLO counts: a changed one ends, another begins, and counts the samples still kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.services.jobs import JobContext, enqueue
from operations.slo.models import Slo, SloObjective, SloSample

from .objective_counts import Change, Content, count_changes
from .sli_lock import lock_slis

JOB: Final = "operations.count_samples"
AT_ONCE: Final = 2000
"""Up to so many samples are counted in the transaction that begins an objective; more are a job."""
CHUNK: Final = 2000
_NOTHING_COUNTED: Final = UUID(int=0)


def renew_objective(slo: Slo) -> SloObjective | None:
    """Begin another objective where what ``slo`` counts has changed; the new one, or None.

    The caller holds the locks of the indicators that were and are concerned.
    """
    wanted = counted_by(slo)
    former = slo.objectives.filter(ended_at__isnull=True).first()
    if former is not None and all(getattr(former, name) == value for name, value in wanted.items()):
        return None
    now = timezone.now()
    end_objective(slo, now)
    last = slo.objectives.order_by("-number").values_list("number", flat=True).first() or 0
    objective = SloObjective.objects.create(
        slo=slo, number=last + 1, started_at=now, counted_to=_NOTHING_COUNTED, **wanted
    )
    if not _count_chunk(objective, AT_ONCE):
        enqueue(kind=JOB, parameters={"objective": objective.pk})
    return objective


def counted_by(slo: Slo) -> dict[str, Any]:
    """What decides how the samples of an SLO are counted: the fields of its objective."""
    sli = slo.sli
    return {
        "sli_id": sli.pk,
        "threshold": sli.threshold,
        "op": sli.op,
        "slice_target": sli.slice_target,
        "group_by": list(slo.group_by),
    }


def end_objective(slo: Slo, now: datetime) -> None:
    """Count no more for an SLO; what was counted stays."""
    slo.objectives.filter(ended_at__isnull=True).update(ended_at=now)


def count_more(*, objective: int) -> bool:
    """Count one more batch of stored samples into an objective; whether that was the last."""

    def work() -> bool:
        with transaction.atomic():
            row = SloObjective.objects.filter(pk=objective).first()
            if row is None:
                return True
            lock_slis([row.sli_id])
            row = SloObjective.objects.get(pk=objective)
            if row.ended_at is not None or row.counted_to is None:
                return True
            return _count_chunk(row, CHUNK)

    return retry_conflicts(work)


def run_count_job(context: JobContext) -> Mapping[str, Any]:
    """The job that counts samples into a new objective; the row knows how far it came."""
    objective = int(context.parameters["objective"])
    done = 0
    while not count_more(objective=objective):
        done += CHUNK
        context.progress(done, note="counting samples")
    return {"objective": objective}


def _count_chunk(objective: SloObjective, limit: int) -> bool:
    """Count the next samples in the order of their keys; whether none are left."""
    reached = objective.counted_to
    rows = SloSample.objects.filter(sli=objective.sli_id, key__gt=reached).order_by("key")
    found = list(rows.values_list("key", "timestamp", "good", "total", "value", "labels")[: limit + 1])
    taken = found[:limit]
    finished = len(found) == len(taken)
    if taken:
        objective.counted_to = taken[-1][0]
        count_changes([objective], [Change(key, None, Content(*content)) for key, *content in taken])
    if finished:
        objective.counted_to = None
    objective.save(update_fields=["counted_to"])
    return finished
