"""Counting anew what lies in maintenance windows, after one was made, changed or archived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.periods import Interval
from agent_factory_site.common.services.jobs import JobContext, enqueue
from operations.slo.domain.exclusions import Maintenance, merge, occurrences
from operations.slo.domain.kept import hours_from, minutes_from
from operations.slo.domain.tiling import ceil_to, floor_to
from operations.slo.models import SloObjective, SloSeries, bucket_number
from operations.slo.selectors.exclusion_minutes import excluded_hours, excluded_minutes

from .bucket_sums import SeriesRule, exclude_again, exclude_hours_again
from .objective_counts import slice_target_of
from .sli_lock import lock_slis

JOB: Final = "operations.recount_exclusions"
AT_ONCE: Final = 5000
"""Up to so many minutes of series are counted anew at once; more are a job."""
_SERIES_CHUNK: Final = 100
_SPAN: Final = 1440


@dataclass(frozen=True, slots=True)
class Stretch:
    """Buckets ``[start, end)`` of one tier, ``minute`` or ``hour``."""

    tier: str
    start: int
    end: int


def stretches_of(windows: Iterable[Maintenance], now: datetime) -> list[Stretch]:
    """What has to be counted anew when these windows come or go: of the past and kept, minutes or whole hours."""
    kept = Interval(hours_from(now), now + timedelta(hours=2))
    parts = merge(found for window in windows for found in occurrences(window, kept))
    edge = bucket_number(minutes_from(now), "minute")
    first = bucket_number(kept.start, "minute")
    found: list[Stretch] = []
    for part in parts:
        start = max(first, bucket_number(floor_to(part.start, "minute"), "minute"))
        end = bucket_number(ceil_to(min(part.end, kept.end), "minute"), "minute")
        if start < min(end, edge):
            found.append(Stretch("hour", start // 60, (min(end, edge) + 59) // 60))
        if max(start, edge) < end:
            found.append(Stretch("minute", max(start, edge), end))
    return found


def recount(slos: Iterable[UUID], windows: Iterable[Maintenance]) -> None:
    """Count anew what these windows concern, in the caller's transaction, or as a job where it is much.

    The caller holds the locks of the indicators concerned, so that no objective of theirs begins or ends meanwhile.
    One that has ended stays as it was counted: its time is over, and reports were written from it.
    """
    stretches = stretches_of(windows, timezone.now())
    objectives = list(
        SloObjective.objects.filter(slo__in=set(slos), ended_at__isnull=True)
        .order_by("sli", "pk")
        .values_list("pk", "sli", "series_count")
    )
    if not stretches or not objectives:
        return
    buckets = sum(stretch.end - stretch.start for stretch in stretches)
    if buckets * sum(series + 1 for *_, series in objectives) <= AT_ONCE:
        lock_slis(sli for _, sli, _ in objectives)
        for objective, _, _ in objectives:
            for stretch in stretches:
                _recount(SloObjective.objects.get(pk=objective), stretch)
        return
    parameters = {
        "objectives": [objective for objective, _, _ in objectives],
        "stretches": [[one.tier, one.start, one.end] for one in stretches],
    }
    enqueue(kind=JOB, parameters=parameters, total=len(objectives))


def run_recount_job(context: JobContext) -> Mapping[str, Any]:
    """The job that counts anew, one objective after the other; safe to begin again."""
    objectives = context.parameters["objectives"]
    changed = int(context.state.get("changed", 0))
    for number, pk in enumerate(objectives[context.done :], context.done):
        for tier, start, end in context.parameters["stretches"]:
            for part in _parts(Stretch(tier, start, end)):
                changed += _recount_alone(pk, part)
                context.progress(number, note="counting exclusions anew")
        context.save_state({"changed": changed}, done=number + 1)
    return {"changed": changed}


def _parts(stretch: Stretch) -> Iterator[Stretch]:
    for start in range(stretch.start, stretch.end, _SPAN):
        yield Stretch(stretch.tier, start, min(stretch.end, start + _SPAN))


def _recount_alone(objective: int, stretch: Stretch) -> int:
    """The same in transactions of its own, for some series at a time."""
    series = list(SloSeries.objects.filter(objective=objective).order_by("pk").values_list("pk", flat=True))
    changed = 0
    for start in range(0, len(series), _SERIES_CHUNK):
        part = series[start : start + _SERIES_CHUNK]

        def work(part: list[int] = part) -> int:
            with transaction.atomic():
                row = SloObjective.objects.get(pk=objective)
                lock_slis([row.sli_id])
                return _recount(row, stretch, part)

        changed += retry_conflicts(work)
    return changed


def _recount(objective: SloObjective, stretch: Stretch, series: list[int] | None = None) -> int:
    numbers = list(objective.series.values_list("pk", flat=True)) if series is None else series
    slo = objective.slo_id
    if stretch.tier == "hour":
        hours = excluded_hours([slo], stretch.start, stretch.end)[slo]
        return exclude_hours_again(numbers, stretch.start, stretch.end, hours)
    minutes = excluded_minutes([slo], stretch.start, stretch.end)[slo]
    rule = SeriesRule(slice_target_of(objective), minutes)
    return exclude_again(numbers, stretch.start, stretch.end, lambda _: rule)
