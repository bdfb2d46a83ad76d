"""Reading numbers of many rows as columns, the same on both databases."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from django.db import DatabaseError, transaction
from django.db.models import ExpressionWrapper, F, FloatField

from agent_factory_site.common.db.columns import number_columns
from research.models import Assignment, ResultSource, UnitMetric
from tests.research.results_world import expose, make_experiment

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def put(entity: int, total: float, covariate: float | None, count: int = 1, source: int = 1) -> None:
    UnitMetric.objects.create(
        source_id=source, entity_id=entity, phase_id=1, variant_id=1, count=count, total=total, total_rest=0.0,
        largest=total, last=total, last_at=NOON, last_event="e", covariate=covariate,
    )  # fmt: skip


def test_every_digit_and_what_is_missing() -> None:
    put(2, 0.1 + 0.2, None)
    put(1, -1e100, 5e-324)
    put(2**53 + 1, 1e9 + 1e-7, -0.0)
    rows = UnitMetric.objects.order_by("entity_id").values_list("entity_id", "total", "covariate")
    whole, totals, covariates = number_columns(rows, ("whole", "number", "number"))
    assert whole.tolist() == [1, 2, 2**53 + 1]
    assert totals.tolist() == [-1e100, 0.1 + 0.2, 1e9 + 1e-7]
    assert covariates[0] == 5e-324
    assert math.isnan(covariates[1])
    assert covariates[2] == 0.0
    assert [str(each.dtype) for each in (whole, totals, covariates)] == ["int64", "float64", "float64"]


def test_expressions_and_order_and_limit() -> None:
    for number in range(1, 6):
        put(number, number * 1.0, None, count=3)
    mean = ExpressionWrapper(F("total") / F("count"), FloatField())
    rows = UnitMetric.objects.annotate(mean=mean).order_by("-entity_id").values_list("entity_id", "mean")[:2]
    whole, means = number_columns(rows, ("whole", "number"))
    assert whole.tolist() == [5, 4]
    assert means.tolist() == [5 / 3, 4 / 3]


def test_no_rows_are_empty_columns() -> None:
    rows = UnitMetric.objects.values_list("entity_id", "total")
    assert [each.tolist() for each in number_columns(rows, ("whole", "number"))] == [[], []]
    assert number_columns(Assignment.objects.values_list("first_exposed_at"), ("day",))[0].tolist() == []


def test_a_day_ends_at_its_last_microsecond() -> None:
    row = make_experiment()
    moments = [
        datetime(2026, 3, 2, 0, 0, 0, 0, tzinfo=UTC),
        datetime(2026, 3, 2, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 3, 0, 0, 0, 0, tzinfo=UTC),
        datetime(2024, 2, 29, 13, 0, 0, 5, tzinfo=UTC),
    ]
    for place, moment in enumerate(moments):
        expose(row, [f"u{place}"], at=moment)
    rows = Assignment.objects.order_by("entity_id").values_list("first_exposed_at", "variant_id")
    days, variants = number_columns(rows, ("day", "whole"))
    assert days.tolist() == [int(moment.timestamp()) // 86_400 for moment in moments]
    assert variants.tolist() == [row.variants.get(key="control").pk] * 4


def test_an_error_is_one_of_the_database() -> None:
    rows = ResultSource.objects.values_list("id")
    with pytest.raises(DatabaseError), transaction.atomic():
        number_columns(rows.extra(where=["no_such_column = 1"]), ("whole",))  # noqa: S610
