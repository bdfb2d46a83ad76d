"""What came of an experiment so far: units, exposures and every metric per arm, from sums alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import BigIntegerField, Sum
from django.utils import timezone

from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.errors import NotFound
from research.domain.arm_sums import NOTHING, Shifts, Sums, filled, mean_covariate
from research.domain.arm_totals import QUANTILE, shifts_of
from research.domain.sketch import quantile_estimate
from research.domain.statistics.moments import Moments
from research.domain.statistics.ratios import ratio_summary
from research.domain.statistics.srm import SampleRatio, sample_ratio
from research.domain.statistics.values import Undefined
from research.models import ArmSums, Experiment, ExposureDay, Judge, Metric, Phase, QuantileBucket, Variant

from .experiments import get_experiment
from .result_rules import stored_shifts

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One metric in one arm. ``n`` units, ``sd`` that of one unit (divisor n - 1; of a ratio linearised).

    ``estimate`` and ``sd`` are None where they do not exist, ``undefined`` says why.
    """

    variant: str
    n: int
    estimate: float | None
    sd: float | None
    undefined: str | None


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric in all arms, the baseline first."""

    metric: Metric
    arms: list[ArmResult]


@dataclass(frozen=True, slots=True)
class JudgeName:
    """A judge whose scores have come in."""

    metric: str
    name: str
    version: str


@dataclass(frozen=True, slots=True)
class PhaseData:
    """The sums of one phase, as of one moment; ``variants`` in order, the baseline first.

    ``moments`` by metric and variant hold the units that count: with ``missing`` zero every exposed unit, else
    those with a value. A missing covariate stands as the mean over all arms. ``counts`` are the ranges of
    quantile metrics (``domain/sketch.py``). Units that are overridden are in none of it. ``double_exposed`` of the
    units were seen in another arm as well; they count in their own.
    """

    experiment: Experiment
    phase: Phase | None
    as_of: datetime
    variants: list[Variant]
    metrics: list[Metric]
    units: dict[int, int]
    days: dict[date, dict[int, int]]
    moments: dict[tuple[int, int], Moments]
    counts: dict[tuple[int, int], dict[int, int]]
    double_exposed: int = 0

    @property
    def srm(self) -> SampleRatio:
        """The check of the split, over arms with weight that still take units."""
        weights = self.phase.weights if self.phase is not None else [0.0] * len(self.variants)
        open_weights = [
            0.0 if variant.stopped_at is not None else float(weight)
            for variant, weight in zip(self.variants, weights, strict=True)
        ]
        return sample_ratio([self.units[variant.pk] for variant in self.variants], open_weights)


@dataclass(frozen=True, slots=True)
class ExperimentResults:
    """What the API answers."""

    data: PhaseData
    metrics: list[MetricResult]
    judges: list[JudgeName]


def phase_data(experiment: Experiment, phase: int | None = None, *, metric: str | None = None) -> PhaseData:
    """The sums of a phase by its number, of the last one without; ``experiment`` with its parts prefetched. Of all
    metrics, or of the one with the key ``metric`` alone.

    Four statements, however many units and results. Raises :class:`NotFound` for a phase that there is not.
    """
    variants = sorted(experiment.variants.all(), key=lambda one: one.position)
    wanted = [one for one in experiment.metrics.all() if metric in (None, one.key)]
    metrics = sorted(wanted, key=lambda one: one.position)
    chosen = _phase(list(experiment.phases.all()), phase)
    number = None if chosen is None else chosen.pk
    days: dict[date, dict[int, int]] = {}
    double_exposed = 0
    rows = ExposureDay.objects.filter(experiment=experiment, phase=number).values_list("day", "variant_id")
    for day, variant, count, double in rows.annotate(Sum("units"), Sum("double_exposed")):
        days.setdefault(_EPOCH + timedelta(days=day), {})[variant] = count
        double_exposed += double
    units = {variant.pk: sum(day.get(variant.pk, 0) for day in days.values()) for variant in variants}
    sums = _sums(metrics, number)
    shifts = shifts_of(stored_shifts([metric.pk for metric in metrics], [] if number is None else [number]))
    moments = {}
    for each in metrics:
        around = shifts.get((each.pk, number or 0), Shifts())
        arms = {variant.pk: sums.get((each.pk, variant.pk), NOTHING) for variant in variants}
        covariate = mean_covariate(arms.values())
        zero = each.missing == Metric.Missing.ZERO and each.kind != QUANTILE
        for variant in variants:
            arm = arms[variant.pk]
            n = max(units[variant.pk], arm.units) if zero else arm.units
            moments[each.pk, variant.pk] = filled(arm, around, n, covariate)
    return PhaseData(
        experiment,
        chosen,
        timezone.now().astimezone(UTC),
        variants,
        metrics,
        units,
        dict(sorted(days.items())),
        moments,
        _counts(metrics, number),
        double_exposed,
    )


def experiment_results(name: str, phase: int | None = None) -> ExperimentResults:
    """Units, exposures, sample ratio and metrics per arm of a phase; a fixed number of statements.

    Raises :class:`NotFound` for an experiment or a phase that there is not.
    """
    with snapshot():
        return read_results(name, phase)


def read_results(name: UUID | str, phase: int | None = None) -> ExperimentResults:
    """The same, in the snapshot of the caller."""
    data = phase_data(get_experiment(name), phase)
    rows = Judge.objects.filter(source__experiment=data.experiment)
    judges = [JudgeName(*row) for row in rows.values_list("source__key", "name", "version")]
    return ExperimentResults(
        data, [_metric_result(metric, data) for metric in data.metrics], sorted_judges(judges)
    )


def sorted_judges(judges: Sequence[JudgeName]) -> list[JudgeName]:
    """By metric, name and version."""
    return sorted(judges, key=lambda judge: (judge.metric, judge.name, judge.version))


def _phase(phases: Sequence[Phase], number: int | None) -> Phase | None:
    if number is None:
        return max(phases, key=lambda phase: phase.number, default=None)
    for phase in phases:
        if phase.number == number:
            return phase
    raise NotFound("not_found", "The experiment has no such phase.")


def _sums(metrics: Sequence[Metric], phase: int | None) -> dict[tuple[int, int], Sums]:
    rows = _grouped(
        ArmSums, ("metric_id", "variant_id"), Sums._fields, [metric.pk for metric in metrics], phase
    )
    return {(metric, variant): Sums(*values) for metric, variant, *values in rows}


def _counts(metrics: Sequence[Metric], phase: int | None) -> dict[tuple[int, int], dict[int, int]]:
    wanted = [metric.pk for metric in metrics if metric.kind == QUANTILE]
    rows = _grouped(QuantileBucket, ("metric_id", "variant_id", "bucket"), ("events",), wanted, phase)
    found: dict[tuple[int, int], dict[int, int]] = {}
    for metric, variant, bucket, events in rows:
        found.setdefault((metric, variant), {})[bucket] = events
    return found


def _grouped(
    model: type[ArmSums | QuantileBucket],
    keys: Sequence[str],
    summed: Sequence[str],
    metrics: Sequence[int],
    phase: int | None,
) -> list[tuple[Any, ...]]:
    """Rows of ``metrics`` in a phase with the slots of writers added up, ``keys`` first.

    Written out, because to compose twenty sums the ORM takes longer than the database to answer.
    """
    if not metrics or phase is None:
        return []
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, keys))
    # A sum of whole numbers is no whole number to PostgreSQL.
    sums = ", ".join(
        f"CAST(SUM({quote(name)}) AS bigint)" if _whole(model, name) else f"SUM({quote(name)})"
        for name in summed
    )
    marks = ", ".join(["%s"] * len(metrics))
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names}, {sums} FROM {quote(model._meta.db_table)} "  # noqa: S608
            f"WHERE metric_id IN ({marks}) AND phase_id = %s GROUP BY {names}",
            [*metrics, phase],
        )
        return list(cursor.fetchall())


def _whole(model: type[ArmSums | QuantileBucket], name: str) -> bool:
    return isinstance(model._meta.get_field(name), BigIntegerField)


def _metric_result(metric: Metric, data: PhaseData) -> MetricResult:
    arms = []
    for variant in data.variants:
        key = metric.pk, variant.pk
        arms.append(arm_result(metric, variant.key, data.moments[key], data.counts.get(key, {})))
    return MetricResult(metric, arms)


def arm_result(metric: Metric, variant: str, arm: Moments, counts: Mapping[int, int]) -> ArmResult:
    """A metric in an arm from the sums of its units; of a quantile from ``counts`` of ranges of values."""
    if not arm.n:
        return ArmResult(variant, 0, None, None, Undefined("empty_arm").text)
    if metric.kind == QUANTILE:
        return ArmResult(variant, arm.n, quantile_estimate(counts, metric.q or 0.5), None, None)
    if metric.kind == Metric.Kind.RATIO:
        return _ratio_result(variant, arm)
    if arm.variance is None:
        return ArmResult(variant, arm.n, arm.mean, None, Undefined("one_unit").text)
    return ArmResult(variant, arm.n, arm.mean, math.sqrt(arm.variance), None)


def _ratio_result(variant: str, arm: Moments) -> ArmResult:
    summary = ratio_summary(arm)
    if not isinstance(summary, Undefined):
        return ArmResult(variant, arm.n, summary.mean, math.sqrt(summary.variance), None)
    estimate = None
    if arm.n == 1 and arm.mean is not None and arm.denominator_mean:
        estimate = arm.mean / arm.denominator_mean
    return ArmResult(variant, arm.n, estimate, None, summary.text)
