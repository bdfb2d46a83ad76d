"""Opening and ending the phases and the running periods of an experiment."""

from __future__ import annotations

from datetime import datetime

from django.db.models import DateTimeField, F, Value
from django.db.models.functions import Greatest

from research.models import Experiment, Phase, RunningPeriod


def open_phase(experiment: Experiment, now: datetime) -> Phase:
    """End the phase that is open, and open the next from the definition as it is stored."""
    last = Phase.objects.filter(experiment=experiment).order_by("-number").first()
    number = 1 if last is None else last.number + 1
    if last is not None and last.ended_at is None:
        last.ended_at = max(now, last.started_at)
        last.save(update_fields=["ended_at"])
    seed = experiment.salt or experiment.key
    weights = experiment.variants.order_by("position").values_list("weight", flat=True)
    return Phase.objects.create(
        experiment=experiment,
        number=number,
        seed=seed if number == 1 else f"{seed}:{number}",
        weights=list(weights),
        coverage=experiment.coverage,
        targeting=experiment.targeting,
        started_at=now,
    )


def widen_phase(experiment: Experiment) -> None:
    """Let the open phase cover as much as the definition says."""
    Phase.objects.filter(experiment=experiment, ended_at=None).update(coverage=experiment.coverage)


def end_phase(experiment: Experiment, now: datetime) -> None:
    """End the phase that is open."""
    Phase.objects.filter(experiment=experiment, ended_at=None).update(ended_at=_not_before_start(now))


def begin_running(experiment: Experiment, now: datetime) -> None:
    """Results and exposures count from ``now`` on."""
    RunningPeriod.objects.create(experiment=experiment, started_at=now)


def end_running(experiment: Experiment, now: datetime) -> None:
    """They no longer count from ``now`` on."""
    open_one = RunningPeriod.objects.filter(experiment=experiment, ended_at=None)
    open_one.update(ended_at=_not_before_start(now))


def _not_before_start(now: datetime) -> Greatest:
    # Another machine's clock, a little ahead, may have set the start.
    return Greatest(F("started_at"), Value(now, output_field=DateTimeField()))
