"""Recording results: exact values of units, rejections, repeats."""

from __future__ import annotations

import pytest

from research.models import ResultEvent, UnitMetric
from research.services.check_results import check_results
from research.services.record_results import record_results
from tests.research.results_world import expose, make_experiment, result

pytestmark = pytest.mark.django_db


def test_a_batch_is_recorded() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    expose(row, ["c"], "treatment")
    outcome = record_results(
        experiment="prompt",
        results=[
            result("a", "success", 1, "1"),
            result("a", "cost", 2.5, "2"),
            result("b", "cost", 1.5, "3"),
            result("c", "latency", 120, "4"),
            result("c", "rating", 4, "5", covariate=3),
            result("c", "rating", 2, "6", covariate=5, minutes=90),
        ],
    )
    assert outcome.rejected == {}
    assert outcome.accepted == [0, 1, 2, 3, 4, 5]
    rating = UnitMetric.objects.get(source__key="rating")
    assert (rating.count, rating.total, rating.largest, rating.last, rating.covariate) == (2, 6, 4, 2, 3)
    found = check_results(experiment=row.pk)
    assert found.listed == []
    assert (found.units, found.results) == (3, 6)
