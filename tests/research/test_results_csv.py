"""Results as CSV: the figures of the JSON, a line for every comparison of a metric."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.research.experiment_calls import Api
from tests.research.results_world import make_experiment
from tests.research.test_analysis_results import drawn, fill, people

pytestmark = pytest.mark.django_db

METRICS: list[dict[str, Any]] = [
    {"key": "rating", "kind": "mean", "role": "primary"},
    {"key": "clicks", "kind": "count"},
]


def rows(query: str = "") -> list[dict[str, str]]:
    response = Api("research:read")("GET", f"/prompt/results?format=csv{query}")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == 'attachment; filename="prompt-results.csv"'
    return list(csv.DictReader(io.StringIO(response.content.decode())))


@pytest.mark.parametrize("query", ["", "&engine=fixed", "&engine=bayesian"])
def test_every_comparison_has_a_line_with_the_figures_of_the_json(query: str) -> None:
    arms = ("control", "treatment", "third")
    row = make_experiment(metrics=METRICS, variants=arms)
    people(row, 40, arms)
    fill(row, "rating", drawn(40, arms))
    found = rows(query)
    answer = Api("research:read")("GET", f"/prompt/results?{query.removeprefix('&')}").json()
    assert [(line["metric"], line["variant"]) for line in found] == [
        (metric, arm) for metric in ("rating", "clicks") for arm in ("treatment", "third")
    ]
    compared = [(metric, one) for metric in answer["metrics"] for one in metric["comparisons"]]
    for line, (metric, one) in zip(found, compared, strict=True):
        assert line["engine"] == answer["engine"]
        assert line["verdict"] == answer["verdict"]["code"]
        assert line["undefined"] == (one["undefined"] or "")
        for column in ("effect", "p_value", "p_adjusted", "relative_effect"):
            assert line[column] == ("" if one[column] is None else repr(one[column])), column
        for name, interval in (("ci", one["ci"]), ("sequential_ci", one["sequential"]["ci"])):
            low, high = interval or (None, None)
            assert line[f"{name}_low"] == ("" if low is None else repr(low))
            assert line[f"{name}_high"] == ("" if high is None else repr(high))
        by_arm = {arm["variant"]: arm for arm in metric["arms"]}
        assert line["variant_n"] == str(by_arm[one["variant"]]["n"])
        assert line["baseline_estimate"] == (
            "" if by_arm["control"]["estimate"] is None else repr(by_arm["control"]["estimate"])
        )


def test_before_the_first_unit_numbers_are_empty() -> None:
    make_experiment(metrics=METRICS)
    line = rows()[0]
    assert (line["effect"], line["ci_low"], line["p_value"], line["undefined"]) == ("", "", "", "empty_arm")
    assert line["verdict"] == "not_started"


def test_other_formats_are_refused() -> None:
    make_experiment(metrics=METRICS)
    assert Api("research:read")("GET", "/prompt/results?format=xml").status_code == 400
    assert Api("research:read")("GET", "/prompt/results?format=json").json()["experiment"] == "prompt"
