"""Corrections, sample ratios, margins and signs of ill health against scipy, statsmodels and hand computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.oneway import anova_oneway

from research.domain.statistics.health import (
    Balance,
    DoubleExposure,
    Novelty,
    covariate_balance,
    double_exposure,
    novelty,
)
from research.domain.statistics.moments import Moments, moments_of
from research.domain.statistics.multiplicity import adjusted
from research.domain.statistics.noninferiority import Guardrail, guardrail
from research.domain.statistics.srm import SampleRatio, sample_ratio
from research.domain.statistics.values import ArmSummary, Direction, Scale, Undefined

pytestmark = pytest.mark.once


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_corrections_agree_with_statsmodels(p_values: list[float]) -> None:
    for ours, theirs in (("holm", "holm"), ("bh", "fdr_bh")):
        wanted = multipletests(p_values, method=theirs)[1]
        assert adjusted(p_values, ours) == pytest.approx(wanted, rel=1e-12, abs=1e-300)  # type: ignore[arg-type]


def test_what_is_undefined_counts_for_nothing() -> None:
    assert adjusted([0.01, None, 0.04], "holm") == [0.02, None, 0.04]
    assert adjusted([0.01, None, 0.04], "bh") == [0.02, None, 0.04]
    assert adjusted([0.01, None], "none") == [0.01, None]
    assert adjusted([], "holm") == []
    with pytest.raises(ValueError, match="between 0 and 1"):
        adjusted([math.nan], "holm")


def test_sample_ratio_over_eligible_arms() -> None:
    found = sample_ratio([5100, 4900, 33], [0.5, 0.5, 0.0])
    theirs = stats.chisquare([5100, 4900])
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-12)
    assert (found.chi_square, found.degrees_of_freedom, found.ok) == (
        pytest.approx(theirs.statistic),
        1,
        True,
    )
    uneven = sample_ratio([900, 50, 50], [0.8, 0.1, 0.1])
    assert uneven.p_value == pytest.approx(stats.chisquare([900, 50, 50], [800, 100, 100]).pvalue, rel=1e-9)
    assert not uneven.ok


def test_an_eligible_arm_without_units_is_a_mismatch_and_nothing_is_nothing() -> None:
    assert not sample_ratio([100, 0], [0.5, 0.5]).ok
    assert sample_ratio([0, 0], [0.5, 0.5]) == SampleRatio(None, True, None, 1)
    assert sample_ratio([10, 10], [1.0, 0.0]) == SampleRatio(None, True, None, 0)
    assert sample_ratio([100] * 50, [0.02] * 50).p_value == 1.0
    with pytest.raises(ValueError, match="its weight"):
        sample_ratio([1], [0.5, 0.5])


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_balance_is_welchs_analysis_of_variance(offset: float) -> None:
    rng = np.random.default_rng(4)
    groups = [rng.normal(0.1 * i, 1 + i, 60 + 30 * i) + offset for i in range(3)]
    found = covariate_balance([moments_of(np.zeros(len(one)), covariates=one) for one in groups])
    theirs = anova_oneway([one - offset for one in groups], use_var="unequal", welch_correction=True)
    assert isinstance(found, Balance)
    assert found.f_statistic == pytest.approx(theirs.statistic, rel=1e-6)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-6)
    two = covariate_balance([moments_of(np.zeros(len(one)), covariates=one) for one in groups[:2]])
    assert isinstance(two, Balance)
    assert two.p_value == pytest.approx(stats.ttest_ind(*groups[:2], equal_var=False).pvalue, rel=1e-6)


def test_balance_needs_a_covariate() -> None:
    assert covariate_balance([Moments(0), Moments(0)]) == Undefined("empty_arm")
    assert covariate_balance([moments_of([1.0, 2.0])] * 2) == Undefined("no_covariate")


def test_units_in_two_variants() -> None:
    assert double_exposure(10, 1000) == DoubleExposure(0.01, True)
    assert double_exposure(11, 1000) == DoubleExposure(0.011, False)
    assert double_exposure(0, 0) == DoubleExposure(None, True)
    with pytest.raises(ValueError, match="among the exposed"):
        double_exposure(2, 1)


def test_novelty_is_a_weighted_regression() -> None:
    rng = np.random.default_rng(6)
    periods = []
    for day in range(8):
        n = 100 + 20 * day
        periods.append(
            (ArmSummary(n, 5.0, 2.0), ArmSummary(n, 5.0 + 0.8 - 0.1 * day + 0.02 * rng.normal(), 3.0))
        )
    found = novelty(periods)
    assert isinstance(found, Novelty)
    effects = np.array([b.mean - a.mean for a, b in periods])
    weights = np.array([1 / (a.error + b.error) for a, b in periods])
    design = np.column_stack([np.ones(8), np.arange(8.0)])
    covariance = np.linalg.inv(design.T @ (design * weights[:, None]))
    slope = (covariance @ design.T @ (weights * effects))[1]
    assert found.slope == pytest.approx(slope, rel=1e-9)
    z = slope / math.sqrt(covariance[1, 1])
    assert found.trend_p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)
    centre = (weights * effects).sum() / weights.sum()
    assert found.p_value == pytest.approx(
        stats.chi2.sf((weights * (effects - centre) ** 2).sum(), 7), rel=1e-9
    )
    assert (found.fades, found.periods) == (True, 8)
    grows = novelty([(b, a) if day < 4 else (a, b) for day, (a, b) in enumerate(periods)])
    assert isinstance(grows, Novelty)
    assert novelty(periods[:2]) == Undefined("too_few_units")
    assert (
        novelty([(a, ArmSummary(b.n, b.mean + 0.1 * day, 3.0)) for day, (a, b) in enumerate(periods)]).fades
        is False
    )  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("direction", "scale", "base", "treated", "state"),
    [
        ("decrease", "absolute", 1.0, 1.02, "held"), ("decrease", "absolute", 1.0, 1.05, "open"),
        ("decrease", "absolute", 1.0, 1.09, "breached"), ("increase", "absolute", 1.0, 0.91, "breached"),
        ("increase", "absolute", 1.0, 1.5, "held"), ("decrease", "relative", -1.0, -0.91, "breached"),
        ("decrease", "relative", -1.0, -1.2, "held"), ("increase", "relative", 2.0, 1.97, "held"),
        ("increase", "relative", 2.0, 1.8, "breached"),
    ],
)  # fmt: skip
def test_margins(direction: Direction, scale: Scale, base: float, treated: float, state: str) -> None:
    found = guardrail(
        ArmSummary(10_000, base, 0.5), ArmSummary(10_000, treated, 0.5),
        direction=direction, margin=0.05, scale=scale, critical_value=2.0,
    )  # fmt: skip
    assert isinstance(found, Guardrail)
    assert found.state == state
    error = math.sqrt(1e-4)
    if scale == "absolute":
        assert found.interval.high - found.interval.low == pytest.approx(4 * error)
        harm = treated - base if direction == "decrease" else base - treated
        assert found.excess == pytest.approx(harm - 0.05)


def test_a_relative_margin_is_tested_with_the_error_of_the_baseline() -> None:
    found = guardrail(
        ArmSummary(100, 4.0, 2.0), ArmSummary(50, 4.5, 3.0),
        direction="decrease", margin=0.1, scale="relative", critical_value=1.0,
    )  # fmt: skip
    assert isinstance(found, Guardrail)
    assert found.excess == pytest.approx(4.5 - 1.1 * 4.0)
    assert found.interval.high - found.excess == pytest.approx(math.sqrt(3 / 50 + 1.21 * 2 / 100))
    flat = ArmSummary(100, 1.0, 0.0)
    same = guardrail(flat, flat, direction="increase", margin=0.1, scale="absolute", critical_value=2.0)
    assert same == Undefined("zero_variance")
    for bad in (-0.1, math.inf):
        with pytest.raises(ValueError, match="margin must"):
            guardrail(flat, flat, direction="increase", margin=bad, scale="absolute", critical_value=2.0)
