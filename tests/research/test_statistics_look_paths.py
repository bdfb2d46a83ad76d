"""Looks by one clock, and metrics whose information comes by another: boundaries, levels and p-values."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from research.domain.statistics.comparison import compare, planned_information
from research.domain.statistics.group_sequential import boundaries, look, repeated_p_value
from research.domain.statistics.look_paths import LookPoint, look_path
from research.domain.statistics.look_power import drift_for_power
from research.domain.statistics.moments import moments_of
from research.domain.statistics.results import ArmData, Metric, Settings
from research.domain.statistics.spending import Family, Spending

pytestmark = pytest.mark.once
FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


def correlations(information: tuple[float, ...]) -> np.ndarray:
    """Of z at looks with such information (Jennison & Turnbull 2000, chapter 3.1)."""
    root = np.sqrt(np.array(information))
    return np.minimum.outer(root, root) / np.maximum.outer(root, root)


@pytest.mark.parametrize("family", ["obrien_fleming", "pocock"])
def test_information_that_grows_as_the_clock_changes_nothing(family: Family) -> None:
    spending = Spending(family)
    for scale in (1e-9, 1.0, 7e12):
        seen = tuple(scale * share for share in FIFTHS)
        found = boundaries(FIFTHS, 0.05, spending, final=True, information=seen)
        assert found == pytest.approx(boundaries(FIFTHS, 0.05, spending, final=True), rel=1e-9)
        p_value = repeated_p_value(2.3, FIFTHS, spending, final=True, information=seen)
        assert p_value == pytest.approx(repeated_p_value(2.3, FIFTHS, spending, final=True), rel=1e-6)


@pytest.mark.parametrize("family", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize("information", [(1.0, 4.0, 5.0), (3.0, 3.2, 9.0), (1.0, 1.5, 40.0)])
def test_each_look_spends_what_it_may(family: Family, information: tuple[float, ...]) -> None:
    # An independent integration: of the multivariate normal distribution, over the box of the boundaries.
    spending, clock = Spending(family), (0.3, 0.7, 1.0)
    bounds = boundaries(clock, 0.05, spending, final=True, information=information)
    spent = [spending.spent(share, 0.05) for share in clock]
    for looks in (1, 2, 3):
        box = np.array(bounds[:looks])
        inside = stats.multivariate_normal.cdf(
            box,
            np.zeros(looks),
            correlations(information[:looks]),
            lower_limit=-box,
            abseps=1e-9,
            maxpts=4_000_000,
        )
        assert 1 - inside == pytest.approx(spent[looks - 1], abs=2e-6)


def test_two_looks_of_the_tables() -> None:
    # Jennison & Turnbull 2000, table 2.1: Pocock's constant for two looks of equal groups is 2.178. Equal boundaries
    # spend by themselves what the table's design spends, whatever the clock that looks are taken by.
    first = 2 * stats.norm.sf(2.178)
    exponent = math.log(first / 0.05) / math.log(0.1)
    found = boundaries((0.1, 1.0), 0.05, Spending("power", exponent), final=True, information=(1.0, 2.0))
    assert found == pytest.approx((2.178, 2.178), abs=1e-3)


def test_shares_may_stand_still_but_never_fall() -> None:
    found = boundaries((0.5, 0.5, 1.0), 0.05, Spending(), final=True, information=(1.0, 2.0, 3.0))
    assert found[1] == math.inf
    with pytest.raises(ValueError, match="none less"):
        boundaries((0.5, 0.4), 0.05, Spending(), final=True, information=(1.0, 2.0))
    with pytest.raises(ValueError, match="none less"):
        boundaries((0.5, 0.6), 0.05, Spending(), final=True, information=(1.0,))
    with pytest.raises(ValueError, match="increasing"):
        boundaries((0.5, 0.6), 0.05, Spending(), final=True, information=(2.0, 2.0))


@given(st.lists(st.floats(1.05, 5), min_size=2, max_size=5), st.floats(0.5, 5))
def test_the_p_value_puts_the_look_on_its_boundary(growth: list[float], z: float) -> None:
    information = tuple(np.cumprod(growth).tolist())
    clock = tuple((place + 1) / len(growth) for place in range(len(growth)))
    p_value = repeated_p_value(z, clock, Spending(), final=True, information=information)
    if 2e-12 < p_value < 0.998:
        bound = boundaries(clock, p_value, Spending(), final=True, information=information)[-1]
        assert bound == pytest.approx(z, abs=1e-6)


def test_a_metric_without_an_mde_spends_by_the_clock() -> None:
    path: tuple[LookPoint, ...] = ()
    clock: tuple[float, ...] = ()
    for share, information in ((0.2, 10.0), (0.5, 30.0), (1.0, 31.0)):
        clock = (*clock, share)
        path = look_path(path, clock, information, None)
    assert path == ((0.2, 10.0), (0.5, 30.0), (1.0, 31.0))


def test_a_metric_whose_information_comes_late_spends_late() -> None:
    path = look_path((), (0.4,), 10.0, 100.0)
    assert path == ((0.1, 10.0),)
    path = look_path(path, (0.4, 0.8), 70.0, 100.0)
    assert path == ((0.1, 10.0), (0.7, 70.0))
    # The mde may be a share of a baseline that moves: what was spent stays spent.
    assert look_path(path, (0.4, 0.8, 0.9), 80.0, 400.0)[-1] == (0.7, 80.0)


def test_a_metric_whose_information_comes_early_has_alpha_to_the_end() -> None:
    assert look_path((), (0.4,), 90.0, 100.0) == ((0.4, 90.0),)
    assert look_path((), (0.4,), 900.0, 100.0) == ((0.4, 900.0),)


def test_information_that_does_not_grow_is_taken_to_grow_as_the_clock() -> None:
    before = (LookPoint(0.2, 10.0),)
    for less in (3.0, 10.0, 10.05):
        assert look_path(before, (0.2, 0.4), less, None)[-1] == (0.4, 20.0)
    assert look_path(before, (0.2, 0.4), 10.2, None)[-1] == (0.4, 10.2)
    # Where what earlier looks saw is not known, or is no number, there is the clock alone.
    assert look_path((), (0.2, 0.4), 50.0, None) == ((0.2, 0.2), (0.4, 0.4))
    assert look_path(None, (0.2,), 50.0, 100.0) == ((0.2, 0.2),)
    assert look_path(before, (0.2, 0.4), math.inf, None) == ((0.2, 0.2), (0.4, 0.4))
    whole = (LookPoint(0.2, 1.0), LookPoint(0.3, 5.0))
    assert look_path(whole, (0.2, 0.4), 99.0, None) == whole


def test_the_level_is_alpha_whatever_the_information() -> None:
    # A/A tests of a metric whose information grows eightfold from look to look, drawn as Brownian motion.
    draws, generator = 400_000, np.random.default_rng(11)
    information = (1.0, 8.0, 60.0, 500.0, 4000.0)
    steps = np.diff((0.0, *information))
    z = np.cumsum(generator.normal(size=(draws, 5)) * np.sqrt(steps), axis=1) / np.sqrt(information)

    def level(bounds: tuple[float, ...]) -> float:
        return float((np.abs(z) >= np.array(bounds)).any(axis=1).mean())

    own = boundaries(FIFTHS, 0.05, Spending("pocock"), final=True, information=information)
    error = math.sqrt(0.05 * 0.95 / draws)
    assert level(own) == pytest.approx(0.05, abs=4 * error)
    # By the clock alone such looks cross too often.
    assert level(boundaries(FIFTHS, 0.05, Spending("pocock"), final=True)) > 0.06


def test_a_comparison_goes_by_what_it_has_seen() -> None:
    generator = np.random.default_rng(2)
    first, second = (
        ArmData(name, moments_of(generator.normal(size=500))) for name in ("control", "treatment")
    )
    metric = Metric("rating", "mean", mde=0.2)
    before = (LookPoint(0.05, 30.0), LookPoint(0.2, 90.0))
    settings = Settings(
        engine="group_sequential",
        looks=(0.2, 0.4, 0.6),
        planned_looks=5,
        seen={("rating", "treatment"): before},
    )
    found = compare(metric, first, second, settings)
    assert found.look is not None
    assert found.standard_error is not None
    information = 1 / found.standard_error**2
    planned = planned_information(metric, 0.0, settings)
    assert planned == pytest.approx((drift_for_power(5, 0.05, 0.8, Spending()) / 0.2) ** 2)
    share = min(0.6, information / planned)
    assert found.look.point == pytest.approx((share, information))
    wanted = look(
        found.effect or 0.0, found.standard_error, (0.05, 0.2, share), 0.05, Spending(), final=False,
        information=(30.0, 90.0, information),
    )  # fmt: skip
    assert found.look == wanted
    assert all(a.time <= b.time for a, b in pairwise((*before, found.look.point)))
    # Another arm, or another metric, has not been seen: the clock.
    other = compare(Metric("other", "mean"), first, second, settings)
    assert other.look is not None
    assert other.look.boundary == boundaries((0.2, 0.4, 0.6), 0.05, Spending(), final=False)[-1]
