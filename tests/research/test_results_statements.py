"""How many statements reading results takes: the same however many metrics, units and results there are."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from research.selectors.analysis import analysed_results
from research.services.analyse import analyse_experiment
from research.services.record_results import record_results
from tests.research.results_world import make_experiment, result
from tests.research.test_analysis_results import people

pytestmark = pytest.mark.django_db
STATEMENTS = {
    "the experiment": "research_experiment",
    "its arms": "research_variant",
    "its metrics": "research_metric",
    "its phases": "research_phase",
    "units by day": "research_exposureday",
    "sums of arms": "research_armsums",
    "what they are taken around": "research_metricshift",
    "ranges of quantiles": "research_quantilebucket",
    "judges": "research_judge",
    "the last analysis": "research_analysis",
    "looks": "research_look",
    "when it ran": "research_runningperiod",
}


def metrics(count: int) -> list[dict[str, Any]]:
    """A quantile first, then means: each kind of row is read from the first metric on."""
    first = {"key": "m0", "kind": "quantile", "q": 0.5, "role": "primary"}
    return [first, *({"key": f"m{number}", "kind": "mean"} for number in range(1, count))]


def read(key: str, **asked: Any) -> list[str]:
    """The table that each statement reads first."""
    with CaptureQueriesContext(connection) as captured:
        analysed_results(key, **asked)
    selects = [query["sql"] for query in captured if query["sql"].startswith("SELECT")]
    return [sql.partition('FROM "')[2].partition('"')[0] for sql in selects]


def fill(key: str, count: int, units: int) -> None:
    row = make_experiment(key, metrics(count))
    people(row, units)
    items = [
        result(f"{arm}-{place}", f"m{number}", float(place + number), f"{key}-{arm}-{place}-{number}")
        for arm in ("control", "treatment")
        for place in range(units)
        for number in range(count)
    ]
    assert record_results(experiment=row.pk, results=items).rejected == {}
    analyse_experiment(experiment=row.pk)


@pytest.mark.parametrize("engine", ["fixed", "sequential", "group_sequential", "bayesian"])
@pytest.mark.parametrize(("count", "units"), [(1, 2), (20, 2), (20, 60)])
def test_twelve_statements_whatever_there_is(count: int, units: int, engine: Any) -> None:
    fill("prompt", count, units)
    assert read("prompt", engine=engine) == list(STATEMENTS.values())


def test_without_quantiles_their_ranges_are_not_read() -> None:
    make_experiment("prompt", [{"key": "rating", "kind": "mean", "role": "primary"}])
    wanted = [table for name, table in STATEMENTS.items() if name != "ranges of quantiles"]
    assert read("prompt") == wanted
