"""Input of which no number can come, over HTTP: a clear error, or null with the reason, and all else answered."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from typing import Any

import pytest

from research.models import Experiment, ResultEvent
from research.services.record_results import record_results

from .experiment_calls import Api
from .experiment_setup import definition, draft
from .results_world import expose, make_experiment, result
from .test_analysis_results import FIELDS, MEAN, drawn, fill, people

pytestmark = pytest.mark.django_db

ENGINES = ("sequential", "fixed", "group_sequential", "bayesian")
KINDS: Any = {
    "proportion": {"key": "it", "kind": "proportion"},
    "mean": {"key": "it", "kind": "mean"},
    "count": {"key": "it", "kind": "count"},
    "ratio": {"key": "it", "kind": "ratio", "numerator": "up", "denominator": "down"},
    "quantile": {"key": "it", "kind": "quantile", "q": 0.5},
    "winsorized": {"key": "it", "kind": "mean", "winsorize": 0.9},
}


def made(kind: str, **more: Any) -> Experiment:
    return make_experiment(metrics=[{**KINDS[kind], "role": "primary", **more}])


def recorded(row: Experiment, kind: str, values: dict[str, Sequence[float]]) -> None:
    for source in ("up", "down") if kind == "ratio" else ("it",):
        fill(row, source, values)


def analysed(*engines: str) -> list[dict[str, Any]]:
    """Results by each engine after an analysis; no number in them is infinite or none, which JSON could not say."""
    assert Api("research:write")("POST", "/prompt/analyze").status_code == 200
    reader, found = Api("research:read"), []
    for engine in engines or ENGINES:
        response = reader("GET", f"/prompt/results?engine={engine}")
        assert response.status_code == 200
        assert b"NaN" not in response.content
        assert b"Infinity" not in response.content
        found.append(response.json())
    return found


def only(answer: dict[str, Any]) -> dict[str, Any]:
    [one] = answer["metrics"][0]["comparisons"]
    return dict(one)


def numbers(one: dict[str, Any]) -> list[Any]:
    """What would be made up, if it were a number."""
    return [
        one["ci"], one["relative_ci"], one["p_value"], one["p_adjusted"], *one["sequential"].values(),
        *one["bayesian"].values(),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_equal_values(kind: str) -> None:
    row = made(kind)
    people(row, 40)
    recorded(row, kind, {"control": [1.0] * 40, "treatment": [1.0] * 40})
    for answer in analysed():
        one = only(answer)
        assert one["undefined"] == ("no_events" if kind == "proportion" else "zero_variance")
        assert numbers(one)[:6] == [None] * 6
        assert one["effect"] == 0
        assert [arm["estimate"] for arm in answer["metrics"][0]["arms"]] == [pytest.approx(1, abs=0.006)] * 2
        assert answer["verdict"]["code"] == "keep_running"


@pytest.mark.parametrize("kind", KINDS)
def test_one_unit_an_arm(kind: str) -> None:
    row = made(kind)
    people(row, 1)
    recorded(row, kind, {"control": [1.0], "treatment": [2.0 if kind != "proportion" else 0.0]})
    for answer in analysed():
        one = only(answer)
        assert one["undefined"] == "one_unit"
        assert numbers(one) == [None] * 8
        assert answer["verdict"]["code"] == "keep_running"


@pytest.mark.parametrize("kind", KINDS)
def test_a_metric_without_any_event(kind: str) -> None:
    row = made(kind)
    people(row, 40)
    reasons = {"proportion": "no_events", "count": "zero_variance", "ratio": "zero_denominator"}
    for one in map(only, analysed()):
        assert one["undefined"] == reasons.get(kind, "empty_arm")
        assert numbers(one)[:6] == [None] * 6
        assert one["effect"] == (0 if kind in ("proportion", "count") else None)


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1e400", "-1e400"])
@pytest.mark.parametrize("field", ["value", "covariate"])
def test_infinities_are_refused_and_lose_nothing(field: str, value: str) -> None:
    row = make_experiment(metrics=MEAN)
    expose(row, ["u-1"])
    item = {"unit_id": "u-1", "metric": "rating", "value": 1.5, "event_id": "good", "covariate": 2,
            "occurred_at": "2026-03-02T10:00:00Z"}  # fmt: skip
    written = f'"{field}": {value}'
    bad = dumps({**item, "event_id": "bad", field: 0}).replace(f'"{field}": 0', written)
    single = Api("ingest")("POST", "/prompt/results", bad.encode())
    assert single.status_code == 400
    assert single.headers["Content-Type"] == "application/problem+json"
    batch = Api("ingest")("POST", "/prompt/results", f"[{bad}, {dumps(item)}]".encode())
    if value.lstrip("-").startswith("1"):
        # A number as JSON writes them, only larger than any float.
        assert batch.status_code == 200
        assert batch.json()["accepted"] == 1
        assert [each["index"] for each in batch.json()["rejected"]] == [0]
        assert [each.event_id for each in ResultEvent.objects.all()] == ["good"]
    else:
        assert (batch.status_code, ResultEvent.objects.count()) == (400, 0)


@pytest.mark.parametrize("alpha", ["0", "1", "0.5", "-0.1", "nan", "inf", "x", ""])
def test_alpha_lies_between_0_and_a_half(alpha: str) -> None:
    make_experiment(metrics=MEAN)
    reader = Api("research:read")
    response = reader("GET", f"/prompt/results?alpha={alpha}")
    assert response.status_code == 400
    assert [each["parameter"] for each in response.json()["errors"]] == ["alpha"]
    assert reader("GET", f"/prompt/pairs/analysis?metric=rating&alpha={alpha}").status_code == 400
    assert reader("POST", "/prompt/plan", {"mean": 1, "variance": 1, "mde": 1, "alpha": 0}).status_code == 400
    if alpha in ("0", "1", "0.5", "-0.1"):
        body = definition(analysis={"alpha": float(alpha)})
        refused = Api("research:write")("POST", "", body)
        assert refused.status_code == 400
        assert [each["pointer"] for each in refused.json()["errors"]] == ["/analysis/alpha"]


def test_fifty_arms() -> None:
    arms = [f"arm-{number}" for number in range(50)]
    row = make_experiment(metrics=MEAN, variants=arms)
    people(row, 40, arms)
    values = drawn(40, arms)
    fill(row, "rating", values)
    Experiment.objects.filter(pk=row.pk).update(analysis={"correction": "holm"})
    for engine, answer in zip(ENGINES, analysed(), strict=True):
        compared = answer["metrics"][0]["comparisons"]
        assert [one["variant"] for one in compared] == arms[1:]
        assert {one["baseline"] for one in compared} == {"arm-0"}
        for arm, one in zip(arms[1:], compared, strict=True):
            assert one["effect"] == pytest.approx(values[arm].mean() - values["arm-0"].mean(), rel=1e-9)
        if engine == "fixed":
            # Holm over 49: the smallest times 49, and in their order.
            ranked = sorted(compared, key=lambda one: one["p_value"])
            assert ranked[0]["p_adjusted"] == pytest.approx(49 * ranked[0]["p_value"], rel=1e-9)
            adjusted = [one["p_adjusted"] for one in ranked]
            assert adjusted == sorted(adjusted)
        assert answer["verdict"]["code"] == ("keep_running" if engine == "group_sequential" else "ship")


@pytest.mark.parametrize("q", [0, 1])
def test_quantiles_0_and_1_are_no_metrics(q: int) -> None:
    metric = {"key": "latency", "kind": "quantile", "q": q, "role": "primary"}
    response = Api("research:write")("POST", "", definition(metrics=[metric]))
    assert response.status_code == 400
    assert [each["pointer"] for each in response.json()["errors"]] == ["/metrics/0/q"]
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("kind", ["mean", "ratio", "quantile", "winsorized"])
def test_negative_costs(kind: str) -> None:
    """A credit of 100 that becomes one of 80 is 20 dearer, whatever the sign of the baseline."""
    row = made(kind, direction="decrease")
    people(row, 200)
    noise = drawn(200, ["control"])["control"] - 10
    values = {"control": -100 + noise, "treatment": -80 + noise}
    if kind == "ratio":
        fill(row, "up", values)
        fill(row, "down", {arm: [1.0] * 200 for arm in values})
    else:
        fill(row, "it", values)
    for answer in analysed("sequential", "fixed", "bayesian"):
        one = only(answer)
        assert one["effect"] == pytest.approx(20, abs=1)
        assert one["ci"][0] > 0
        assert one["relative_effect"] == pytest.approx(0.2, abs=0.01)
        assert one["relative_ci"][0] > 0
        assert one["bayesian"]["chance_to_beat"] == pytest.approx(0, abs=1e-9)
        assert one["text"].startswith("treatment is worse than control: +")
        assert answer["verdict"]["code"] == "roll_back"


def test_a_set_of_pairs_with_missing_arms() -> None:
    make_experiment(variants=["control", "a", "b", "never"])
    items = [
        {"item": "both", "arms": {"control": 1.0, "a": 2.0}},
        {"item": "other", "arms": {"control": 2.0, "a": 2.5}},
        {"item": "third", "arms": {"control": 2.0, "a": 4.0}},
        {"item": "alone", "arms": {"control": 9.0}},
        {"item": "lost", "arms": {"a": 9.0}},
        {"item": "only-b", "arms": {"b": 9.0}},
    ]
    sent = Api("ingest")("POST", "/prompt/pairs", {"metric": "rating", "items": items}).json()
    assert sent["rejected"] == []
    found = Api("research:read")("GET", "/prompt/pairs/analysis?metric=rating").json()["comparisons"]
    assert [one["variant"] for one in found] == ["a", "b"]
    a, b = found
    assert (a["items"], a["missing_baseline"], a["missing_treatment"]) == (3, 2, 2)
    assert a["effect"] == pytest.approx(3.5 / 3, rel=1e-12)
    assert (a["wins"], a["ties"], a["losses"]) == (3, 0, 0)
    assert (b["items"], b["effect"]) == (0, None)
    assert {b[name]["undefined"] for name in ("t_test", "wilcoxon", "mcnemar", "bootstrap")} == {"empty_arm"}
    unknown = {"metric": "rating", "items": [{"item": "x", "arms": {"control": 1, "nobody": 2}}]}
    refused = Api("ingest")("POST", "/prompt/pairs", unknown).json()
    assert (refused["accepted"], [each["index"] for each in refused["rejected"]]) == (0, [0])


def test_looks_need_an_mde_before_the_start() -> None:
    row = draft(analysis={"engine": "group_sequential"})
    writer = Api("research:write")
    refused = writer("POST", "/prompt-v2/start")
    assert refused.status_code == 400
    assert refused.json()["errors"] == [
        {
            "pointer": "/metrics/0/mde",
            "code": "required",
            "detail": "Looks are planned by the mde of the primary metric.",
        }
    ]
    assert Experiment.objects.get().state == "draft"
    change = {"metrics": [{"key": "success", "mde": 0.02}]}
    assert writer.patch("/prompt-v2", change).status_code == 200
    assert writer("POST", "/prompt-v2/start").status_code == 200
    assert Experiment.objects.get(pk=row.pk).state == "running"


RESULTS = {
    "experiment", "phase", "segment", "as_of", "units", "srm", "verdict", "metrics",
    # Beside what a comparison needs: where it stands, and what it rests on.
    "state", "exposures", "health", "engine", "alpha", "guardrails", "power", "analysis", "looks", "judges",
}  # fmt: skip


def test_the_shape_of_results() -> None:
    row = make_experiment(metrics=[*MEAN, {"key": "error", "kind": "proportion", "role": "guardrail"}])
    people(row, 40)
    fill(row, "rating", drawn(40), drawn(40, seed=8))
    Experiment.objects.filter(pk=row.pk).update(analysis={"cuped": True})
    posted = Api("research:write")("POST", "/prompt/analyze")
    answer = Api("research:read")("GET", "/prompt/results").json()
    for each in (answer, posted.json()):
        assert set(each) == RESULTS
        assert each["experiment"] == "prompt"
        assert each["phase"] == 1
        assert each["units"] == {"control": 40, "treatment": 40}
        assert set(each["srm"]) == {"p_value", "ok"}
        assert {"code", "text"} < set(each["verdict"])
        assert [metric["key"] for metric in each["metrics"]] == ["rating", "error"]
        for metric in each["metrics"]:
            assert set(metric) == {"key", "kind", "role", "arms", "comparisons"}
            assert [set(arm) for arm in metric["arms"]] == [
                {"variant", "n", "estimate", "sd", "undefined"}
            ] * 2
            [one] = metric["comparisons"]
            assert set(one) == set(FIELDS)
            assert set(one["bayesian"]) == {"chance_to_beat", "expected_loss"}
            assert set(one["sequential"]) == {"ci", "p_value"}
        [rating], [error] = (metric["comparisons"] for metric in each["metrics"])
        assert set(rating["cuped"]) == {"theta", "variance_reduction", "raw_effect", "raw_ci"}
        assert error["cuped"] is None
        assert rating["undefined"] is None
        assert isinstance(rating["text"], str)
        assert len(rating["ci"]) == len(rating["relative_ci"]) == len(rating["sequential"]["ci"]) == 2
    assert record_results(experiment=row.pk, results=[result("control-0", "rating", 1.0, "later")]).accepted
    assert Api("research:read")("GET", "/prompt/results").json()["as_of"] > answer["as_of"]
