"""What the page of an experiment says of its results: figures are those of the API, unknown ones are words."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from scipy import stats

from agent_factory_site.common.models import Job
from research.admin.effect_words import (
    chance_words,
    change_words,
    effect_words,
    interval_words,
    p_words,
    reason_words,
    relative_interval_words,
    size_words,
)
from research.domain.statistics.group_sequential import boundaries
from research.domain.statistics.spending import Spending
from research.models import Analysis, Experiment, Look, Metric, Variant
from research.services import analyse
from research.services.analyse import analyse_due, analyse_experiment
from research.services.lifecycle import stop_experiment
from research.services.record_results import record_results
from tests.admin_data import staff
from tests.research.experiment_calls import Api
from tests.research.results_world import expose, make_experiment, result
from tests.research.test_analysis_results import drawn, fill, people
from tests.research.test_analysis_snapshots import GUARD, add, grouped

pytestmark = pytest.mark.django_db

MEAN: list[dict[str, Any]] = [{"key": "rating", "kind": "mean", "role": "primary", "mde": 0.5}]
MINUS = "\N{MINUS SIGN}"


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(staff("research:read"))
    return client


def page(row: Experiment, query: str = "") -> str:
    return f"/admin/research/experiment/{row.pk}/change/{query}"


def section(client: Client, row: Experiment, name: str, query: str = "") -> str:
    """The text of one panel, white space folded."""
    response = client.get(page(row, query))
    assert response.status_code == 200
    found = re.search(
        rf'<section class="af-panel" id="{name}">(.*?)</section>', response.content.decode(), re.S
    )
    assert found is not None, name
    # Not ``split``, which takes the narrow space before a unit as well.
    return re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]+>", " ", found[1]))).strip()


def has_section(client: Client, row: Experiment, name: str) -> bool:
    return f'<section class="af-panel" id="{name}">' in client.get(page(row)).content.decode()


def results(query: str = "") -> dict[str, Any]:
    answer: dict[str, Any] = Api("research:read")("GET", f"/prompt/results{query}").json()
    return answer


def measured() -> Experiment:
    """An experiment of two arms with 200 units each, a mean and a guardrail; treatment is better by about 1."""
    row = make_experiment(metrics=[*MEAN, {**GUARD, "margin": 0.2}])
    people(row, 200)
    values = drawn(200)
    fill(row, "rating", values, {arm: np.arange(200.0) for arm in values})
    fill(row, "error", {"control": [1] * 6, "treatment": [1] * 8})
    return row


# --- Words --------------------------------------------------------------------------------------


def test_numbers_are_written_with_their_sign_and_never_claim_certainty() -> None:
    share, mean = Metric(kind="proportion"), Metric(kind="mean")
    assert effect_words(share, 0.05329) == "+5.33\N{NARROW NO-BREAK SPACE}pp"
    assert effect_words(mean, -0.0097671) == f"{MINUS}0.00977"
    assert effect_words(mean, 1234567.0) == "+1.23e+06"
    assert effect_words(mean, 0.0) == "0"
    assert effect_words(mean, None) == "–"
    assert size_words(mean, 0.25) == "0.25"
    assert interval_words(share, [-0.01, 0.02]) == f"{MINUS}1 to +2\N{NARROW NO-BREAK SPACE}pp"
    assert interval_words(mean, None) == "–"
    assert relative_interval_words([-0.5, 0.25]) == f"{MINUS}50 to +25\N{NARROW NO-BREAK SPACE}%"
    assert [p_words(value) for value in (None, 0.0, 0.00213, 0.5)] == ["–", "< 0.0001", "0.0021", "0.50"]
    assert chance_words(0.9999) == "> 99.9\N{NARROW NO-BREAK SPACE}%"
    assert chance_words(1e-9) == "< 0.1\N{NARROW NO-BREAK SPACE}%"
    assert reason_words("one_unit") == "An arm has a single unit, which has no spread"


# --- The page -----------------------------------------------------------------------------------


def test_the_page_has_the_figures_of_the_api(reader: Client) -> None:
    row = measured()
    analyse_experiment(experiment=row.pk)
    answer = results()
    assert answer["verdict"]["code"] == "ship"
    verdict = section(reader, row, "verdict")
    assert verdict.startswith("Verdict Ship treatment ")
    assert answer["verdict"]["text"] in verdict
    assert "Results as CSV" in verdict
    one = next(each for each in answer["metrics"] if each["key"] == "rating")["comparisons"][0]
    effects = section(reader, row, "effects")
    mean = Metric(kind="mean")
    assert f"{effect_words(mean, one['effect'])} ({interval_words(mean, one['ci'])})" in effects
    assert f"p {p_words(one['sequential']['p_value'])}" in effects
    chance = section(reader, row, "bayesian")
    assert "this does not protect against peeking." in chance
    assert chance_words(one["bayesian"]["chance_to_beat"]) in chance


def test_what_would_change_the_verdict_is_said(reader: Client) -> None:
    row = make_experiment(metrics=[{**MEAN[0], "mde": 0.1}])
    people(row, 100)
    fill(row, "rating", {"control": [1.0, 2.0] * 50, "treatment": [1.0, 2.02] * 50})
    verdict = results()["verdict"]
    assert verdict["code"] == "keep_running"
    words = section(reader, row, "verdict")
    assert "Keep running. Still open: treatment has not been shown to be better on rating" in words
    assert f"it takes about {verdict['more_units']:,} more units of all arms" in words
    assert words.startswith("Verdict Keep running ")
    stop_experiment(experiment=row.pk, decision="undecided", reason="Out of time.")
    assert results()["verdict"]["text"].startswith("It ended with this open: treatment has not been shown")
    words = section(reader, row, "verdict")
    assert words.startswith("Verdict Left open ")
    assert "It ended with this open: treatment has not been shown" in words


def test_what_would_change_a_verdict_that_is_given_is_said(reader: Client) -> None:
    row = measured()
    words = (
        "What would change it: an interval of rating that reaches no effect again, a guardrail that treatment"
    )
    assert words in section(reader, row, "verdict")
    assert "no effect again at the next look" not in section(reader, row, "verdict")
    Variant.objects.filter(experiment=row, key="treatment").update(stopped_at=timezone.now())
    assert results()["verdict"]["code"] == "roll_back"
    words = "What would change it: nothing any more, as every other arm was stopped."
    assert words in section(reader, row, "verdict")
    Experiment.objects.filter(pk=row.pk).update(state="stopped", stopped_at=timezone.now())
    assert "What would change it" not in section(reader, row, "verdict")


STOPPED = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "arms", "more", "words"),
    [
        ("ship", {"b": None}, {}, "rating that reaches no effect again at the next look, a guardrail that b breach"),
        ("ship", {"b": None}, {"final": True}, "b being stopped, as it is when it breaches a guardrail, or a"),
        ("roll_back", {"b": None}, {}, "an interval of rating on the better side of no effect at the next look"),
        ("roll_back", {"b": STOPPED, "c": None}, {}, "an interval of rating on the better side"),
        ("roll_back", {"b": None, "c": None}, {"breached": "b"}, "an interval of rating on the better side"),
        ("roll_back", {"b": STOPPED}, {}, "nothing any more, as every other arm was stopped"),
        ("roll_back", {"b": None, "c": STOPPED}, {"breached": "b"}, "nothing any more, as every other arm was st"),
        ("roll_back", {"b": None}, {"final": True}, "only a check of health that fails, as the last look was"),
        ("unhealthy", {"b": None}, {"final": True}, "a new phase, which counts units afresh"),
        ("not_started", {"b": None}, {}, "the first exposed units"),
    ],
)  # fmt: skip
def test_each_verdict_has_what_would_change_it(
    code: str, arms: dict[str, datetime | None], more: dict[str, Any], words: str
) -> None:
    found = change_words({"code": code, "variant": "b"}, "rating", "group_sequential", arms, **more)
    assert words in found
    assert change_words({"code": "keep_running", "variant": None}, "rating", "fixed", arms) == ""


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("fixed", "Fixed horizon"),
        ("bayesian", "credible intervals, Bayesian"),
        ("group_sequential", "Group sequential"),
    ],
)
def test_another_engine_is_a_description(reader: Client, engine: str, words: str) -> None:
    row = measured()
    said = section(reader, row, "verdict", f"?engine={engine}")
    assert "Judged by another engine than was planned (Always-valid)" in said
    assert words in section(reader, row, "effects", f"?engine={engine}")
    assert "Judged by another engine" not in section(reader, row, "verdict", "?engine=sequential")
    assert "Judged by another engine" not in section(reader, row, "verdict", "?engine=magic")
    one = results(f"?engine={engine}")["metrics"][0]["comparisons"][0]
    if one["ci"] is not None:
        assert interval_words(Metric(kind="mean"), one["ci"]) in section(
            reader, row, "effects", f"?engine={engine}"
        )


def test_one_metric_is_chosen_and_one_there_is_not_is_all(reader: Client) -> None:
    row = measured()
    chosen = section(reader, row, "effects", "?metric=error")
    assert "error guardrail, down is better" in chosen
    assert "rating primary" not in chosen
    assert "rating primary" in section(reader, row, "effects", "?metric=nothing")


def test_without_a_number_there_is_a_reason_and_no_mark(reader: Client) -> None:
    row = make_experiment(metrics=[*MEAN, {"key": "latency", "kind": "quantile", "q": 0.5}])
    people(row, 1)
    fill(row, "rating", {"control": [1.0], "treatment": [2.0]})
    effects = section(reader, row, "effects")
    assert "+1 so far, no interval: an arm has a single unit, which has no spread" in effects
    assert "This needs the values of single units, and no analysis has read them yet" in effects
    html = reader.get(page(row)).content.decode()
    forest = re.search(r"<svg[^>]*af-chart-forest.*?</svg>", html, re.S)
    assert forest is not None
    assert 'rx="1.5"' not in forest[0]
    assert "No analysis has read the units yet" in section(reader, row, "verdict")
    assert not has_section(reader, row, "over-time")


def test_a_draft_has_no_results(reader: Client) -> None:
    from .experiment_setup import draft

    row = draft()
    for name in ("verdict", "effects", "guardrails", "power", "looks", "segments", "health"):
        assert not has_section(reader, row, name), name


def test_guardrails_have_effect_margin_and_state(reader: Client) -> None:
    row = make_experiment(metrics=[*MEAN, {**GUARD, "margin": 0.1}], variants=["control", "good", "bad"])
    people(row, 300, ["control", "good", "bad"])
    fill(row, "error", {"control": [1] * 30, "good": [1] * 30, "bad": [1] * 150})
    words = section(reader, row, "guardrails")
    pp = "\N{NARROW NO-BREAK SPACE}pp"
    by_arm = {one["variant"]: one for one in results()["guardrails"]}
    assert (by_arm["good"]["state"], by_arm["bad"]["state"]) == ("held", "breached")
    assert f"error good held 0{pp} +10{pp} {MINUS}10{pp}" in words
    assert f"error bad breached +40{pp} +10{pp} +30{pp}" in words
    assert f"margin +10{pp}" in section(reader, row, "effects")


def test_a_relative_margin_is_shown_in_the_unit_of_the_metric(reader: Client) -> None:
    guard = {"key": "cost_each", "kind": "mean", "role": "guardrail", "direction": "decrease", "margin": 0.1,
             "scale": "relative"}  # fmt: skip
    row = make_experiment(metrics=[*MEAN, guard])
    people(row, 40)
    fill(row, "cost_each", {"control": [4.0, 6.0] * 20, "treatment": [4.0, 6.0] * 20})
    assert "+0.5 (10\N{NARROW NO-BREAK SPACE}%)" in section(reader, row, "guardrails")


def test_power_so_far(reader: Client) -> None:
    row = measured()
    words = section(reader, row, "power")
    found = results()["power"][0]
    assert (found["units"], found["target"], found["planned"]) == (400, 0.5, True)
    assert f"400 of {found['needed']:,}" in words
    assert words.endswith(f"{size_words(Metric(kind='mean'), found['detectable'])} 0.5")


def test_the_effect_over_time_is_that_of_the_snapshot(reader: Client) -> None:
    row = measured()
    analyse_experiment(experiment=row.pk)
    words = section(reader, row, "over-time")
    [point] = Analysis.objects.get().result["over_time"]["treatment"]["cumulative"]
    mean = Metric(kind="mean")
    assert f"2026-03-02 {effect_words(mean, point['effect'])} {interval_words(mean, point['ci'])}" in words
    assert "Three days with units in both arms are needed." in words


def test_segments_are_those_of_the_api(reader: Client) -> None:
    row = measured()
    assert not has_section(reader, row, "segments")
    analyse_experiment(experiment=row.pk)
    words = section(reader, row, "segments")
    mean = Metric(kind="mean")
    for name, said in (("low", "Covariate up to the median"), ("high", "Covariate above the median")):
        answer = results(f"?segment=covariate:{name}")
        one = answer["metrics"][0]["comparisons"][0]
        assert (
            f"{said} treatment 100 100 {effect_words(mean, one['effect'])} {interval_words(mean, one['ci'])}"
            in words
        )
    assert "Without a covariate" not in words
    chosen = results("?segment=covariate:low")["metrics"][1]["comparisons"][0]
    assert effect_words(Metric(kind="proportion"), chosen["effect"]) in section(
        reader, row, "segments", "?metric=error"
    )


def test_looks_with_their_boundaries(reader: Client) -> None:
    row = grouped()
    values = drawn(400, seed=11)
    analyse_due()
    assert "0 of 4 planned; next due at 25" in section(reader, row, "looks")
    add(row, 0, 30, values)
    analyse_due()
    first = Look.objects.get()
    seen = {arm: mine[:30] for arm, mine in values.items()}
    z = stats.ttest_ind(seen["treatment"], seen["control"], equal_var=False).statistic
    bound = boundaries((first.fraction,), 0.05, Spending("obrien_fleming"), final=False)[-1]
    words = section(reader, row, "looks")
    assert f"\N{PLUS-MINUS SIGN}{bound:.2f} {z:+.2f}" in words
    assert words.count("to come ") - 1 == 4 - int(first.fraction * 4)
    taken = results()["looks"]["taken"][0]["seen"]
    assert taken["boundary"] == pytest.approx(bound, rel=1e-12)
    assert taken["arms"]["treatment"]["z"] == pytest.approx(z, rel=1e-9)
    assert taken["arms"]["treatment"]["crossed"] == (abs(z) >= bound)
    assert not has_section(reader, measured_other(), "looks")


def measured_other() -> Experiment:
    return make_experiment("other", metrics=MEAN)


def test_health_is_said(reader: Client) -> None:
    row = measured()
    words = section(reader, row, "health")
    assert "Sample ratio ok p = 1.00: arms hold the shares of units that they were given." in words
    assert "Alike before the exposure ok" in words
    expose(row, [f"more-{place}" for place in range(200)], "control")
    assert "Sample ratio mismatch p < 0.0001" in section(reader, row, "health")
    assert section(reader, row, "verdict").startswith("Verdict Unhealthy")


def queries(client: Client, row: Experiment) -> int:
    with CaptureQueriesContext(
        connection,
    ) as seen:
        assert client.get(page(row)).status_code == 200
    return len(seen)


def test_the_page_takes_the_same_statements_for_one_metric_and_for_twenty(reader: Client) -> None:
    few = make_experiment("few", metrics=MEAN)
    many = make_experiment(
        "many",
        metrics=[*MEAN, *({"key": f"metric-{number}", "kind": "count"} for number in range(19))],
        variants=["control", "second", "third", "fourth"],
    )
    for row in (few, many):
        arms = list(row.variants.values_list("key", flat=True))
        for arm in arms:
            expose(row, [f"{row.key}-{arm}-{place}" for place in range(40)], arm)
        items = [
            result(f"{row.key}-{arm}-{place}", metric, float(place % 3), f"{metric}-{arm}-{place}")
            for arm in arms
            for metric in row.metrics.values_list("key", flat=True)
            for place in range(40)
        ]
        assert record_results(experiment=row.pk, results=items).rejected == {}
        analyse_experiment(experiment=row.pk)
    queries(reader, few)
    assert queries(reader, few) == queries(reader, many) <= 30


# --- Analyse now --------------------------------------------------------------------------------


def analyse_now(client: Client, pk: UUID) -> Any:
    return client.post(f"/admin/research/experiment/{pk}/analyse/", {"_form_submitted": "on"})


def test_analyse_now_reads_the_units_or_queues_a_job(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    row = measured()
    client.force_login(staff("research:read", username="reader"))
    assert analyse_now(client, row.pk).status_code == 403
    assert not Analysis.objects.exists()
    client.force_login(staff("research:read", "research:write"))
    assert analyse_now(client, row.pk).headers["HX-Redirect"] == page(row)
    assert Analysis.objects.count() == 1
    monkeypatch.setattr(analyse, "AT_ONCE", 399)
    analyse_now(client, row.pk)
    job = Job.objects.get()
    assert (Analysis.objects.count(), job.total) == (1, 400)
    assert f'href="/admin/common/job/{job.pk}/change/"' in client.get(page(row)).content.decode()
