"""The experiments that run, for a page that joins the domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import OuterRef, Subquery

from research.models import Analysis, Experiment, Look

from .standings import Standing, standings

FAILED: Final = ("unhealthy", "roll_back")


@dataclass(frozen=True, slots=True)
class RunningExperiment:
    """``verdict`` is the code that its last analysis came to, by looks that of the last look unless the arms or the
    experiment have failed since; None before the first.
    """

    experiment: Experiment
    standing: Standing
    verdict: str | None


def running_experiments(limit: int) -> list[RunningExperiment]:
    """Those that run or are paused, the newest first, at most ``limit``; four statements."""
    last = Analysis.objects.filter(experiment=OuterRef("pk")).order_by("-as_of", "-id")
    open_ones = Experiment.objects.filter(state__in=[Experiment.State.RUNNING, Experiment.State.PAUSED])
    looks = Look.objects.filter(phase__experiment=OuterRef("pk"), phase__ended_at=None).order_by("-number")
    code = "result__verdict__code"
    verdicts = {
        "last": Subquery(last.values(code)[:1]),
        "seen": Subquery(looks.values(f"analysis__{code}")[:1]),
    }
    rows = list(open_ones.annotate(**verdicts).order_by("-id")[:limit])
    found = standings(rows) if rows else {}
    return [
        RunningExperiment(row, found[row.pk], row.last if row.last in FAILED else row.seen or row.last)
        for row in rows
    ]
