"""Plans and replays over HTTP, against published formulas and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from research.domain.statistics.planning import (
    Design,
    inflation_factor,
    minimum_detectable_effect,
    sample_size,
)
from research.domain.statistics.spending import Spending
from research.models import Experiment
from tests.research.experiment_calls import Api
from tests.research.results_world import make_experiment
from tests.research.test_analysis_results import MEAN, drawn, fill, people

pytestmark = pytest.mark.django_db


def plan(body: Any, key: str = "prompt") -> Any:
    return Api("research:read")("POST", f"/{key}/plan", body)


def test_a_proportion_is_planned_by_the_pooled_formula() -> None:
    make_experiment()
    answer = plan({"mean": 0.1, "mde": 0.02, "engine": "fixed", "units_per_day": 500}).json()
    z, power = stats.norm.isf(0.025), stats.norm.isf(0.2)
    pooled = math.sqrt(2 * 0.11 * 0.89)
    n = math.ceil((z * pooled + power * math.sqrt(0.1 * 0.9 + 0.12 * 0.88)) ** 2 / 0.02**2)
    assert answer["sample_size"] == {"baseline_units": n, "treatment_units": n, "total_units": 2 * n}
    assert answer["days"] == math.ceil(2 * n / 500)
    assert (answer["metric"], answer["kind"], answer["detectable"]) == ("success", "proportion", None)


def test_a_mean_and_a_ratio_and_what_units_can_show() -> None:
    make_experiment()
    for metric in ("rating", "cost_per_success"):
        asked = {
            "metric": metric,
            "mean": 10,
            "variance": 4,
            "mde": 0.05,
            "scale": "relative",
            "engine": "sequential",
        }
        answer = plan({**asked, "units": 4000}).json()
        kind = answer["kind"]
        design = Design(kind, 10.0, 4.0, mde=0.05, scale="relative", engine="sequential", corrected=False)
        assert answer["sample_size"]["total_units"] == sample_size(design).total_units
        assert answer["detectable"] == pytest.approx(minimum_detectable_effect(design, 2000), rel=1e-12)


def test_a_plan_from_history() -> None:
    row = make_experiment(metrics=MEAN)
    assert plan({"history": True, "mde": 0.5}).json()["errors"][0]["code"] == "no_history"
    people(row, 50)
    values = drawn(50)
    fill(row, "rating", values)
    make_experiment("next", metrics=MEAN)
    answer = plan({"history": True, "mde": 0.5, "engine": "fixed"}, "next").json()
    assert answer["history"] == {"experiment": "prompt", "phase": 1, "units": 50}
    assert answer["mean"] == pytest.approx(values["control"].mean(), rel=1e-12)
    assert answer["variance"] == pytest.approx(values["control"].var(ddof=1), rel=1e-9)
    assert answer["units_per_day"] > 0
    assert answer["days"] == math.ceil(answer["sample_size"]["total_units"] / answer["units_per_day"])


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/mean", "required"),
        ({"mean": 0.1, "mde": 0}, "/mde", "cannot_plan"),
        ({"mean": 1.5, "mde": 0.1}, "/mean", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.95}, "/mde", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.01, "alpha": 0}, "/alpha", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.01, "alpha": 1}, "/alpha", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.01, "power": 1}, "/power", "cannot_plan"),
        ({"mean": 0.1, "mde": 1e-12}, "/mde", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.01, "allocation": 0}, "/allocation", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.01, "variance_reduction": 1}, "/variance_reduction", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.01, "units_per_day": -1}, "/units_per_day", "cannot_plan"),
        ({"mean": 0.1, "mde": 0.01, "days": 5}, "/units_per_day", "required"),
        ({"mean": 0.1, "mde": 0.01, "units": 4}, "/units", "cannot_plan"),
        ({"metric": "rating", "mean": 1, "variance": -1, "mde": 0.1}, "/variance", "cannot_plan"),
        ({"metric": "latency", "mean": 1, "mde": 0.1}, "/metric", "cannot_plan"),
        ({"metric": "rating", "mean": 1, "mde": 0.1}, "/variance", "required"),
        ({"metric": "nothing"}, "/metric", "unknown_metric"),
        ({"mean": 0.1, "surprise": 1}, "/surprise", "unknown_field"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_its_field(body: Any, pointer: str, code: str) -> None:
    make_experiment()
    response = plan(body)
    assert response.status_code == 400
    assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [(pointer, code)]


def test_pairs_are_compared_item_by_item() -> None:
    make_experiment(variants=["control", "treatment", "unused"])
    generator = np.random.default_rng(5)
    a, b = generator.normal(0, 1, 30), generator.normal(0.5, 1, 30)
    items = [{"item": f"q{place}", "arms": {"control": [a[place] - 1, a[place] + 1], "treatment": b[place]}}
             for place in range(30)]  # fmt: skip
    items += [{"item": "alone", "arms": {"control": 3.0}}]
    sender, reader = Api("ingest"), Api("research:read")
    body = {"metric": "rating", "items": items, "set": "r1"}
    assert sender("POST", "/prompt/pairs", body).json()["rejected"] == []
    answer = reader("GET", "/prompt/pairs/analysis?set=r1&metric=rating").json()
    [one] = answer["comparisons"]
    expected = stats.ttest_rel(b, a)
    interval = expected.confidence_interval(0.95)
    assert one["effect"] == pytest.approx((b - a).mean(), rel=1e-9)
    assert one["t_test"]["ci"] == pytest.approx([interval.low, interval.high], rel=1e-9)
    assert one["t_test"]["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert one["wilcoxon"]["p_value"] == pytest.approx(stats.wilcoxon(b, a).pvalue, rel=1e-9)
    assert one["mcnemar"] == {"ci": None, "p_value": None, "undefined": "not_binary"}
    assert (one["items"], one["missing_baseline"], one["missing_treatment"]) == (30, 0, 1)
    assert one["wins"] == int((b > a).sum())
    worse = reader("GET", "/prompt/pairs/analysis?set=r1&metric=rating&direction=decrease").json()
    assert worse["comparisons"][0]["losses"] == one["wins"]


def test_pairs_that_cannot_be_compared_say_so() -> None:
    make_experiment()
    sender, reader = Api("ingest"), Api("research:read")
    body = {"metric": "rating", "items": [{"item": "q", "arms": {"treatment": 1.0}}]}
    assert sender("POST", "/prompt/pairs", body).status_code == 200
    [one] = reader("GET", "/prompt/pairs/analysis?metric=rating").json()["comparisons"]
    assert (one["items"], one["effect"], one["missing_baseline"]) == (0, None, 1)
    assert {one[name]["undefined"] for name in ("t_test", "wilcoxon", "mcnemar", "bootstrap")} == {
        "empty_arm"
    }
    assert reader("GET", "/prompt/pairs/analysis?metric=clicks").status_code == 404
    for query in ("", "?metric=rating&alpha=0", "?metric=rating&alpha=1", "?metric=rating&direction=up"):
        assert reader("GET", f"/prompt/pairs/analysis{query}").status_code == 400


def test_permissions() -> None:
    make_experiment()
    assert Api("ingest")("POST", "/prompt/plan", {"mean": 0.1}).status_code == 403
    assert Api("ingest")("GET", "/prompt/pairs/analysis?metric=rating").status_code == 403
    assert Experiment.objects.count() == 1


def test_an_experiment_with_looks_is_planned_by_its_looks() -> None:
    row = make_experiment(metrics=MEAN)
    settings = {"engine": "group_sequential", "planned_looks": 4, "spending": "pocock"}
    Experiment.objects.filter(pk=row.pk).update(analysis=settings)
    asked = {"mean": 10, "variance": 9, "mde": 0.3}
    answer = plan(asked).json()
    fixed = plan({**asked, "engine": "fixed"}).json()
    design = Design(
        "mean", 10.0, 9.0, mde=0.3, corrected=False, engine="group_sequential", looks=4,
        spending=Spending("pocock"),
    )  # fmt: skip
    wanted = sample_size(design)
    assert answer["sample_size"]["baseline_units"] == wanted.baseline_units
    assert answer["method"] == "group sequential, 4 evenly spaced looks, Pocock type spending"
    assert answer["inflation"] == pytest.approx(inflation_factor(design), rel=1e-12)
    assert answer["inflation"] > 1.15
    total = fixed["sample_size"]["total_units"] * answer["inflation"]
    assert answer["sample_size"]["total_units"] == pytest.approx(total, abs=4)
    assert (fixed["method"], fixed["inflation"]) == ("fixed horizon", 1)
    bayesian = plan({**asked, "engine": "bayesian"}).json()
    assert bayesian["sample_size"] == fixed["sample_size"]
    assert bayesian["method"] == "fixed horizon: a Bayesian analysis has no power of its own"
    units = plan({"mean": 10, "variance": 9, "units": wanted.total_units}).json()
    assert (units["inflation"], units["detectable"]) == (None, pytest.approx(0.3, rel=1e-3))
