"""Reads for imports."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Q, Sum

from financial.models import CostEvent, CostImport
from financial.models.cost_event import USAGE_FIELDS

from .breakdown import CostSums

UNFINISHED = (CostImport.State.RUNNING, CostImport.State.INTERRUPTED, CostImport.State.FAILED)


def interrupted_import(fingerprint: str) -> CostImport | None:
    """The latest import of the same content, profile and options, when it did not get to the end."""
    latest = CostImport.objects.filter(fingerprint=fingerprint).order_by("-id").first()
    return latest if latest is not None and latest.state in UNFINISHED else None


def recorded_since(events: Collection[UUID], moment: datetime) -> CostSums:
    """Sums over those of ``events`` that were recorded at ``moment`` or later."""
    sums = CostEvent.objects.filter(id__in=events, recorded_at__gte=moment).aggregate(
        events=Count("pk"),
        unpriced_events=Count("pk", filter=Q(unpriced=True)),
        total=Sum("base_amount", default=0),
        **{f"total_{name}": Sum(name, default=0) for name in USAGE_FIELDS},
    )
    return CostSums(
        events=sums["events"],
        unpriced=sums["unpriced_events"],
        amount=sums["total"],
        usage=tuple(sums[f"total_{name}"] for name in USAGE_FIELDS),
    )
