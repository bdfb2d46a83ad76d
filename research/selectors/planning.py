"""Planning from what the same metric has shown before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from agent_factory_site.common.errors import FieldError, Invalid
from research.domain.analysis_input import DEFAULTS
from research.domain.statistics.comparison import summarise
from research.domain.statistics.moments import Moments
from research.domain.statistics.planning import (
    Design,
    Plan,
    Unplannable,
    minimum_detectable_effect,
    sample_size,
)
from research.domain.statistics.results import ArmData
from research.domain.statistics.spending import Spending
from research.domain.statistics.values import ArmSummary
from research.models import Experiment, Metric

from .arm_data import measured, progress_of
from .experiments import get_experiment, with_parts
from .results import phase_data

SEARCHED: Final = 10
"""So many experiments with the metric are looked at, the newest first."""


@dataclass(frozen=True, slots=True)
class History:
    """What the baseline of an experiment showed of a metric; ``correlation`` squared is what CUPED takes away."""

    experiment: str
    phase: int
    units: int
    mean: float
    variance: float
    units_per_day: float | None
    variance_reduction: float


@dataclass(frozen=True, slots=True)
class Planned:
    """What was planned with, and what it comes to; ``plan`` without an mde and ``mde`` without units are None."""

    metric: Metric
    design: Design
    history: History | None
    plan: Plan | None
    units: int | None
    mde: float | None


def plan_experiment(name: str, asked: dict[str, Any]) -> Planned:
    """Sample size and days for an mde, and the effect that can be seen with ``units`` of all arms or in ``days``.

    What ``asked`` leaves out comes from the metric and the experiment's analysis; with ``history`` mean, variance
    and units per day from the newest experiment that measured the same. Raises :class:`Invalid` for what cannot be
    planned, :class:`NotFound`.
    """
    row = get_experiment(name)
    metric = _metric(row, asked.get("metric"))
    history = metric_history(row, metric) if asked.get("history") else None
    if asked.get("history") and history is None:
        raise Invalid.field_error(
            "/history", "no_history", "No experiment has measured this with two units or more."
        )
    design = _design(row, metric, history, asked)
    try:
        plan = sample_size(design) if design.mde is not None else None
        units = asked.get("units")
        if units is None and asked.get("days") is not None:
            if design.units_per_day is None:
                raise Invalid.field_error(
                    "/units_per_day", "required", "Days are worth units with it alone, or history."
                )
            units = int(asked["days"] * design.units_per_day)
        mde = None
        if units is not None:
            mde = minimum_detectable_effect(design, units / (1 + design.allocation * (design.arms - 1)))
    except ValueError as error:
        raise refused(error) from None
    return Planned(metric, design, history, plan, units, mde)


def refused(error: ValueError) -> Invalid:
    """What cannot be planned, naming the field that is why where there is one."""
    detail = f"This cannot be planned: {error}."
    if isinstance(error, Unplannable):
        return Invalid.field_error(f"/{error.field}", "cannot_plan", detail)
    return Invalid("cannot_plan", detail)


def metric_history(row: Experiment, metric: Metric) -> History | None:
    """The baseline of the newest experiment on the same unit with a metric of this key and kind: this one first."""
    same = Experiment.objects.filter(
        unit=row.unit, metrics__key=metric.key, metrics__kind=metric.kind, started_at__isnull=False
    ).exclude(pk=row.pk)
    mine = _history(row, metric)
    if mine is not None:
        return mine
    for each in with_parts(same.order_by("-started_at"))[:SEARCHED]:
        found = _history(each, metric)
        if found is not None:
            return found
    return None


def _history(row: Experiment, metric: Metric) -> History | None:
    data = phase_data(row, metric=metric.key)
    mine = next((one for one in data.metrics if (one.key, one.kind) == (metric.key, metric.kind)), None)
    if mine is None or data.phase is None or mine.kind == Metric.Kind.QUANTILE:
        return None
    baseline = data.variants[0]
    arm = data.moments[mine.pk, baseline.pk]
    try:
        found = summarise(measured(mine), ArmData(baseline.key, arm))
    except ValueError:
        return None
    if not isinstance(found, ArmSummary):
        return None
    per_day = progress_of(data).units_per_day
    reduction = 0.0 if mine.kind == Metric.Kind.RATIO else _explained(arm)
    return History(row.key, data.phase.number, found.n, found.mean, found.variance, per_day, reduction)


def _explained(arm: Moments) -> float:
    """The squared correlation of value and covariate; 0 where there is none."""
    value, covariate, both = arm.variance, arm.covariate_variance, arm.covariance_xc
    if not value or not covariate or both is None:
        return 0.0
    return min(0.999, both * both / (value * covariate))


def _metric(row: Experiment, key: str | None) -> Metric:
    for metric in row.metrics.all():
        if metric.key == key or (key is None and metric.role == Metric.Role.PRIMARY):
            return metric
    raise Invalid.field_error("/metric", "unknown_metric", "The experiment has no such metric.")


def _design(row: Experiment, metric: Metric, history: History | None, asked: dict[str, Any]) -> Design:
    settings = {**DEFAULTS, **row.analysis}
    mean = asked.get("mean", None if history is None else history.mean)
    variance = asked.get("variance", None if history is None else history.variance)
    errors = []
    if mean is None:
        errors.append(FieldError("/mean", "required", "Is needed, or history."))
    if variance is None and metric.kind not in (Metric.Kind.PROPORTION, Metric.Kind.QUANTILE):
        errors.append(FieldError("/variance", "required", "Of one unit; is needed, or history."))
    if errors or mean is None:
        raise Invalid.fields(*errors)
    reduction = history.variance_reduction if history is not None and settings["cuped"] else 0.0
    try:
        return Design(
            kind=measured(metric).kind,
            mean=mean,
            variance=variance or 0.0,
            mde=asked.get("mde", metric.mde),
            scale=asked.get("scale", metric.scale),
            alpha=asked.get("alpha", settings["alpha"]),
            power=asked.get("power", settings["power"]),
            arms=len(row.variants.all()),
            allocation=asked.get("allocation", 1.0),
            corrected=settings["correction"] != "none",
            variance_reduction=asked.get("variance_reduction", reduction),
            units_per_day=asked.get("units_per_day", None if history is None else history.units_per_day),
            engine=asked.get("engine", settings["engine"]),
            tuning_n=settings["tuning_n"],
            looks=settings["planned_looks"],
            spending=Spending(settings["spending"]),
        )
    except ValueError as error:
        raise refused(error) from None
