"""Comparisons and verdicts over HTTP, against a direct computation from the same values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from research.domain.statistics.comparison import compare
from research.domain.statistics.moments import moments_of
from research.domain.statistics.results import ArmData, Metric, Settings
from research.models import Experiment
from research.services.record_results import record_results
from tests.research.experiment_calls import Api
from tests.research.results_world import expose, make_experiment, result

pytestmark = pytest.mark.django_db
FIELDS = [
    "variant", "baseline", "effect", "ci", "relative_effect", "relative_ci", "p_value", "p_adjusted", "method",
    "cuped", "bayesian", "sequential", "undefined", "text",
]  # fmt: skip


def fill(
    row: Experiment,
    metric: str,
    values: dict[str, Sequence[float]],
    covariates: dict[str, Sequence[float]] | None = None,
) -> None:
    """A result for each unit ``<arm>-<number>``."""
    items = [
        result(f"{arm}-{place}", metric, float(value), f"{metric}-{arm}-{place}", **(
            {} if covariates is None else {"covariate": float(covariates[arm][place])}
        ))
        for arm, mine in values.items()
        for place, value in enumerate(mine)
    ]  # fmt: skip
    assert record_results(experiment=row.pk, results=items).rejected == {}


def people(row: Experiment, units: int, arms: Sequence[str] = ("control", "treatment")) -> None:
    for arm in arms:
        expose(row, [f"{arm}-{place}" for place in range(units)], arm)


def drawn(units: int, arms: Sequence[str] = ("control", "treatment"), seed: int = 7) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {arm: generator.normal(10 + place, 2, units) for place, arm in enumerate(arms)}


def got(metric: str, query: str = "", key: str = "prompt") -> dict[str, Any]:
    response = Api("research:read")("GET", f"/{key}/results{query}")
    assert response.status_code == 200, response.content
    found = next(each for each in response.json()["metrics"] if each["key"] == metric)
    assert sorted(found["comparisons"][0]) == sorted(FIELDS)
    return dict(found["comparisons"][0])


MEAN = [{"key": "rating", "kind": "mean", "role": "primary"}]


def test_a_mean_is_compared_by_welch() -> None:
    row = make_experiment(metrics=MEAN)
    people(row, 50)
    values = drawn(50)
    fill(row, "rating", values)
    one = got("rating", "?engine=fixed")
    expected = stats.ttest_ind(values["treatment"], values["control"], equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert one["effect"] == pytest.approx(values["treatment"].mean() - values["control"].mean(), rel=1e-12)
    assert one["ci"] == pytest.approx([interval.low, interval.high], rel=1e-9)
    assert one["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert one["p_adjusted"] == one["p_value"]
    assert (one["method"], one["undefined"], one["cuped"]) == ("fixed horizon, welch", None, None)


@pytest.mark.parametrize("engine", ["sequential", "fixed", "bayesian"])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_every_engine_says_what_the_statistics_say(engine: Any, alpha: float) -> None:
    row = make_experiment(metrics=MEAN)
    people(row, 60)
    values = drawn(60)
    covariates = {arm: mine * 0.5 + drawn(60, seed=9)[arm] for arm, mine in values.items()}
    fill(row, "rating", values, covariates)
    Experiment.objects.filter(pk=row.pk).update(analysis={"cuped": True, "correction": "holm"})
    one = got("rating", f"?engine={engine}&alpha={alpha}")
    arms = [ArmData(arm, moments_of(values[arm], covariates=covariates[arm])) for arm in values]
    wanted = compare(Metric("rating", "mean"), *arms, Settings(engine=engine, alpha=alpha))
    assert wanted.interval is not None
    assert wanted.cuped is not None
    assert wanted.cuped.raw_interval is not None
    assert wanted.bayesian is not None
    assert wanted.sequential is not None
    assert one["effect"] == pytest.approx(wanted.effect, rel=1e-9)
    assert one["ci"] == pytest.approx(list(wanted.interval), rel=1e-9)
    assert one["cuped"] == {
        "theta": pytest.approx(wanted.cuped.theta, rel=1e-9),
        "variance_reduction": pytest.approx(wanted.cuped.variance_reduction, rel=1e-9),
        "raw_effect": pytest.approx(wanted.cuped.raw_effect, rel=1e-9),
        "raw_ci": pytest.approx(list(wanted.cuped.raw_interval), rel=1e-9),
    }
    assert one["bayesian"]["chance_to_beat"] == pytest.approx(wanted.bayesian.chance_to_beat, rel=1e-9)
    assert one["bayesian"]["expected_loss"] == pytest.approx(wanted.bayesian.expected_loss, rel=1e-6)
    assert one["p_value"] == (None if wanted.p_value is None else pytest.approx(wanted.p_value, rel=1e-6))
    assert one["sequential"]["ci"] == pytest.approx(list(wanted.sequential.interval), rel=1e-9)


def test_units_without_the_event_count_in_a_proportion_and_the_verdict_ships() -> None:
    row = make_experiment()
    people(row, 200)
    fill(row, "success", {"control": [1] * 40, "treatment": [1] * 120})
    answer = Api("research:read")("GET", "/prompt/results?engine=fixed").json()
    one = answer["metrics"][0]["comparisons"][0]
    assert one["effect"] == pytest.approx(0.4, abs=1e-12)
    assert one["method"] == "fixed horizon, newcombe"
    assert (answer["verdict"]["code"], answer["verdict"]["variant"]) == ("ship", "treatment")
    assert answer["verdict"]["text"].startswith("Ship treatment. treatment is better than control: +0.4")
    assert (answer["engine"], answer["alpha"], answer["phase"]) == ("fixed", 0.05, 1)


def test_what_needs_single_units_says_that_it_was_not_analysed() -> None:
    row = make_experiment(metrics=[*MEAN, {"key": "spent", "kind": "mean", "winsorize": 0.99},
                                   {"key": "latency", "kind": "quantile", "q": 0.5}])  # fmt: skip
    people(row, 40)
    fill(row, "spent", drawn(40))
    for metric in ("spent", "latency"):
        one = got(metric)
        assert (one["effect"], one["ci"], one["p_value"]) == (None, None, None)
        assert one["undefined"] == "not_analysed"
        assert "no analysis has read them yet" in one["text"]


def test_a_draft_has_not_started() -> None:
    row = make_experiment()
    Experiment.objects.filter(pk=row.pk).update(state="draft", started_at=None)
    assert Api("research:read")("GET", "/prompt/results").json()["verdict"]["code"] == "not_started"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"control": [], "treatment": []}, "empty_arm"),
        ({"control": [1.0, 2.0], "treatment": []}, "empty_arm"),
        ({"control": [1.0], "treatment": [2.0]}, "one_unit"),
        ({"control": [3.0] * 40, "treatment": [3.0] * 40}, "zero_variance"),
        ({"control": [-1.0, 1.0] * 20, "treatment": [1.0, 2.0] * 20}, "zero_baseline"),
        ({"control": [1.0, 2.0] * 10, "treatment": [1.0, 2.5] * 10}, "too_few_units"),
    ],
)
def test_what_does_not_exist_is_null_with_the_reason(values: dict[str, list[float]], reason: str) -> None:
    row = make_experiment(metrics=MEAN)
    people(row, 40)
    fill(row, "rating", values)
    one = got("rating")
    assert one["undefined"] == reason
    if reason == "zero_baseline":
        assert one["relative_effect"] is None
        assert one["ci"] is not None
    else:
        assert (one["ci"], one["p_value"], one["p_adjusted"]) == (None, None, None)


def test_shares_above_one_and_huge_values_are_said_not_raised() -> None:
    row = make_experiment(metrics=[{"key": "won", "kind": "proportion", "role": "primary", "aggregate": "sum"},
                                   {"key": "rating", "kind": "mean"}])  # fmt: skip
    people(row, 3)
    more = [result("control-0", "won", 1, f"more-{place}") for place in range(5)]
    record_results(experiment=row.pk, results=more)
    fill(row, "rating", {"control": [1e100, -1e100, 0], "treatment": [-1e100, 1e100, 1]})
    assert got("won")["undefined"] == "not_binary"
    assert math.isfinite(got("rating", "?engine=fixed")["effect"])


def test_negative_costs_keep_their_sign() -> None:
    row = make_experiment(
        metrics=[{"key": "cost", "kind": "mean", "role": "primary", "direction": "decrease"}]
    )
    people(row, 40)
    values = {arm: -mine for arm, mine in drawn(40).items()}
    fill(row, "cost", values)
    one = got("cost", "?engine=fixed")
    assert one["effect"] < 0
    assert one["relative_effect"] == pytest.approx(
        (values["treatment"].mean() - values["control"].mean()) / abs(values["control"].mean()), rel=1e-9
    )
    assert "treatment is better than control" in one["text"]


def test_fifty_arms() -> None:
    arms = ["control", *(f"arm-{number}" for number in range(49))]
    row = make_experiment(metrics=MEAN, variants=arms)
    people(row, 3, arms)
    fill(row, "rating", drawn(3, arms))
    Experiment.objects.filter(pk=row.pk).update(analysis={"correction": "holm"})
    answer = Api("research:read")("GET", "/prompt/results?engine=fixed").json()
    found = answer["metrics"][0]["comparisons"]
    assert [one["variant"] for one in found] == arms[1:]
    raw = [one["p_value"] for one in found]
    assert min(one["p_adjusted"] for one in found) == pytest.approx(min(1, 49 * min(raw)), rel=1e-9)


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("alpha=0", "alpha", "out_of_range"),
        ("alpha=1", "alpha", "out_of_range"),
        ("alpha=nan", "alpha", "invalid"),
        ("alpha=x", "alpha", "invalid"),
        ("engine=frequentist", "engine", "invalid_choice"),
        ("engines=fixed", "engines", "unknown_parameter"),
    ],
)
def test_bad_parameters_are_named(query: str, parameter: str, code: str) -> None:
    make_experiment()
    response = Api("research:read")("GET", f"/prompt/results?{query}")
    assert response.status_code == 400
    assert [(each["parameter"], each["code"]) for each in response.json()["errors"]] == [(parameter, code)]


def test_an_arm_that_breaches_a_guardrail_is_named() -> None:
    row = make_experiment(metrics=[*MEAN, {"key": "error", "kind": "proportion", "role": "guardrail",
                                           "direction": "decrease", "margin": 0.05}])  # fmt: skip
    people(row, 400)
    fill(row, "rating", drawn(400))
    fill(row, "error", {"control": [1] * 4, "treatment": [1] * 200})
    answer = Api("research:read")("GET", "/prompt/results").json()
    [state] = answer["guardrails"]
    assert (state["metric"], state["variant"], state["state"]) == ("error", "treatment", "breached")
    assert state["excess"] == pytest.approx(0.49 - 0.05, rel=1e-9)
    assert state["ci"][0] > 0
    assert answer["verdict"]["code"] == "roll_back"


def test_results_need_their_scope() -> None:
    make_experiment()
    assert Api("assign")("GET", "/prompt/results").status_code == 403
