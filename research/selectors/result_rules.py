"""What decides over a result: the metrics of an experiment, and when it ran."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from research.domain.unit_values import MetricRule
from research.models import Metric, MetricShift, RunningPeriod

Periods = list[tuple[datetime, datetime | None]]
"""Half-open, in their order; the last may have no end yet."""


class ResultRules(NamedTuple):
    """The metrics of an experiment, and when it ran; nobody changes either."""

    metrics: list[MetricRule]
    periods: Periods


_MOST: Final = 1000
_memory: dict[tuple[Hashable, UUID], ResultRules] = {}


def result_rules(experiment: UUID, token: Hashable) -> ResultRules:
    """What decides over the results of an experiment: asked once for each revision of the definitions.

    ``token`` is the stored one, as the caller has just read it: every write of metrics and periods renews it.
    """
    found = _memory.get((token, experiment))
    if found is None:
        found = ResultRules(metric_rules(experiment), running_periods(experiment))
        if len(_memory) >= _MOST:
            _memory.clear()
        _memory[token, experiment] = found
    return found


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
