"""What the statistics compare, from what is stored of a phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, cast

from research.domain.analysis_json import finite
from research.domain.analysis_rules import Measure, needs_units
from research.domain.statistics.health import Balance, covariate_balance, double_exposure
from research.domain.statistics.results import ArmData
from research.domain.statistics.results import Metric as Measured
from research.domain.statistics.values import Direction, Kind, Role, Scale, Undefined
from research.domain.statistics.verdict import Health, Progress
from research.models import Experiment, Metric

from .result_rules import running_periods
from .results import ArmResult, PhaseData, arm_result


def measured(metric: Metric) -> Measured:
    """A stored metric as the statistics know it."""
    scale = cast(Scale, metric.scale)
    return Measured(
        metric.key,
        cast(Kind, metric.kind),
        cast(Direction, metric.direction),
        cast(Role, metric.role),
        metric.q,
        metric.mde,
        scale,
        metric.margin,
        scale,
    )


def live_measures(data: PhaseData) -> list[Measure]:
    """Every metric with the sums as they are; without data where values of single units are needed."""
    names = tuple(variant.key for variant in data.variants)
    analysis = data.experiment.analysis
    found = []
    for metric in data.metrics:
        arms = None
        if not needs_units(metric.kind, metric.winsorize, analysis):
            arms = tuple(
                ArmData(variant.key, data.moments[metric.pk, variant.pk]) for variant in data.variants
            )
        found.append(Measure(measured(metric), names, arms))
    return found


def arms_json(metrics: Sequence[Metric], measures: Sequence[Measure]) -> dict[str, list[dict[str, Any]]]:
    """The arms by metric that ``measures`` compare, as fields of ``ArmResult``, in the order of ``metrics``."""
    return {
        metric.key: [asdict(one) for one in _arms(metric, measure)]
        for metric, measure in zip(metrics, measures, strict=True)
    }


def _arms(metric: Metric, measure: Measure) -> list[ArmResult]:
    if measure.arms is None:
        return [
            ArmResult(variant, 0, None, None, Undefined("not_analysed").text) for variant in measure.variants
        ]
    return [_arm(metric, arm) for arm in measure.arms]


def _arm(metric: Metric, arm: ArmData) -> ArmResult:
    if arm.quantile is not None and arm.quantile.units:
        return ArmResult(arm.variant, arm.quantile.units, finite(arm.quantile.estimate), None, None)
    found = arm_result(metric, arm.variant, arm.moments, {})
    return ArmResult(found.variant, found.n, finite(found.estimate), finite(found.sd), found.undefined)


def health_of(data: PhaseData) -> Health:
    """The sample ratio, units seen in two arms, and whether the primary metric's covariate was alike before
    the exposure.
    """
    units = sum(data.units.values())
    return Health(data.srm, double_exposure(min(data.double_exposed, units), units), _balance(data))


def _balance(data: PhaseData) -> Balance | Undefined | None:
    for metric in data.metrics:
        if metric.role == Metric.Role.PRIMARY and metric.kind != Metric.Kind.QUANTILE:
            # A missing covariate stands as the mean of all: it moves the means and their errors alike.
            return covariate_balance([data.moments[metric.pk, variant.pk] for variant in data.variants])
    return None


def progress_of(data: PhaseData) -> Progress:
    """How far the phase is: units, days that it ran (pauses taken out), and new units a day."""
    units = sum(data.units.values())
    days = runtime(data) / timedelta(days=1)
    minimum = float(data.experiment.analysis.get("min_runtime_days", 0))
    started = data.phase is not None and data.experiment.state != Experiment.State.DRAFT
    phase_over = data.phase is not None and data.phase.ended_at is not None
    ended = phase_over or data.experiment.state in (Experiment.State.STOPPED, Experiment.State.ARCHIVED)
    return Progress(started, units, days, minimum, units / days if days > 0 and units else None, ended)


def runtime(data: PhaseData) -> timedelta:
    """How long the phase has run until ``as_of``."""
    phase = data.phase
    total = timedelta(0)
    if phase is None:
        return total
    end = min(phase.ended_at or data.as_of, data.as_of)
    for began, ended in running_periods(data.experiment.pk):
        length = min(ended or end, end) - max(began, phase.started_at)
        total += max(length, timedelta(0))
    return total
