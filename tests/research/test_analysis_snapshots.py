"""Analyses: what they read, what they keep, the looks they take and the arms they stop."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from scipy import stats

from agent_factory_site.common.models import AuditEvent, Job
from agent_factory_site.common.outbox import subscribe, unsubscribe
from agent_factory_site.common.services.jobs import run_job
from research.domain.statistics.comparison import compare
from research.domain.statistics.group_sequential import boundaries
from research.domain.statistics.quantiles import quantile_of
from research.domain.statistics.results import ArmData, Metric, Settings
from research.domain.statistics.spending import Spending
from research.domain.unit_table import far_off
from research.events import ArmStopped
from research.models import Analysis, Experiment, Look, Variant
from research.selectors.experiments import get_experiment
from research.selectors.results import phase_data
from research.selectors.unit_arms import read_arms
from research.services import analyse
from research.services.analyse import analyse_due, analyse_experiment
from research.services.lifecycle import stop_experiment
from research.services.record_results import record_results
from tests.research.experiment_calls import Api
from tests.research.results_world import METRICS, START, expose, make_experiment, result
from tests.research.test_analysis_results import MEAN, drawn, fill, got, people

pytestmark = pytest.mark.django_db


def analyse_over_http() -> Any:
    return Api("research:write")("POST", "/prompt/analyze")


def close(found: ArmData, live: Any) -> None:
    for name in (
        "n",
        "mean",
        "variance",
        "denominator_mean",
        "covariance_xd",
        "covariate_mean",
        "covariance_xc",
    ):
        expected = getattr(live, name)
        assert getattr(found.moments, name) == (
            None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-9)
        ), name


def test_units_come_to_what_the_sums_say() -> None:
    row = make_experiment(metrics=[*METRICS, {"key": "both", "kind": "ratio", "numerator": "cost",
                                              "denominator": "clicks", "missing": "ignore"}])  # fmt: skip
    people(row, 30)
    expose(row, ["chosen"], "treatment", override=True)
    generator = np.random.default_rng(3)
    items = []
    for arm in ("control", "treatment"):
        for place in range(25):
            unit = f"{arm}-{place}"
            items.append(
                result(unit, "success", int(place % 3 == 0), f"s-{unit}", covariate=float(place % 5))
            )
            items.append(result(unit, "cost", float(generator.normal(5, 2)), f"c-{unit}"))
            if place % 2:
                items.append(result(unit, "clicks", place, f"k-{unit}"))
                items.append(
                    result(unit, "rating", float(generator.normal(3, 1)), f"r-{unit}", covariate=1.0 * place)
                )
    items += [result("control-0", "cost", 3.0, "again"), result("chosen", "cost", 1e6, "chosen")]
    assert record_results(experiment=row.pk, results=items).rejected == {}
    data = phase_data(get_experiment(row.pk))
    arms = read_arms(data)
    for metric in data.metrics:
        if metric.kind != "quantile":
            for variant, arm in zip(data.variants, arms.metrics[metric.key], strict=True):
                close(arm, data.moments[metric.pk, variant.pk])


def test_quantiles_and_winsorised_values_come_from_the_snapshot() -> None:
    row = make_experiment(metrics=[*MEAN, {"key": "spent", "kind": "mean", "winsorize": 0.9},
                                   {"key": "latency", "kind": "quantile", "q": 0.5}])  # fmt: skip
    people(row, 300)
    values = drawn(300)
    fill(row, "spent", values)
    fill(row, "latency", values)
    response = analyse_over_http()
    assert response.status_code == 200
    spent = got("spent", "?engine=fixed")
    cap = np.quantile(np.concatenate(list(values.values())), 0.9)
    capped = {arm: np.minimum(mine, cap) for arm, mine in values.items()}
    expected = stats.ttest_ind(capped["treatment"], capped["control"], equal_var=False)
    assert spent["effect"] == pytest.approx(capped["treatment"].mean() - capped["control"].mean(), rel=1e-9)
    assert spent["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)
    arms = [ArmData(arm, quantile=quantile_of(mine, 0.5, np.arange(300))) for arm, mine in values.items()]
    wanted = compare(Metric("latency", "quantile", q=0.5), *arms, Settings(engine="sequential"))
    latency = got("latency")
    assert latency["effect"] == pytest.approx(wanted.effect, rel=1e-12)
    assert wanted.interval is not None
    assert latency["ci"] == pytest.approx(list(wanted.interval), rel=1e-12)
    answer = Api("research:read")("GET", "/prompt/results").json()
    assert answer["analysis"]["caps"] == {"spent": pytest.approx(cap, rel=1e-12)}
    assert answer["analysis"]["as_of"] < answer["as_of"]
    stored = Analysis.objects.get()
    assert [each["effect"] for each in stored.result["comparisons"]["latency"]] == [latency["effect"]]
    assert AuditEvent.objects.filter(action="analyse", target_id=str(row.pk)).count() == 1


def test_segments_and_days() -> None:
    row = make_experiment(metrics=MEAN)
    people(row, 40)
    for arm in ("control", "treatment"):
        expose(row, [f"late-{arm}-{place}" for place in range(40)], arm, at=START + timedelta(days=1))
    values = drawn(40)
    covariates = {arm: np.arange(40.0) for arm in values}
    fill(row, "rating", values, covariates)
    later = [result(f"late-{arm}-{place}", "rating", float(place), f"l-{arm}-{place}", minutes=2000)
             for arm in values for place in range(40)]  # fmt: skip
    assert record_results(experiment=row.pk, results=later).rejected == {}
    assert got("rating", "?segment=covariate:low")["undefined"] == "not_analysed"
    assert analyse_over_http().status_code == 200
    low = got("rating", "?segment=covariate:low&engine=fixed")
    assert low["effect"] == pytest.approx(
        values["treatment"][:20].mean() - values["control"][:20].mean(), rel=1e-9
    )
    high = got("rating", "?segment=covariate:high&engine=fixed")
    assert high["effect"] == pytest.approx(
        values["treatment"][20:].mean() - values["control"][20:].mean(), rel=1e-9
    )
    assert got("rating", "?segment=covariate:none&engine=fixed")["effect"] == pytest.approx(0, abs=1e-12)
    assert got("rating", "?segment=day:2026-03-03&engine=fixed")["effect"] == pytest.approx(0, abs=1e-12)
    seen = Api("research:read")("GET", "/prompt/results").json()["analysis"]
    assert seen["segments"] == [
        "covariate:high",
        "covariate:low",
        "covariate:none",
        "day:2026-03-02",
        "day:2026-03-03",
    ]
    first, second = seen["over_time"]["treatment"]["cumulative"]
    assert first["day"] == "2026-03-02"
    difference = values["treatment"].mean() - values["control"].mean()
    assert first["effect"] == pytest.approx(difference, rel=1e-9)
    assert second["effect"] == pytest.approx(difference / 2, rel=1e-9)
    for bad in ("colour:red", "day:yesterday", ""):
        assert Api("research:read")("GET", f"/prompt/results?segment={bad}").status_code == 400


def test_an_analysis_is_never_changed() -> None:
    row = make_experiment(metrics=MEAN)
    made = analyse_experiment(experiment=row.pk)
    for change in (
        lambda: Analysis.objects.update(result={}),
        lambda: Analysis.objects.filter(pk=made.pk).delete(),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()
    assert Analysis.objects.get().result["verdict"]["code"] == "not_started"


def test_permissions_and_states() -> None:
    row = make_experiment(metrics=MEAN)
    assert Api("research:read")("POST", "/prompt/analyze").status_code == 403
    assert Api("research:write")("POST", "/nothing/analyze").status_code == 404
    assert not Analysis.objects.exists()
    row.phases.all().delete()
    response = analyse_over_http()
    assert (response.status_code, response.json()["code"]) == (409, "not_started")


def test_a_job_does_large_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    row = make_experiment(metrics=MEAN)
    people(row, 20)
    monkeypatch.setattr(analyse, "AT_ONCE", 39)
    response = analyse_over_http()
    assert response.status_code == 202
    job = Job.objects.get()
    assert response.headers["Location"] == f"/api/v1/common/jobs/{job.pk}"
    assert (job.total, Analysis.objects.count()) == (40, 0)
    assert analyse_over_http().json() == response.json()
    assert run_job(job_id=job.pk)
    job.refresh_from_db()
    assert (job.state, job.result) == ("succeeded", {"analysis": str(Analysis.objects.get().pk)})
    # One that has begun may have read before what came since.
    assert analyse_over_http().status_code == 202
    assert Job.objects.count() == 2


GUARD = {"key": "error", "kind": "proportion", "role": "guardrail", "direction": "decrease", "margin": 0.05}


def test_an_arm_that_breaches_a_guardrail_is_stopped_once_and_told() -> None:
    row = make_experiment(metrics=[*MEAN, GUARD], variants=["control", "good", "bad"])
    people(row, 300, ["control", "good", "bad"])
    fill(row, "error", {"control": [1] * 6, "good": [1] * 6, "bad": [1] * 150})
    told: list[ArmStopped] = []
    subscribe(ArmStopped, "tests.arm_stopped", told.append)
    try:
        before = AuditEvent.objects.filter(target_type="research.Variant").count()
        assert analyse_due() == 1
        assert analyse_due() == 1
        from agent_factory_site.common.models import OutboxMessage

        [message] = OutboxMessage.objects.filter(topic="research.ArmStopped")
        assert message.payload["variant"] == "bad"
        assert message.payload["reason"] == "Breaches its guardrail error by the always-valid bound."
        assert AuditEvent.objects.filter(target_type="research.Variant").count() == before + 1
    finally:
        unsubscribe("tests.arm_stopped")
    stopped = {arm.key: arm.stopped_at is not None for arm in Variant.objects.all()}
    assert stopped == {"control": False, "good": False, "bad": True}
    assert Experiment.objects.get().state == "running"
    assert Analysis.objects.count() == 2


def test_an_arm_inside_its_margin_is_left_alone() -> None:
    row = make_experiment(metrics=[*MEAN, GUARD])
    people(row, 300)
    fill(row, "error", {"control": [1] * 6, "treatment": [1] * 20})
    assert analyse_due() == 1
    assert not Variant.objects.filter(stopped_at__isnull=False).exists()


def grouped(mde: float = 1.0) -> Experiment:
    row = make_experiment(metrics=[{"key": "rating", "kind": "mean", "role": "primary", "mde": mde}])
    Experiment.objects.filter(pk=row.pk).update(
        analysis={"engine": "group_sequential", "planned_looks": 4, "spending": "obrien_fleming"}
    )
    return row


def add(row: Experiment, start: int, stop: int, values: dict[str, Any]) -> None:
    items = []
    for arm, mine in values.items():
        expose(row, [f"{arm}-{place}" for place in range(start, stop)], arm)
        items += [
            result(f"{arm}-{place}", "rating", float(mine[place]), f"{arm}-{place}")
            for place in range(start, stop)
        ]
    assert record_results(experiment=row.pk, results=items).rejected == {}


def test_looks_are_taken_at_planned_information_and_stay() -> None:
    row = grouped()
    values = drawn(400, seed=11)
    assert analyse_due() == 1
    assert not Look.objects.exists()
    assert got("rating")["undefined"] == "empty_arm"
    add(row, 0, 30, values)
    analyse_due()
    first = Look.objects.get()
    assert (first.number, first.planned, first.final) == (1, 0.25, False)
    assert 0.25 <= first.fraction < 0.75
    analyse_due()
    assert Look.objects.count() == 1
    seen = got("rating")
    bound = boundaries((first.fraction,), 0.05, Spending("obrien_fleming"), final=False)[-1]
    a, b = values["control"][:30], values["treatment"][:30]
    error = np.sqrt(a.var(ddof=1) / 30 + b.var(ddof=1) / 30)
    effect = b.mean() - a.mean()
    assert seen["ci"] == pytest.approx([effect - bound * error, effect + bound * error], rel=1e-9)
    add(row, 30, 31, {arm: np.full(400, 500.0) for arm in values})
    assert got("rating") == seen
    answer = Api("research:read")("GET", "/prompt/results").json()
    assert answer["looks"]["taken"][0]["fraction"] == first.fraction
    assert answer["looks"]["next"] == (0.5 if first.fraction < 0.5 else 0.75)
    for change in (lambda: Look.objects.update(fraction=0.9), lambda: Look.objects.all().delete()):
        with pytest.raises(IntegrityError), transaction.atomic():
            change()


def test_the_last_look_is_final_and_another_alpha_sees_the_same_data() -> None:
    row = grouped()
    add(row, 0, 400, drawn(400, seed=11))
    analyse_due()
    look = Look.objects.get()
    assert look.final
    assert look.fraction > 1
    answer = Api("research:read")("GET", "/prompt/results").json()
    assert answer["looks"]["next"] is None
    wide, narrow = got("rating", "?alpha=0.01")["ci"], got("rating")["ci"]
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    add_more = {arm: mine + 5 for arm, mine in drawn(402, seed=11).items()}
    add(row, 400, 402, add_more)
    analyse_due()
    assert Look.objects.count() == 1


def test_an_experiment_that_ends_early_takes_its_last_look() -> None:
    row = grouped(mde=0.5)
    add(row, 0, 30, drawn(40))
    analyse_due()
    assert not Look.objects.exists()
    stop_experiment(experiment=row.pk, decision="ship", reason="Out of time.")
    assert analyse_due() == 1
    look = Look.objects.get()
    assert look.final
    assert look.fraction < 0.25
    assert analyse_due() == 0
    assert got("rating")["ci"] is not None


def test_sums_are_taken_anew_where_they_lost_digits() -> None:
    row = make_experiment(metrics=MEAN)
    people(row, 40)
    generator = np.random.default_rng(1)
    fill(row, "rating", {"control": [0.0, *(1e6 + generator.normal(0, 1, 39))],
                         "treatment": 1e6 + generator.normal(0, 1, 40)})  # fmt: skip
    analyse_experiment(experiment=row.pk)
    data = phase_data(get_experiment(row.pk))
    arm = data.moments[data.metrics[0].pk, data.variants[1].pk]
    assert arm.mean is not None
    assert arm.variance is not None
    assert arm.x_shift > 9e5
    assert AuditEvent.objects.filter(action="rebuild").count() == 1
    assert far_off(0.0, 1e6, 1.0)
    assert not far_off(0.0, 100.0, 1.0)
    assert not far_off(0.0, 5.0, 0.0)
