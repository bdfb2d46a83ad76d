"""Planning an experiment that does not exist yet, from the history of a metric or from stated figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.db.models import Exists, OuterRef

from agent_factory_site.common.errors import FieldError, Invalid
from research.domain.statistics.planning import Design, Plan, minimum_detectable_effect, sample_size
from research.domain.statistics.spending import Family, Spending
from research.domain.statistics.values import Engine, Kind, Scale
from research.models import ExposureDay, Metric

from .arm_data import measured
from .experiments import get_experiment
from .planning import History, metric_history, refused

CHOICES_SHOWN: Final = 100
CURVE_POINTS: Final = 33
CURVE_REACH: Final = 4.0
"""The curve reaches from the plan's number of units divided by this to that number times this."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. ``mean``, ``variance`` and ``units_per_day`` stand in the place of what the history shows.

    ``arms`` counts the baseline; ``units`` are those of all arms. ``source`` is ``experiment/metric``.
    """

    kind: Kind
    source: str = ""
    mean: float | None = None
    variance: float | None = None
    mde: float | None = None
    units: int | None = None
    days: float | None = None
    scale: Scale = "absolute"
    alpha: float = 0.05
    power: float = 0.8
    arms: int = 2
    corrected: bool = True
    units_per_day: float | None = None
    variance_reduction: float | None = None
    engine: Engine = "sequential"
    looks: int = 5
    spending: Family = "obrien_fleming"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """With ``units`` of all arms, reached after ``days``, the effect ``mde`` shows; None: no effect would."""

    units: int
    days: float | None
    mde: float | None


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    """``plan`` answers an mde, ``detectable`` the ``units``; ``curve`` says what other numbers of units show."""

    design: Design
    history: History | None
    plan: Plan | None
    units: int | None
    detectable: float | None
    curve: Sequence[CurvePoint]


def planned_metrics() -> list[tuple[str, str, str]]:
    """Metrics with a history: (``experiment/metric``, its kind, the experiment's unit), the newest first."""
    exposed = ExposureDay.objects.filter(experiment=OuterRef("experiment"))
    rows = Metric.objects.filter(Exists(exposed)).exclude(kind=Metric.Kind.QUANTILE)
    found = rows.order_by("-experiment__started_at", "position").values_list(
        "experiment__key", "key", "kind", "experiment__unit"
    )
    return [(f"{key}/{metric}", kind, unit) for key, metric, kind, unit in found[:CHOICES_SHOWN]]


def answer_plan(asked: Question) -> PlanAnswer:
    """Sample size and days for an mde, the smallest effect for a number of units or days, and the curve between.

    Raises :class:`Invalid` naming the field, for what cannot be planned as well.
    """
    history = _history(asked)
    if history is not None:
        asked = replace(asked, kind=history[1])
    shown = None if history is None else history[0]
    design = _design(asked, shown)
    units = asked.units
    if units is None and asked.days is not None:
        if design.units_per_day is None:
            raise Invalid.field_error("/units_per_day", "required", "Days are worth units with it alone.")
        units = int(asked.days * design.units_per_day)
    if design.mde is None and units is None:
        raise Invalid.field_error(
            "/mde", "required", "An effect, or units, or days: one of them is asked for."
        )
    try:
        plan = sample_size(design) if design.mde is not None else None
        detectable = None if units is None else minimum_detectable_effect(design, units / design.arms)
    except ValueError as error:
        raise refused(error) from None
    centre = plan.total_units if plan is not None else units or 0
    return PlanAnswer(design, shown, plan, units, detectable, _curve(design, centre))


def _history(asked: Question) -> tuple[History, Kind] | None:
    if not asked.source:
        return None
    experiment, _, key = asked.source.partition("/")
    row = get_experiment(experiment)
    metric = next((one for one in row.metrics.all() if one.key == key), None)
    found = None if metric is None else metric_history(row, metric)
    if metric is None or found is None:
        raise Invalid.field_error(
            "/source", "no_history", "No experiment has measured this with two units or more."
        )
    return found, measured(metric).kind


def _design(asked: Question, history: History | None) -> Design:
    mean = asked.mean if asked.mean is not None or history is None else history.mean
    variance = asked.variance if asked.variance is not None or history is None else history.variance
    per_day = (
        asked.units_per_day if asked.units_per_day is not None or history is None else history.units_per_day
    )
    errors = []
    if mean is None:
        errors.append(FieldError("/mean", "required", "Is needed where no metric's history is taken."))
    if variance is None and asked.kind != "proportion":
        errors.append(FieldError("/variance", "required", "Of one unit; needed but for a proportion."))
    if errors or mean is None:
        raise Invalid.fields(*errors)
    try:
        return Design(
            kind=asked.kind,
            mean=mean,
            variance=variance or 0.0,
            mde=asked.mde,
            scale=asked.scale,
            alpha=asked.alpha,
            power=asked.power,
            arms=asked.arms,
            corrected=asked.corrected,
            variance_reduction=asked.variance_reduction or 0.0,
            units_per_day=per_day,
            engine=asked.engine,
            looks=asked.looks,
            spending=Spending(asked.spending),
        )
    except ValueError as error:
        raise refused(error) from None


def _curve(design: Design, centre: int) -> list[CurvePoint]:
    points = []
    for step in range(CURVE_POINTS):
        share = CURVE_REACH ** (2 * step / (CURVE_POINTS - 1) - 1)
        units = max(2 * design.arms, round(centre * share))
        try:
            mde: float | None = minimum_detectable_effect(design, units / design.arms)
        except ValueError:
            mde = None
        days = units / design.units_per_day if design.units_per_day else None
        points.append(CurvePoint(units, days, mde))
    return points
