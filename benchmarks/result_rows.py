"""Experiments with as many results as are asked for, written by SQL as recording them would have left them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Max

from agent_factory_site.common.models import Entity
from research.domain.arm_sums import COUNTS, Sums
from research.domain.metric_input import parse_metrics
from research.domain.sketch import bucket_of
from research.models import (
    ArmSums,
    Assignment,
    Experiment,
    ExposureDay,
    Metric,
    MetricShift,
    Phase,
    QuantileBucket,
    ResultEvent,
    ResultSource,
    RunningPeriod,
    UnitMetric,
    Variant,
)

START: Final = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAYS: Final = 14
SLOTS: Final = 8
CHUNK: Final = 1_000_000
CHANCES: Final = ", ".join(
    f"n * {factor} % 2147483647 / 2147483647.0 AS {name}"
    for name, factor in (("u", 1103515245), ("v", 1664525013), ("w", 22695477))
)
"""Numbers in [0, 1) that look like chance, the same on both databases."""


@dataclass(frozen=True, slots=True)
class Source:
    """The results of a source: ``value`` and ``covariate`` are SQL over ``u``, ``v`` and ``w``, evenly spread
    over [0, 1) unit by unit.
    """

    key: str
    value: str
    covariate: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """An experiment and the number of its first unit; the others follow."""

    experiment: Experiment
    phase: Phase
    variants: tuple[Variant, ...]
    first: int
    units: int


def make_experiment(
    key: str, metrics: Sequence[Mapping[str, Any]], variants: Sequence[str], analysis: Mapping[str, Any]
) -> tuple[Experiment, Phase, tuple[Variant, ...]]:
    """A running experiment without units, its arms of equal weight."""
    row = Experiment.objects.create(
        key=key, name=key, unit="user", state="running", started_at=START, requested_as="benchmark",
        analysis=dict(analysis),
    )  # fmt: skip
    weights = [1 / len(variants)] * len(variants)
    arms = tuple(
        Variant.objects.create(experiment=row, key=name, position=place, weight=weights[place])
        for place, name in enumerate(variants)
    )
    errors: list[Any] = []
    for place, metric in enumerate(parse_metrics(list(metrics), errors)):
        values = {name: getattr(metric, name) for name in metric.__dataclass_fields__}
        Metric.objects.create(experiment=row, position=place, **values)
    assert not errors, errors
    phase = Phase.objects.create(
        experiment=row, number=1, seed=key, weights=weights, coverage=1.0, targeting=[], started_at=START
    )
    RunningPeriod.objects.create(experiment=row, started_at=START)
    return row, phase, arms


def seed_units(
    key: str,
    units: int,
    metrics: Sequence[Mapping[str, Any]],
    sources: Sequence[Source],
    variants: Sequence[str] = ("control", "treatment"),
    analysis: Mapping[str, Any] | None = None,
    *,
    events: bool = False,
) -> Made:
    """``units`` exposed units over two weeks, each with one result of every source; ``events`` writes those too.

    Sums of arms come from :func:`seed_sums`.
    """
    row, phase, arms = make_experiment(key, metrics, variants, analysis or {})
    first = (Entity.objects.aggregate(Max("pk"))["pk__max"] or 0) + 1
    made = Made(row, phase, arms, first, units)
    with transaction.atomic():
        for low in range(0, units, CHUNK):
            _run(_entities(key), made, low)
            _run(_assignments(made), made, low)
    for source in sources:
        number = ResultSource.objects.create(experiment=row, key=source.key).pk
        for low in range(0, units, CHUNK):
            with transaction.atomic():
                _run(_unit_metrics(made, number, source), made, low)
                if events:
                    _run(_events(made, number, source), made, low)
    _exposure_days(made)
    with connection.cursor() as cursor:
        for model in (Assignment, UnitMetric, ResultEvent, Entity):
            cursor.execute(f"ANALYZE {_table(model)}")
    return made


def seed_sums(made: Made) -> None:
    """The sums of arms around the means of the units, and the ranges of quantiles, each spread over all slots."""
    for metric in made.experiment.metrics.order_by("position"):
        _sums_of(made, metric)


def _table(model: Any) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _postgres() -> bool:
    return connection.vendor == "postgresql"


def _run(statement: str, made: Made, low: int) -> None:
    """``statement`` selects from ``units``, numbered from ``low`` on, with ``e``, ``n``, ``u``, ``v`` and ``w``."""
    high = min(low + CHUNK, made.units)
    numbers = (
        f"SELECT generate_series({low}::bigint, {high - 1}::bigint)"
        if _postgres()
        else f"SELECT {low} UNION ALL SELECT n + 1 FROM numbers WHERE n < {high - 1}"
    )
    head, _, tail = statement.partition(" SELECT ")
    with connection.cursor() as cursor:
        cursor.execute(
            f"{head} WITH RECURSIVE numbers(n) AS ({numbers}), "
            f"units AS (SELECT n, n + {made.first} AS e, {CHANCES} FROM numbers) SELECT {tail}"
        )


def _moment(at: datetime) -> str:
    text = str(connection.ops.adapt_datetimefield_value(at))
    return f"'{text}'::timestamptz" if _postgres() else f"'{text}'"


def _entities(key: str) -> str:
    return (
        f"INSERT INTO {_table(Entity)} (id, type, key, name, created_at) "
        f"SELECT e, 'user', '{key}-' || n, '', {_moment(START)} FROM units"
    )


def _arm(made: Made) -> str:
    arms = " ".join(f"WHEN {place} THEN {arm.pk}" for place, arm in enumerate(made.variants))
    return f"CASE (n / {DAYS}) % {len(made.variants)} {arms} END"


def _assignments(made: Made) -> str:
    days = " ".join(f"WHEN {day} THEN {_moment(START + timedelta(days=day))}" for day in range(DAYS))
    return (
        f"INSERT INTO {_table(Assignment)} (experiment_id, entity_id, variant_id, phase_id, "
        "first_exposed_at, override) "
        f"SELECT {_uuid(made.experiment.pk)}, e, {_arm(made)}, {made.phase.pk}, CASE n % {DAYS} {days} END, "
        f"{'false' if _postgres() else '0'} FROM units"
    )


def _uuid(value: UUID) -> str:
    return f"'{value}'::uuid" if _postgres() else f"'{value.hex}'"


def _unit_metrics(made: Made, number: int, source: Source) -> str:
    at = _moment(START + timedelta(days=DAYS))
    covariate = source.covariate
    return (
        f"INSERT INTO {_table(UnitMetric)} (source_id, entity_id, phase_id, variant_id, count, total, total_rest, "
        "largest, last, last_at, last_event, covariate, covariate_at, covariate_event) "
        f"SELECT {number}, e, {made.phase.pk}, {_arm(made)}, 1, x, 0.0, x, x, {at}, event, "
        + ("c, " + f"{at}, event" if covariate else "NULL, NULL, NULL")
        + f" FROM (SELECT n, e, {source.value} AS x, {covariate or 'NULL'} AS c, "
        f"'{source.key}-' || n AS event FROM units) AS made"
    )


def _events(made: Made, number: int, source: Source) -> str:
    at = _moment(START + timedelta(days=DAYS))
    key = f"n + {number} * 1000000000000"
    unique = f"lpad(to_hex({key}), 32, '0')::uuid" if _postgres() else f"printf('%032x', {key})"
    return (
        f"INSERT INTO {_table(ResultEvent)} (key, content, event_id, experiment_id, source_id, entity_id, value, "
        "covariate, judge_id, occurred_at, recorded_at, audit) "
        f"SELECT {unique}, {unique}, '{source.key}-' || n, {_uuid(made.experiment.pk)}, {number}, e, {source.value}, "
        f"{source.covariate or 'NULL'}, NULL, {at}, {at}, {_uuid(made.experiment.pk)} FROM units"
    )


def _exposure_days(made: Made) -> None:
    """Counted from the rule by which units were spread: each run of ``DAYS`` units is one of each day."""
    epoch = int(START.timestamp()) // 86_400
    counts: dict[tuple[int, int], int] = {}
    whole, rest = divmod(made.units, DAYS)
    arms = len(made.variants)
    for place, variant in enumerate(made.variants):
        runs = whole // arms + (place < whole % arms)
        for day in range(DAYS):
            counts[variant.pk, day] = runs + (place == whole % arms and day < rest)
    ExposureDay.objects.bulk_create(
        ExposureDay(
            experiment=made.experiment, phase=made.phase, variant_id=variant, day=epoch + day, slot=slot,
            units=count // SLOTS + (slot < count % SLOTS),
        )
        for (variant, day), count in counts.items()
        for slot in range(SLOTS)
    )  # fmt: skip


_X: Final = {"sum": "total", "max": "largest", "last": "last", "mean": "(total / count)"}


def _sums_of(made: Made, metric: Metric) -> None:
    numbers = dict(ResultSource.objects.filter(experiment=made.experiment).values_list("key", "pk"))
    table = _table(UnitMetric)
    ratio = metric.kind == Metric.Kind.RATIO
    source = numbers[metric.numerator if ratio else metric.key]
    x = "1.0 * a.count" if metric.kind == Metric.Kind.QUANTILE else f"a.{_X[metric.aggregate].lstrip('(')}"
    if metric.aggregate == "mean" and metric.kind != Metric.Kind.QUANTILE:
        x = "(a.total / a.count)"
    d = f"b.{_X[metric.aggregate]}" if ratio else "NULL"
    joined = f"{table} AS a"
    if ratio:
        joined += (
            f" JOIN {table} AS b ON b.source_id = {numbers[metric.denominator]} AND b.entity_id = a.entity_id"
        )
    rows = f"FROM {joined} WHERE a.source_id = {source}"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT avg({x}), avg({d}), avg(a.covariate) {rows}".replace("avg(NULL)", "NULL"))
        shifts = [0.0 if mean is None else float(mean) for mean in cursor.fetchone()]
        if metric.kind == Metric.Kind.QUANTILE:
            shifts = [0.0, 0.0, 0.0]
        kx, kd, kc = (repr(shift) for shift in shifts)
        dx, dd, dc = f"({x} - {kx})", f"({d} - {kd})" if ratio else "0.0", f"(a.covariate - {kc})"
        both = "count(*)" if ratio else "0"
        cursor.execute(
            f"SELECT a.variant_id, count(*), {both}, count(a.covariate), {both}, "
            f"{'count(a.covariate)' if ratio else '0'}, sum({dx}), sum({dx} * {dx}), sum({dd}), sum({dd} * {dd}), "
            f"sum({dc}), sum({dc} * {dc}), sum({dx} * {dd}), sum({dx} * {dc}), sum({dd} * {dc}), "
            f"{f'sum({dx})' if ratio else '0.0'}, sum({dd}), "
            f"sum(CASE WHEN a.covariate IS NULL THEN 0.0 ELSE {dx} END), "
            f"sum(CASE WHEN a.covariate IS NULL THEN 0.0 ELSE {dd} END), "
            f"{f'sum({dc})' if ratio else '0.0'} {rows} GROUP BY a.variant_id"
        )
        found = {row[0]: Sums._make(value or 0 for value in row[1:]) for row in cursor.fetchall()}
    MetricShift.objects.bulk_create(
        MetricShift(metric=metric, phase=made.phase, variable=name, shift=shift)
        for name, shift in zip("xdc", shifts, strict=True)
    )
    rows_of = []
    for variant, sums in found.items():
        for slot in range(SLOTS):
            counts = [count // SLOTS + (slot < count % SLOTS) for count in sums[:COUNTS]]
            values = [*counts, *(value / SLOTS for value in sums[COUNTS:])]
            rows_of.append(
                ArmSums(metric=metric, phase=made.phase, variant_id=variant, slot=slot,
                        **dict(zip(Sums._fields, values, strict=True)))
            )  # fmt: skip
    ArmSums.objects.bulk_create(rows_of)
    if metric.kind == Metric.Kind.QUANTILE:
        _buckets(made, metric, source)


def _buckets(made: Made, metric: Metric, source: int) -> None:
    """Counts of the ranges that values lie in, by the same rounding as the sketch."""
    values = UnitMetric.objects.filter(source=source).values_list("variant_id", "total")
    counts: dict[tuple[int, int], int] = {}
    for variant, value, units in values.annotate(Count("entity_id")):
        key = variant, bucket_of(value)
        counts[key] = counts.get(key, 0) + units
    QuantileBucket.objects.bulk_create(
        QuantileBucket(
            metric=metric, phase=made.phase, variant_id=variant, bucket=bucket, slot=slot,
            events=count // SLOTS + (slot < count % SLOTS),
        )
        for (variant, bucket), count in counts.items()
        for slot in range(SLOTS)
        if count // SLOTS + (slot < count % SLOTS)
    )  # fmt: skip
