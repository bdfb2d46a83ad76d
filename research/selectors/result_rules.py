"""What decides over a result: the metrics of an experiment, and when it ran."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from research.domain.unit_values import MetricRule
from research.models import Metric, MetricShift, RunningPeriod

Periods = list[tuple[datetime, datetime | None]]
"""Half-open, in their order; the last may have no end yet."""


def metric_rules(experiment: UUID) -> list[MetricRule]:
    """How each metric of an experiment takes its values from results, in order."""
    return [rule_of(row) for row in Metric.objects.filter(experiment=experiment).order_by("position")]


def rule_of(metric: Metric) -> MetricRule:
    """How one metric takes its values from results."""
    ratio = metric.kind == Metric.Kind.RATIO
    return MetricRule(
        id=metric.pk,
        key=metric.key,
        kind=metric.kind,
        sources=(metric.numerator, metric.denominator) if ratio else (metric.key,),
        aggregate=metric.aggregate,
        missing=metric.missing,
    )


def running_periods(experiment: UUID) -> Periods:
    """When an experiment ran."""
    rows = RunningPeriod.objects.filter(experiment=experiment).order_by("started_at")
    return list(rows.values_list("started_at", "ended_at"))


def stored_shifts(
    metrics: Collection[int], phases: Collection[int] | None = None
) -> dict[tuple[int, int, str], float]:
    """What the sums of ``metrics`` are taken around, by metric, phase and variable."""
    rows = MetricShift.objects.filter(metric__in=metrics)
    if phases is not None:
        rows = rows.filter(phase__in=phases)
    columns = ("metric_id", "phase_id", "variable", "shift")
    return {(metric, phase, variable): shift for metric, phase, variable, shift in rows.values_list(*columns)}
