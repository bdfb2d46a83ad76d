"""Experiments with exposed units, for tests of results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from agent_factory_site.common.services.entities import resolve_entities
from research.domain.metric_input import parse_metrics
from research.domain.result_input import ResultInput
from research.models import Assignment, Experiment, ExposureDay, Metric, Phase, RunningPeriod, Variant

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
METRICS: list[dict[str, Any]] = [
    {"key": "success", "kind": "proportion", "role": "primary"},
    {"key": "cost_per_success", "kind": "ratio", "numerator": "cost", "denominator": "success"},
    {"key": "latency", "kind": "quantile", "q": 0.95},
    {"key": "rating", "kind": "mean"},
    {"key": "clicks", "kind": "count"},
]


def make_experiment(
    key: str = "prompt",
    metrics: Sequence[Mapping[str, Any]] = METRICS,
    variants: Sequence[str] = ("control", "treatment"),
    weights: Sequence[float] | None = None,
    phases: int = 1,
) -> Experiment:
    """An experiment that has been running since ``START``, with a phase for each day from then on."""
    row = Experiment.objects.create(
        key=key, name=key, unit="user", state="running", started_at=START, requested_as="system:tests"
    )
    shares = list(weights or [1 / len(variants)] * len(variants))
    for place, (name, weight) in enumerate(zip(variants, shares, strict=True)):
        Variant.objects.create(experiment=row, key=name, position=place, weight=weight)
    errors: list[Any] = []
    for place, metric in enumerate(parse_metrics(list(metrics), errors)):
        values = {name: getattr(metric, name) for name in metric.__dataclass_fields__}
        Metric.objects.create(experiment=row, position=place, **values)
    assert errors == []
    for number in range(phases):
        start = START + timedelta(days=number)
        last = number == phases - 1
        Phase.objects.create(
            experiment=row,
            number=number + 1,
            seed=f"{key}-{number}",
            weights=shares,
            coverage=1.0,
            targeting=[],
            started_at=start,
            ended_at=None if last else start + timedelta(days=1),
        )
    RunningPeriod.objects.create(experiment=row, started_at=START)
    return row


def expose(
    experiment: Experiment,
    units: Sequence[str],
    variant: str = "control",
    *,
    phase: int = 1,
    at: datetime = START,
    override: bool = False,
) -> None:
    """Expose ``units`` to an arm, as an assignment does."""
    numbers = resolve_entities([("user", unit) for unit in units])
    arm = experiment.variants.get(key=variant)
    row = experiment.phases.get(number=phase)
    Assignment.objects.bulk_create(
        Assignment(
            experiment=experiment,
            entity_id=number,
            variant=arm,
            phase=row,
            first_exposed_at=at,
            override=override,
        )
        for number in numbers.values()
    )
    if not override:
        day, _ = ExposureDay.objects.get_or_create(
            experiment=experiment,
            phase=row,
            variant=arm,
            day=int(at.timestamp()) // 86_400,
            slot=0,
            defaults={"units": 0},
        )
        ExposureDay.objects.filter(experiment=experiment, phase=row, variant=arm, day=day.day, slot=0).update(
            units=day.units + len(units)
        )


def result(unit: str, metric: str, value: float | None, event_id: str, **more: Any) -> ResultInput:
    """A result an hour after ``START``, unless ``minutes`` says otherwise."""
    at = START + timedelta(minutes=more.pop("minutes", 60))
    return ResultInput(
        **{
            "unit_id": unit,
            "metric": metric,
            "value": value,
            "event_id": event_id,
            "occurred_at": at,
            **more,
        }
    )
