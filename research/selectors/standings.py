"""How each of several experiments stands, for lists: units so far, days running, primary metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Sum
from django.utils import timezone

from research.models import Experiment, ExposureDay, Metric, RunningPeriod


@dataclass(frozen=True, slots=True)
class Standing:
    """``units`` are all that were exposed, overrides left out; ``running`` is the time it ran, without pauses."""

    units: int
    running: timedelta
    primary: str


def standings(experiments: Iterable[Experiment], now: datetime | None = None) -> dict[UUID, Standing]:
    """Three statements, however many experiments."""
    wanted = [row.pk for row in experiments]
    now = now or timezone.now().astimezone(UTC)
    exposed = ExposureDay.objects.filter(experiment__in=wanted).values_list("experiment_id")
    units: dict[UUID, int] = dict(exposed.annotate(Sum("units")))
    primary: dict[UUID, str] = dict(
        Metric.objects.filter(experiment__in=wanted, role=Metric.Role.PRIMARY).values_list(
            "experiment_id", "key"
        )
    )
    running = dict.fromkeys(wanted, timedelta(0))
    periods = RunningPeriod.objects.filter(experiment__in=wanted)
    for experiment, start, end in periods.values_list("experiment_id", "started_at", "ended_at"):
        running[experiment] += max((end or now) - start, timedelta(0))
    return {each: Standing(units.get(each, 0), running[each], primary.get(each, "")) for each in wanted}
