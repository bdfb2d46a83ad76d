"""Power so far: the effect that the present units would show, and how many its target needs."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from research.domain.looks_ahead import boundaries_ahead
from research.domain.statistics.comparison import compare
from research.domain.statistics.detectable import detectable_effect, power_so_far
from research.domain.statistics.group_sequential import boundaries
from research.domain.statistics.moments import Moments
from research.domain.statistics.results import ArmData, Metric, MetricResult, Settings
from research.domain.statistics.sequential import critical_value
from research.domain.statistics.spending import Spending

pytestmark = pytest.mark.once

MEAN = Metric("rating", "mean", role="primary", mde=0.5)


def arms(units: int) -> tuple[ArmData, ArmData]:
    """Two arms of variance 4 whose means differ by 1."""
    return tuple(
        ArmData(name, Moments(units, mean, 0.0, 4.0 * (units - 1)))
        for name, mean in (("control", 10.0), ("treatment", 11.0))
    )  # type: ignore[return-value]


def compared(units: int, settings: Settings, metric: Metric = MEAN):  # type: ignore[no-untyped-def]
    return compare(metric, *arms(units), settings)


def test_it_is_the_critical_value_and_that_of_the_power_in_standard_errors() -> None:
    settings = Settings(engine="fixed", power=0.9)
    error = math.sqrt(4 / 100 + 4 / 100)
    expected = (stats.norm.ppf(0.975) + stats.norm.ppf(0.9)) * error
    assert detectable_effect(compared(100, settings), settings) == pytest.approx(expected, rel=1e-12)


def test_the_sequential_engine_needs_its_units_and_sees_less() -> None:
    settings = Settings(engine="sequential", tuning_n=1000)
    assert detectable_effect(compared(29, settings), settings) is None
    expected = (critical_value(200, 0.05, 1000) + stats.norm.ppf(0.8)) * math.sqrt(0.08)
    assert detectable_effect(compared(100, settings), settings) == pytest.approx(expected, rel=1e-12)


def test_a_look_sees_by_its_boundary() -> None:
    settings = Settings(engine="group_sequential", looks=(0.5,))
    [bound] = boundaries((0.5,), 0.05, Spending(), final=False)
    expected = (bound + stats.norm.ppf(0.8)) * math.sqrt(0.08)
    assert detectable_effect(compared(100, settings), settings) == pytest.approx(expected, rel=1e-12)


def test_units_needed_and_target_stand_beside_it() -> None:
    settings = Settings(engine="fixed")
    other = Metric("latency", "mean")
    results = [MetricResult(metric, (), (compare(metric, *arms(100), settings),)) for metric in (MEAN, other)]
    [found] = power_so_far(results, settings)
    reach = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert (found.metric, found.variant, found.units) == ("rating", "treatment", 200)
    assert (found.target, found.is_planned) == (0.5, True)
    assert found.needed == math.ceil(200 * 0.08 * (reach / 0.5) ** 2)


def test_without_an_mde_the_effect_so_far_is_the_target_and_relative_ones_follow_the_baseline() -> None:
    settings = Settings(engine="fixed")
    plain = Metric("rating", "mean", role="primary")
    relative = Metric("rating", "mean", role="primary", mde=0.02, mde_scale="relative")
    found = [
        power_so_far([MetricResult(metric, (), (compare(metric, *arms(100), settings),))], settings)[0]
        for metric in (plain, relative)
    ]
    assert (found[0].target, found[0].is_planned) == (pytest.approx(1.0), False)
    assert (found[1].target, found[1].is_planned) == (pytest.approx(0.2), True)


def test_nothing_is_known_of_an_empty_arm() -> None:
    settings = Settings(engine="fixed")
    one = compare(MEAN, ArmData("control"), ArmData("treatment"), settings)
    [found] = power_so_far([MetricResult(MEAN, (), (one,))], settings)
    assert (found.units, found.needed, found.detectable) == (0, None, None)


def test_boundaries_to_come_are_those_of_looks_taken_as_planned() -> None:
    spending = Spending("pocock")
    every = boundaries((0.25, 0.5, 0.75, 1.0), 0.05, spending, final=True)
    assert boundaries_ahead((), 4, 0.05, spending) == list(zip((0.25, 0.5, 0.75, 1.0), every, strict=True))
    late = boundaries((0.3, 0.5, 0.75, 1.0), 0.05, spending, final=True)
    assert boundaries_ahead((0.3,), 4, 0.05, spending) == list(zip((0.5, 0.75, 1.0), late[1:], strict=True))
    assert boundaries_ahead((0.3, 1.02), 4, 0.05, spending) == []
