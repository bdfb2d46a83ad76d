"""Indicators, objectives and samples for tests, and what their buckets ought to hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from operations.slo.domain.sample_input import SampleInput
from operations.slo.models import SECONDS, TIERS, Sli, Slo, SloObjective
from operations.slo.services.objectives import renew_objective


def recent_hour(hours_ago: int = 3) -> datetime:
    """A whole hour of the recent past."""
    return timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)


def sample(event: str, at: datetime, good: int = 1, total: int = 1, **more: Any) -> SampleInput:
    """A sample with counts."""
    return SampleInput(event_id=event, timestamp=at, good=good, total=total, **more)


def valued(event: str, at: datetime, value: float, **more: Any) -> SampleInput:
    """A sample with a value."""
    return SampleInput(event_id=event, timestamp=at, value=value, **more)


def rows_of(slo: Slo, tier: str = "minute") -> dict[tuple[str, datetime], tuple[Any, ...]]:
    """The buckets of the open objective: labels and time to all numbers."""
    model, seconds = TIERS[tier], SECONDS[tier]
    objective = SloObjective.objects.get(slo=slo, ended_at=None)
    found = {}
    for row in model._default_manager.filter(series__objective=objective).select_related("series"):
        at = datetime.fromtimestamp(row.bucket * seconds, UTC)
        found[str(row.series), at] = (
            row.good,
            row.total,
            row.value_sum,
            row.good_slices,
            row.bad_slices,
            row.excluded_good,
            row.excluded_total,
            row.excluded_good_slices,
            row.excluded_bad_slices,
            bytes(row.histogram or b""),
        )
    return found


def make_sli(key: str = "answers", **fields: Any) -> Sli:
    """An indicator; of ratios unless told otherwise."""
    return Sli.objects.create(**{"key": key, "kind": "ratio"} | fields)


def make_slo(group_by: tuple[str, ...] | list[str] = (), **fields: Any) -> Slo:
    """The SLO "slo" with the indicator "answers", counting."""
    sli = make_sli(**fields)
    slo = Slo.objects.create(
        key="slo", name="Answers", sli=sli, target=Decimal("0.99"), rolling_seconds=2_592_000,
        group_by=list(group_by),
    )  # fmt: skip
    with transaction.atomic():
        renew_objective(slo)
    return slo
