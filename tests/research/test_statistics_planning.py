"""Plans agree with statsmodels, and size, power and smallest effect with each other."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import power_proportions_2indep

from research.domain.statistics.planning import Design, minimum_detectable_effect, power, sample_size
from research.domain.statistics.sequential import critical_value

pytestmark = pytest.mark.once


@pytest.mark.parametrize("allocation", [1.0, 0.25, 3.0])
@pytest.mark.parametrize(("alpha", "wanted"), [(0.05, 0.8), (0.01, 0.95), (0.3, 0.4)])
def test_sample_size_of_a_mean_agrees_with_statsmodels(
    alpha: float, wanted: float, allocation: float
) -> None:
    design = Design("mean", 10.0, 9.0, mde=0.3, alpha=alpha, power=wanted, allocation=allocation)
    theirs = NormalIndPower().solve_power(0.1, alpha=alpha, power=wanted, ratio=allocation)
    found = sample_size(design)
    assert found.baseline_units == math.ceil(theirs)
    assert found.treatment_units == math.ceil(theirs * allocation)
    assert power(design, 500) == pytest.approx(
        NormalIndPower().power(0.1, 500, alpha, ratio=allocation), rel=1e-10
    )
    effect = minimum_detectable_effect(design, 700)
    reached = NormalIndPower().power(effect / 3, 700, alpha, ratio=allocation)
    assert reached == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize(("base", "mde"), [(0.1, 0.02), (0.5, -0.05), (0.001, 0.001)])
def test_power_of_a_proportion_agrees_with_statsmodels(base: float, mde: float) -> None:
    design = Design("proportion", base, mde=mde)
    for n in (300, 20_000):
        theirs = power_proportions_2indep(mde, base, n).power
        assert power(design, n) == pytest.approx(theirs, rel=1e-6)
    n = sample_size(design).baseline_units
    assert power(design, n) >= 0.8 > power(design, n - 1)


def test_a_published_sample_size() -> None:
    # Fleiss, Levin & Paik (2003), table A.4 without continuity correction: 0.6 against 0.7, alpha 0.05, power 0.8.
    assert sample_size(Design("proportion", 0.6, mde=0.1)).baseline_units == 356


@given(
    st.sampled_from(["mean", "ratio", "count", "proportion"]),
    st.floats(0.05, 0.4),
    st.floats(0.02, 0.2),
    st.sampled_from(["absolute", "relative"]),
    st.sampled_from(["fixed", "sequential"]),
    st.floats(0.3, 3),
)
def test_size_power_and_effect_belong_together(
    kind: str, mean: float, mde: float, scale: str, engine: str, allocation: float
) -> None:
    design = Design(kind, mean, 0.1, mde=mde, scale=scale, engine=engine, allocation=allocation)  # type: ignore[arg-type]
    n = sample_size(design).baseline_units
    assert power(design, n) == pytest.approx(0.8, abs=0.02)
    assert minimum_detectable_effect(design, n) == pytest.approx(mde, rel=0.02)
    assert power(design, n) >= 0.8 - 1e-6
    assert power(replace(design, mde=minimum_detectable_effect(design, n)), n) == pytest.approx(0.8, rel=1e-6)


def test_a_relative_effect_is_the_root_of_its_quadratic() -> None:
    design = Design("mean", 10.0, 100.0, mde=0.1, scale="relative")
    effect = minimum_detectable_effect(design, 400)
    error = math.sqrt((100 + 100 * (1 + effect) ** 2) / (400 * 100))
    z, drift = stats.norm.ppf(0.975), effect / error
    assert stats.norm.sf(z - drift) + stats.norm.cdf(-z - drift) == pytest.approx(0.8, rel=1e-10)
    assert effect > minimum_detectable_effect(replace(design, scale="absolute", mde=1.0), 400) / 10
    with pytest.raises(ValueError, match="no relative effect"):
        minimum_detectable_effect(design, 7)


def test_a_negative_baseline_mirrors_the_plan() -> None:
    up = Design("mean", 10.0, 100.0, mde=-0.1, scale="relative")
    down = Design("mean", -10.0, 100.0, mde=0.1, scale="relative")
    assert sample_size(up).total_units == sample_size(down).total_units
    assert sample_size(replace(up, mde=0.1)).total_units > sample_size(up).total_units


def test_arms_days_and_the_first_step_of_holm() -> None:
    design = Design("mean", 10.0, 9.0, mde=0.3, arms=4, units_per_day=250)
    found = sample_size(design)
    theirs = math.ceil(NormalIndPower().solve_power(0.1, alpha=0.05 / 3, power=0.8))
    assert (found.baseline_units, found.total_units) == (theirs, 4 * theirs)
    assert found.days == math.ceil(4 * theirs / 250)
    assert (found.absolute_mde, found.relative_mde) == (0.3, 0.03)
    assert sample_size(replace(design, corrected=False)).baseline_units < theirs
    half = sample_size(replace(design, variance_reduction=0.5)).baseline_units
    assert half == pytest.approx(theirs / 2, abs=1)


def test_the_sequential_plan_reaches_its_own_critical_value() -> None:
    design = Design("mean", 10.0, 9.0, mde=0.3, engine="sequential")
    n = sample_size(design).baseline_units
    z = 0.3 / math.sqrt(2 * 9 / n)
    assert z == pytest.approx(critical_value(2 * n, 0.05) + stats.norm.ppf(0.8), abs=1e-3)
    assert n > 1.5 * sample_size(replace(design, engine="fixed")).baseline_units


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie"), ({"alpha": 1.0}, "alpha must lie"), ({"power": 1.0}, "power must lie"),
        ({"power": 0.01}, "power must lie"), ({"mde": 0.0}, "must not be zero"), ({"variance": 0.0}, "positive"),
        ({"mean": math.inf}, "finite"), ({"arms": 1}, "two arms"), ({"allocation": 0.0}, "positive"),
        ({"units_per_day": 0.0}, "positive"), ({"kind": "quantile"}, "quantiles cannot be planned"),
        ({"kind": "proportion", "mean": 1.0}, "between 0 and 1"),
        ({"mean": 0.0, "scale": "relative"}, "other than zero"), ({"variance_reduction": 1.0}, "to nothing"),
    ],
)  # fmt: skip
def test_plans_that_cannot_be(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(Design("mean", 10.0, 9.0, mde=0.3), **change)


def test_plans_without_an_answer() -> None:
    with pytest.raises(ValueError, match="smallest effect"):
        sample_size(Design("mean", 1.0, 1.0))
    with pytest.raises(ValueError, match="cannot change"):
        sample_size(Design("proportion", 0.9, mde=0.2))
    with pytest.raises(ValueError, match="1e15"):
        sample_size(Design("mean", 1.0, 1.0, mde=1e-9))
    with pytest.raises(ValueError, match="no effect can be detected"):
        minimum_detectable_effect(Design("proportion", 0.9), 3)
