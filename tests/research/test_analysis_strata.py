"""Post-stratification over HTTP: arms whose days, or whose people, differ by chance are compared like with like."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from research.models import Analysis, Experiment
from research.services.record_results import record_results

from .experiment_calls import Api
from .experiment_setup import definition
from .results_world import START, expose, make_experiment, result
from .test_analysis_results import MEAN, fill, got

pytestmark = pytest.mark.django_db

DAYS: dict[str, tuple[int, ...]] = {"control": (30, 60, 40), "treatment": (70, 20, 40)}
"""Units of each arm by the day of their first exposure."""


def uneven(metric: dict[str, Any], kind: str) -> dict[str, list[Any]]:
    """Values by arm and day: later days are worth more, and the treatment adds 1."""
    row = make_experiment(metrics=[metric])
    generator = np.random.default_rng(3)
    found: dict[str, list[Any]] = {}
    for arm, sizes in DAYS.items():
        for day, size in enumerate(sizes):
            units = [f"{arm}-{day}-{place}" for place in range(size)]
            expose(row, units, arm, at=START + timedelta(days=day))
            level = 10 * day + (arm == "treatment")
            values = generator.normal(level, 2, size)
            if kind == "proportion":
                values = (generator.random(size) < 0.2 + 0.2 * day + 0.1 * (arm == "treatment")) * 1.0
            found.setdefault(arm, []).append(values)
            items = [
                result(unit, metric["key"], float(value), f"e-{unit}", minutes=5000, covariate=day)
                for unit, value in zip(units, values, strict=True)
            ]
            assert record_results(experiment=row.pk, results=items).rejected == {}
    return found


def expected(found: dict[str, list[Any]]) -> tuple[float, float]:
    """Effect and its standard error by the formula: stratum means weighted by the pooled share of units."""
    weights = np.array([sum(len(found[arm][day]) for arm in DAYS) for day in range(3)], float)
    weights /= weights.sum()
    means = {arm: np.array([each.mean() for each in found[arm]]) for arm in DAYS}
    errors = [
        weights[day] ** 2 * found[arm][day].var(ddof=1) / len(found[arm][day])
        for arm in DAYS
        for day in range(3)
    ]
    return float(weights @ (means["treatment"] - means["control"])), float(np.sqrt(sum(errors)))


def stratify(by: str | None) -> None:
    Experiment.objects.update(analysis={"stratify": by})
    assert Api("research:write")("POST", "/prompt/analyze").status_code == 200


@pytest.mark.parametrize("kind", ["mean", "proportion", "count"])
def test_arms_of_uneven_days_are_compared_day_by_day(kind: str) -> None:
    metric = {"key": "rating", "kind": kind, "role": "primary"}
    if kind == "count":
        metric["kind"] = "mean"
        metric["aggregate"] = "sum"
        metric["missing"] = "zero"
    found = uneven(metric, kind)
    raw = np.concatenate(found["treatment"]).mean() - np.concatenate(found["control"]).mean()
    assert got("rating", "?engine=fixed")["effect"] == pytest.approx(raw, rel=1e-9)
    Experiment.objects.update(analysis={"stratify": "day"})
    assert got("rating")["undefined"] == "not_analysed"
    stratify("day")
    one = got("rating", "?engine=fixed")
    effect, error = expected(found)
    assert one["effect"] == pytest.approx(effect, rel=1e-9)
    assert "post-stratified" in one["method"]
    low, high = one["ci"]
    # By Welch's t, whose degrees of freedom are some 250: within a hundredth of the normal interval.
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.01)
    assert (high + low) / 2 == pytest.approx(effect, rel=1e-9)
    if kind == "mean":
        assert raw < 0 < effect
    stored = json.loads(json.dumps(Analysis.objects.latest("as_of").inputs))
    strata = stored["metrics"]["rating"]["control"]["strata"]
    assert [each[0] for each in strata] == list(DAYS["control"])


def test_covariates_divide_units_as_the_segments_do() -> None:
    found = uneven({**MEAN[0]}, "mean")
    stratify("covariate")
    one = got("rating", "?engine=fixed")
    # Half of all units lie at or below the median covariate: days 0 and 1 are low, day 2 is high.
    both = {arm: [np.concatenate(found[arm][:2]), found[arm][2]] for arm in DAYS}
    sizes = np.array([sum(len(both[arm][place]) for arm in DAYS) for place in range(2)], float)
    effects = [both["treatment"][place].mean() - both["control"][place].mean() for place in range(2)]
    assert one["effect"] == pytest.approx(float(sizes @ effects / sizes.sum()), rel=1e-9)


def test_a_stratum_without_enough_units_leaves_the_comparison_as_it_is() -> None:
    row = make_experiment(metrics=MEAN)
    expose(row, [f"control-{place}" for place in range(40)])
    expose(row, [f"treatment-{place}" for place in range(39)], "treatment")
    expose(row, ["treatment-39"], "treatment", at=START + timedelta(minutes=30))
    expose(row, ["late"], "treatment", at=START + timedelta(days=1))
    values = {arm: [float(place) for place in range(40)] for arm in DAYS}
    fill(row, "rating", values)
    stratify("day")
    one = got("rating", "?engine=fixed")
    assert one["method"] == "fixed horizon, welch, post-stratified"
    assert record_results(
        experiment=row.pk, results=[result("late", "rating", 9.0, "l", minutes=5000)]
    ).accepted
    stratify("day")
    assert got("rating", "?engine=fixed")["method"] == "fixed horizon, welch"


def test_an_unknown_stratum_is_refused() -> None:
    response = Api("research:write")("POST", "", definition(analysis={"stratify": "country"}))
    assert response.status_code == 400
    assert [(each["pointer"], each["code"]) for each in response.json()["errors"]] == [
        ("/analysis/stratify", "unknown_stratify")
    ]
    made = Api("research:write")("POST", "", definition(analysis={"stratify": "day"}))
    assert made.json()["analysis"]["stratify"] == "day"
