"""Paired tests agree with scipy and statsmodels; repetitions and missing items are counted as they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from research.domain.statistics.paired import (
    McNemarResult,
    WilcoxonResult,
    bootstrap_interval,
    compare_pairs,
    wilcoxon,
)
from research.domain.statistics.values import Interval, Undefined

pytestmark = pytest.mark.once


def _pairs(n: int, effect: float = 0.3) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    rng = np.random.default_rng(n)
    level = rng.normal(size=n)
    first, second = level + rng.normal(size=n), level + effect + rng.normal(size=n)
    return {str(i): [a] for i, a in enumerate(first)}, {str(i): [b] for i, b in enumerate(second)}


@pytest.mark.parametrize("n", [3, 12, 50, 51, 400])
def test_t_and_wilcoxon_agree_with_scipy(n: int) -> None:
    first, second = _pairs(n)
    found = compare_pairs(first, second, alpha=0.1)
    a = np.array([first[str(i)][0] for i in range(n)])
    b = np.array([second[str(i)][0] for i in range(n)])
    theirs = stats.ttest_rel(b, a)
    interval = theirs.confidence_interval(0.9)
    assert isinstance(found.t_test, tuple)
    assert found.t_test[1] == pytest.approx(theirs.pvalue, rel=1e-10)
    assert found.t_test[0] == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert found.effect == pytest.approx((b - a).mean(), rel=1e-12)
    assert isinstance(found.wilcoxon, WilcoxonResult)
    signed = stats.wilcoxon(b, a, method="exact" if n <= 50 else "asymptotic")
    assert found.wilcoxon.exact == (n <= 50)
    assert found.wilcoxon.statistic == signed.statistic
    assert found.wilcoxon.p_value == pytest.approx(signed.pvalue, rel=1e-9)
    assert (found.wins, found.ties, found.losses) == (int((b > a).sum()), 0, int((b < a).sum()))


@given(st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=10))
def test_ties_are_enumerated_exactly(differences: list[float]) -> None:
    found = wilcoxon(np.array(differences))
    kept = np.array([one for one in differences if one])
    if not len(kept):
        assert found == Undefined("zero_variance")
        return
    ranks = stats.rankdata(np.abs(kept))
    signs = (np.arange(2 ** len(kept))[:, None] >> np.arange(len(kept))) & 1
    sums = signs @ ranks
    observed = min(ranks[kept > 0].sum(), ranks[kept < 0].sum())
    assert isinstance(found, WilcoxonResult)
    assert found.statistic == observed
    assert found.p_value == pytest.approx(min(1.0, 2 * (sums <= observed).mean()), rel=1e-12)


def test_many_ties_are_corrected_for() -> None:
    differences = np.random.default_rng(2).integers(-3, 6, 300).astype(float)
    found = wilcoxon(differences)
    theirs = stats.wilcoxon(differences, method="asymptotic", zero_method="wilcox")
    assert isinstance(found, WilcoxonResult)
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9)


@pytest.mark.parametrize(("b", "c"), [(1, 9), (0, 5), (7, 7), (40, 12)])
def test_mcnemar_agrees_with_statsmodels(b: int, c: int) -> None:
    rows = [(1.0, 0.0)] * b + [(0.0, 1.0)] * c + [(1.0, 1.0)] * 20 + [(0.0, 0.0)] * 3
    first = {str(i): [one] for i, (one, _) in enumerate(rows)}
    second = {str(i): [two] for i, (_, two) in enumerate(rows)}
    found = compare_pairs(first, second, direction="decrease")
    assert found.mcnemar == McNemarResult(b, c, found.mcnemar.p_value)  # type: ignore[union-attr]
    theirs = statsmodels_mcnemar([[20, b], [c, 3]], exact=True)
    assert found.mcnemar.p_value == pytest.approx(theirs.pvalue, rel=1e-10)  # type: ignore[union-attr]
    assert (found.wins, found.ties, found.losses) == (b, 23, c)


def test_repetitions_are_averaged_within_the_item_first() -> None:
    found = compare_pairs(
        {"a": [0.0, 1.0, 1.0, 0.0], "b": [1.0], "c": [0.0]}, {"a": [1.0] * 10, "b": [1.0], "c": [0.5, 1.0]}
    )
    assert (found.items, found.effect) == (3, pytest.approx((0.5 + 0 + 0.75) / 3))
    assert (found.wins, found.ties, found.losses) == (2, 1, 0)
    assert found.mcnemar == Undefined("not_binary")


def test_items_that_an_arm_lacks_are_left_out_and_counted() -> None:
    first = {"a": [1.0], "b": [2.0], "c": [], "d": [4.0]}
    second = {"b": [3.0], "c": [1.0], "d": [7.0], "e": [1.0]}
    found = compare_pairs(first, second)
    assert (found.items, found.missing_baseline, found.missing_treatment, found.effect) == (2, 2, 1, 2.0)
    nothing = compare_pairs({"a": [1.0]}, {"b": [1.0]})
    assert (nothing.items, nothing.effect, nothing.t_test) == (0, None, Undefined("empty_arm"))
    assert nothing.wilcoxon == nothing.mcnemar == nothing.bootstrap == Undefined("empty_arm")


def test_equal_arms_and_a_single_item_have_no_test() -> None:
    same = {str(i): [float(i % 2)] for i in range(10)}
    found = compare_pairs(same, same)
    assert found.t_test == found.wilcoxon == found.mcnemar == found.bootstrap == Undefined("zero_variance")
    assert (found.effect, found.ties) == (0.0, 10)
    moved = compare_pairs(same, {item: [one + 0.1 for one in values] for item, values in same.items()})
    assert moved.t_test == Undefined("zero_variance")
    assert compare_pairs({"a": [1.0]}, {"a": [2.0]}).t_test == Undefined("one_unit")


def test_the_bootstrap_is_seeded_and_near_the_t_interval() -> None:
    first, second = _pairs(300)
    found = compare_pairs(first, second, seed=5)
    assert found.bootstrap == compare_pairs(first, second, seed=5).bootstrap
    assert found.bootstrap != compare_pairs(first, second, seed=6).bootstrap
    assert isinstance(found.t_test, tuple)
    assert found.bootstrap == pytest.approx(found.t_test[0], abs=0.03)
    differences = np.array([second[str(i)][0] - first[str(i)][0] for i in range(300)])
    rng = np.random.default_rng(5)
    means = differences[rng.integers(0, 300, (2000, 300))].mean(axis=1)
    found_again = bootstrap_interval(differences, 0.05, seed=5)
    assert found_again == Interval(*np.quantile(means, [0.025, 0.975]))


def test_bad_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        compare_pairs({"a": [math.inf]}, {"a": [1.0]})
    with pytest.raises(ValueError, match="alpha"):
        compare_pairs({"a": [1.0]}, {"a": [1.0]}, alpha=1.0)
