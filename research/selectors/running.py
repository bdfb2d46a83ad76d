"""The experiments that run, for a page that joins the domains."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import OuterRef, Subquery

from research.models import Analysis, Experiment

from .standings import Standing, standings


@dataclass(frozen=True, slots=True)
class RunningExperiment:
    """``verdict`` is the code that its last analysis came to; None before the first."""

    experiment: Experiment
    standing: Standing
    verdict: str | None


def running_experiments(limit: int) -> list[RunningExperiment]:
    """Those that run or are paused, the newest first, at most ``limit``; four statements."""
    last = Analysis.objects.filter(experiment=OuterRef("pk")).order_by("-as_of", "-id")
    open_ones = Experiment.objects.filter(state__in=[Experiment.State.RUNNING, Experiment.State.PAUSED])
    rows = list(
        open_ones.annotate(verdict=Subquery(last.values("result__verdict__code")[:1])).order_by("-id")[:limit]
    )
    found = standings(rows) if rows else {}
    return [RunningExperiment(row, found[row.pk], row.verdict) for row in rows]
