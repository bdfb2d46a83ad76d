"""Tests of two arms agree with scipy and statsmodels to 1e-6 or better, and keep the laws they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    proportions_ztest,
)
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from research.domain.statistics.cuped import Adjusted, adjust_means, adjust_ratios
from research.domain.statistics.means import Estimate, mean_summary, welch
from research.domain.statistics.moments import Moments, moments_of
from research.domain.statistics.proportions import (
    clopper_pearson,
    compare_proportions,
    difference_interval,
    fisher,
    pooled_z,
    wilson,
)
from research.domain.statistics.quantiles import quantile_of
from research.domain.statistics.ratios import ratio_summary
from research.domain.statistics.relative import Lift, relative_effect
from research.domain.statistics.stratification import stratified_means
from research.domain.statistics.values import ArmSummary, Undefined
from research.domain.statistics.winsorizing import thresholds

pytestmark = pytest.mark.once

GENERATOR = np.random.default_rng(7)
A = GENERATOR.normal(10, 3, 400)
B = GENERATOR.normal(10.6, 5, 150)


def _summary(values: object) -> ArmSummary:
    found = mean_summary(moments_of(values))  # type: ignore[arg-type]
    assert isinstance(found, ArmSummary)
    return found


def _welch(a: object, b: object, alpha: float = 0.05) -> Estimate:
    found = welch(_summary(a), _summary(b), alpha)
    assert isinstance(found, Estimate)
    return found


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_welch_agrees_with_scipy_and_statsmodels(alpha: float, offset: float) -> None:
    found = _welch(A + offset, B + offset, alpha)
    theirs = stats.ttest_ind(B, A, equal_var=False)
    interval = theirs.confidence_interval(1 - alpha)
    rel = 1e-6 if offset else 1e-10
    assert found.p_value == pytest.approx(theirs.pvalue, rel=rel)
    assert found.degrees_of_freedom == pytest.approx(theirs.df, rel=rel)
    assert found.interval == pytest.approx((interval.low, interval.high), rel=rel)
    other = CompareMeans(DescrStatsW(B), DescrStatsW(A)).tconfint_diff(alpha, usevar="unequal")
    assert found.interval == pytest.approx(other, rel=rel)


def test_the_smallest_arms_agree_too() -> None:
    found = _welch([1.0, 2.0], [3.0, 7.0])
    assert found.p_value == pytest.approx(stats.ttest_ind([3, 7], [1, 2], equal_var=False).pvalue, rel=1e-12)


values = st.lists(st.integers(-100, 100).map(float), min_size=2, max_size=30)


@given(values, values, st.integers(-(10**9), 10**9), st.sampled_from([0.001, 0.5, 3.0, 1e6, -2.0]))
def test_shift_and_scale_laws(a: list[float], b: list[float], shift: int, scale: float) -> None:
    assume(len(set(a)) > 1 or len(set(b)) > 1)
    plain = _welch(a, b)
    moved = _welch([x + shift for x in a], [x + shift for x in b])
    assert moved.effect == pytest.approx(plain.effect, rel=1e-6, abs=1e-6)
    assert moved.p_value == pytest.approx(plain.p_value, rel=1e-5, abs=1e-9)
    scaled = _welch([x * scale for x in a], [x * scale for x in b])
    assert scaled.effect == pytest.approx(plain.effect * scale, rel=1e-9, abs=1e-9 * abs(scale))
    assert scaled.standard_error == pytest.approx(plain.standard_error * abs(scale), rel=1e-9)
    assert scaled.p_value == pytest.approx(plain.p_value, rel=1e-7)


@given(values, values)
def test_swapping_the_arms_mirrors_the_result(a: list[float], b: list[float]) -> None:
    assume(len(set(a)) > 1 or len(set(b)) > 1)
    one, other = _welch(a, b), _welch(b, a)
    assert other.effect == -one.effect
    assert other.p_value == pytest.approx(one.p_value, rel=1e-12)
    assert other.interval == pytest.approx((-one.interval.high, -one.interval.low), rel=1e-12, abs=1e-12)


def test_ratio_is_welch_on_the_linearised_values() -> None:
    rng = np.random.default_rng(3)
    arms = []
    for n, price in ((700, 2.0), (300, 2.3)):
        d = rng.poisson(4, n).astype(float)
        arms.append((d * price + rng.normal(size=n), d))
    summaries = [ratio_summary(moments_of(x, d)) for x, d in arms]
    linear = []
    for (x, d), one in zip(arms, summaries):
        assert isinstance(one, ArmSummary)
        ratio = x.sum() / d.sum()
        assert one.mean == pytest.approx(ratio, rel=1e-12)
        line = ratio + (x - ratio * d) / d.mean()
        assert one.variance == pytest.approx(line.var(ddof=1), rel=1e-10)
        # The textbook form of the delta method.
        s = np.cov(x, d, ddof=1)
        book = ratio**2 * (
            s[0, 0] / x.mean() ** 2 + s[1, 1] / d.mean() ** 2 - 2 * s[0, 1] / (x.mean() * d.mean())
        )
        assert one.variance == pytest.approx(book, rel=1e-10)
        linear.append(line)
    found = welch(summaries[0], summaries[1], 0.05)  # type: ignore[arg-type]
    assert isinstance(found, Estimate)
    assert found.p_value == pytest.approx(stats.ttest_ind(*linear, equal_var=False).pvalue, rel=1e-9)


def test_ratios_without_denominator_or_spread_are_undefined() -> None:
    assert ratio_summary(moments_of([1.0, 2.0], [0.0, 0.0])) == Undefined("zero_denominator")
    assert ratio_summary(Moments(0)) == Undefined("empty_arm")
    assert ratio_summary(moments_of([1.0], [2.0])) == Undefined("one_unit")
    proportional = ratio_summary(moments_of([0.3, 0.6, 0.9], [0.1, 0.2, 0.3]))
    assert isinstance(proportional, ArmSummary)
    assert proportional.variance == 0.0


def test_relative_effect_by_the_delta_method() -> None:
    base, treated = _summary(A), _summary(B)
    found = relative_effect(base, treated)
    assert isinstance(found, Lift)
    assert found.lift == pytest.approx((B.mean() - A.mean()) / A.mean(), rel=1e-12)
    squared = B.var(ddof=1) / (150 * A.mean() ** 2) + A.var(ddof=1) * B.mean() ** 2 / (400 * A.mean() ** 4)
    assert found.standard_error == pytest.approx(math.sqrt(squared), rel=1e-12)


def test_a_negative_baseline_keeps_the_sign_of_the_effect() -> None:
    found = relative_effect(ArmSummary(50, -100.0, 25.0), ArmSummary(50, -80.0, 25.0))
    mirrored = relative_effect(ArmSummary(50, 100.0, 25.0), ArmSummary(50, 80.0, 25.0))
    assert isinstance(found, Lift)
    assert isinstance(mirrored, Lift)
    assert found.lift == pytest.approx(0.2, rel=1e-12)
    assert mirrored.lift == pytest.approx(-0.2, rel=1e-12)
    assert found.standard_error == pytest.approx(mirrored.standard_error, rel=1e-12)
    zero = relative_effect(ArmSummary(5, 0.0, 1.0), ArmSummary(5, 1.0, 1.0))
    assert zero == Undefined("zero_baseline")


@pytest.mark.parametrize(("count", "n"), [(0, 20), (1, 20), (7, 31), (20, 20), (999, 100_000)])
def test_intervals_of_one_share_agree_with_statsmodels(count: int, n: int) -> None:
    for ours, method in ((wilson, "wilson"), (clopper_pearson, "beta")):
        theirs = proportion_confint(count, n, 0.03, method=method)
        assert ours(count, n, 0.03) == pytest.approx(theirs, rel=1e-9, abs=1e-15)


def test_newcombe_agrees_with_statsmodels_and_with_his_table() -> None:
    theirs = confint_proportions_2indep(25, 118, 14, 120, method="newcomb", compare="diff")
    assert difference_interval((14, 120), (25, 118), 0.05) == pytest.approx(theirs, rel=1e-9)
    # Newcombe (1998), table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 5/56 - 0/29.
    for treatment, baseline, wanted in (
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ):
        assert difference_interval(baseline, treatment, 0.05) == pytest.approx(wanted, abs=5e-5)


def test_the_pooled_z_is_that_of_statsmodels() -> None:
    z, p = proportions_ztest([25, 14], [118, 120])
    assert pooled_z((14, 120), (25, 118)) == pytest.approx(z, rel=1e-12)
    found = compare_proportions((14, 120), (25, 118), 0.05)
    assert not isinstance(found, Undefined)
    assert found[0].p_value == pytest.approx(p, rel=1e-12)
    assert found[1] == "newcombe"


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_fisher_agrees_with_scipy(m: int, n: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, m)), data.draw(st.integers(0, n))
    theirs = stats.fisher_exact([[x, m - x], [y, n - y]]).pvalue
    assert fisher((x, m), (y, n)) == pytest.approx(theirs, rel=1e-8, abs=1e-300)
    assert fisher((y, n), (x, m)) == pytest.approx(theirs, rel=1e-8, abs=1e-300)


@pytest.mark.parametrize(
    ("first", "second"),
    [((3, 100_000), (9, 100_000)), ((5, 1000), (60, 5000)), ((9, 10**7), (30_000, 10**7))],
)
def test_fisher_of_large_arms(first: tuple[int, int], second: tuple[int, int]) -> None:
    (x, m), (y, n) = first, second
    if n < 10**6:
        theirs = stats.fisher_exact([[x, m - x], [y, n - y]]).pvalue
        assert fisher(first, second) == pytest.approx(theirs, rel=1e-6)
    else:
        assert fisher(first, second) == 0.0


@pytest.mark.parametrize(
    ("baseline", "treatment", "method"),
    [((9, 100), (20, 100), "exact"), ((10, 100), (20, 100), "newcombe"), ((95, 100), (50, 100), "exact")],
)
def test_fewer_than_ten_events_are_compared_exactly(
    baseline: tuple[int, int], treatment: tuple[int, int], method: str
) -> None:
    found = compare_proportions(baseline, treatment, 0.05)
    assert not isinstance(found, Undefined)
    assert found[1] == method
    if method == "exact":
        table = [[baseline[0], baseline[1] - baseline[0]], [treatment[0], treatment[1] - treatment[0]]]
        assert found[0].p_value == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-9)
        narrower = difference_interval(baseline, treatment, 0.05)
        assert found[0].interval.low < narrower.low
        assert found[0].interval.high > narrower.high


def test_cuped_with_one_pooled_theta() -> None:
    rng = np.random.default_rng(11)
    c1, c2 = rng.normal(5, 2, 500), rng.normal(5.2, 2, 300)
    y1, y2 = 3 * c1 + rng.normal(size=500), 3 * c2 + 0.4 + rng.normal(size=300)
    found = adjust_means(moments_of(y1, covariates=c1), moments_of(y2, covariates=c2))
    assert isinstance(found, Adjusted)
    y, c = np.concatenate([y1, y2]), np.concatenate([c1, c2])
    theta = np.cov(y, c)[0, 1] / c.var(ddof=1)
    assert found.theta == pytest.approx(theta, rel=1e-10)
    left, right = y1 - theta * (c1 - c.mean()), y2 - theta * (c2 - c.mean())
    ours = welch(found.baseline, found.treatment, 0.05)
    assert isinstance(ours, Estimate)
    theirs = stats.ttest_ind(right, left, equal_var=False)
    assert ours.effect == pytest.approx(right.mean() - left.mean(), rel=1e-10)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-7)
    before = y1.var(ddof=1) / 500 + y2.var(ddof=1) / 300
    assert found.variance_reduction == pytest.approx(1 - ours.standard_error**2 / before, rel=1e-10)


def test_cuped_of_a_ratio_works_on_its_linearised_value() -> None:
    rng = np.random.default_rng(12)
    arms = []
    for n in (400, 300):
        c = rng.normal(size=n)
        d = rng.poisson(4, n) + 1.0
        arms.append((d * (2 + 0.5 * c) + rng.normal(size=n), d, c))
    found = adjust_ratios(moments_of(*arms[0]), moments_of(*arms[1]))
    assert isinstance(found, Adjusted)
    x, d, c = (np.concatenate(columns) for columns in zip(*arms))
    theta = np.cov((x - x.sum() / d.sum() * d) / d.mean(), c)[0, 1] / c.var(ddof=1)
    assert found.theta == pytest.approx(theta, rel=1e-10)
    for (x, d, own), one in zip(arms, (found.baseline, found.treatment)):
        ratio = x.sum() / d.sum()
        line = ratio + (x - ratio * d) / d.mean() - theta * (own - c.mean())
        assert one.mean == pytest.approx(line.mean(), rel=1e-10)
        assert one.variance == pytest.approx(line.var(ddof=1), rel=1e-9)


def test_cuped_without_a_varying_covariate_is_undefined() -> None:
    same = moments_of([1.0, 2.0], covariates=[3.0, 3.0])
    assert adjust_means(same, same) == Undefined("no_covariate")
    assert adjust_means(same, Moments(0)) == Undefined("empty_arm")


def test_post_stratification_weighs_strata_by_their_pooled_share() -> None:
    rng = np.random.default_rng(13)
    strata = [
        (rng.normal(level, 1, n), rng.normal(level + 0.5, 2, m)) for level, n, m in ((0, 80, 20), (9, 30, 70))
    ]
    found = stratified_means([moments_of(a) for a, _ in strata], [moments_of(b) for _, b in strata])
    assert not isinstance(found, Undefined)
    for arm, one in enumerate(found):
        assert one.mean == pytest.approx(sum(0.5 * pair[arm].mean() for pair in strata), rel=1e-12)
        error = sum(0.25 * pair[arm].var(ddof=1) / len(pair[arm]) for pair in strata)
        assert one.error == pytest.approx(error, rel=1e-12)
    assert stratified_means([moments_of([1.0])], [moments_of([1.0, 2.0])]) == Undefined("empty_stratum")


def test_order_statistics_of_independent_events() -> None:
    events = np.random.default_rng(14).permutation(np.arange(1.0, 1001.0))
    found = quantile_of(events, 0.9)
    reach = 1.959963984540054 * math.sqrt(0.9 * 0.1 / 1000)
    assert found.estimate == 900.0
    assert (found.low, found.high) == (math.floor(1000 * (0.9 - reach)), math.ceil(1000 * (0.9 + reach)))
    summary = found.summary()
    assert isinstance(summary, ArmSummary)
    assert math.sqrt(summary.error) == pytest.approx(
        (found.high - found.low) / (2 * 1.959963984540054), rel=1e-9
    )


def test_events_of_one_unit_widen_the_interval_by_the_cluster_factor() -> None:
    rng = np.random.default_rng(15)
    level = rng.normal(size=500)
    values, owners = (np.repeat(level, 8) + 0.1 * rng.normal(size=4000)), np.repeat(np.arange(500), 8)
    single, clustered = quantile_of(values, 0.5), quantile_of(values, 0.5, owners)
    below = np.bincount(owners, weights=values <= single.estimate)
    spread = np.var(below - 8 * 0.5, ddof=1) * 500 / 4000**2
    reach = 1.959963984540054 * math.sqrt(spread)
    ordered = np.sort(values)
    assert clustered.low == ordered[math.floor(4000 * (0.5 - reach)) - 1]
    assert clustered.high == ordered[math.ceil(4000 * (0.5 + reach)) - 1]
    assert clustered.units == 500
    assert (clustered.high - clustered.low) / (single.high - single.low) > 2.3


def test_one_event_per_unit_is_the_binomial_case() -> None:
    values = np.random.default_rng(16).normal(size=2000)
    alone, owned = quantile_of(values, 0.75), quantile_of(values, 0.75, np.arange(2000))
    assert abs(np.searchsorted(np.sort(values), alone.low) - np.searchsorted(np.sort(values), owned.low)) <= 1


def test_quantile_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(17)
    truth, inside = math.exp(stats.norm.ppf(0.95)), 0
    for _ in range(600):
        found = quantile_of(rng.lognormal(size=800), 0.95)
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= truth <= found.high
    # The error of a share of 0.95 over 600 is 0.009; the ranks are rounded outwards.
    assert 0.93 <= inside / 600 <= 0.985


@pytest.mark.parametrize(("q", "value"), [(0, 1.0), (1, 9.0)])
def test_quantiles_0_and_1_have_a_value_and_no_interval(q: float, value: float) -> None:
    found = quantile_of([9.0, 1.0, 5.0], q)
    assert (found.estimate, found.low, found.high) == (value, None, None)
    assert found.summary() == Undefined("extreme_quantile")


def test_quantiles_that_cannot_be() -> None:
    assert quantile_of([], 0.5).summary() == Undefined("empty_arm")
    assert quantile_of([1.0, 2.0, 3.0], 0.95).summary() == Undefined("too_few_events")
    for q in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            quantile_of([1.0], q)
    with pytest.raises(ValueError, match="finite"):
        quantile_of([1.0, math.inf], 0.5)


def test_winsorising_thresholds_are_pooled_percentiles() -> None:
    values = np.arange(101.0)
    found = thresholds(values, 0.05, 0.9)
    assert (found.low, found.high) == (5.0, 90.0)
    assert found.apply([0.0, 50.0, 100.0]).tolist() == [5.0, 50.0, 90.0]
    assert thresholds(values) == thresholds([])
    zeros = np.concatenate([np.zeros(1000), values[1:]])
    assert thresholds(zeros, upper=0.99, ignore_zeros=True).high == pytest.approx(99.01)
    with pytest.raises(ValueError, match="lower < upper"):
        thresholds(values, 0.9, 0.1)
