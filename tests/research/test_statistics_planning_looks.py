"""Plans of designs that look more than once: published inflation factors, and experiments drawn as planned."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from research.domain.statistics.group_sequential import boundaries
from research.domain.statistics.look_power import drift_for_power, drift_to_cross, rejection_probability
from research.domain.statistics.planning import (
    Design,
    inflation_factor,
    minimum_detectable_effect,
    power,
    sample_size,
)
from research.domain.statistics.sequential import critical_value
from research.domain.statistics.spending import Spending

pytestmark = pytest.mark.once

EXPERIMENTS = 20_000
ERROR = 4 * math.sqrt(0.8 * 0.2 / EXPERIMENTS)
"""What chance allows once in 16,000 simulations."""


def even(looks: int) -> tuple[float, ...]:
    return tuple(number / looks for number in range(1, looks + 1))


@pytest.mark.parametrize(
    ("shape", "looks", "at_80", "at_90"),
    [
        # Jennison & Turnbull (2000), tables 2.2 (Pocock) and 2.4 (O'Brien-Fleming), alpha 0.05.
        ("pocock", 2, 1.110, 1.100), ("pocock", 5, 1.229, 1.207), ("pocock", 10, 1.301, 1.271),
        ("obrien_fleming", 2, 1.008, 1.007), ("obrien_fleming", 5, 1.028, 1.026),
        ("obrien_fleming", 10, 1.040, 1.037),
    ],
)  # fmt: skip
def test_published_inflation_factors(shape: str, looks: int, at_80: float, at_90: float) -> None:
    fractions = even(looks)

    def bounds(constant: float) -> tuple[float, ...]:
        return tuple(constant if shape == "pocock" else constant / math.sqrt(each) for each in fractions)

    def excess(constant: float) -> float:
        return rejection_probability(fractions, bounds(constant), 0.0)[-1] - 0.05

    found = bounds(optimize.brentq(excess, 1.5, 4.0, xtol=1e-12))
    for wanted, factor in ((0.8, at_80), (0.9, at_90)):
        drift = drift_to_cross(fractions, found, wanted)
        one_look = stats.norm.isf(0.025) + stats.norm.ppf(wanted)
        # Published to three decimals; the last one differs by one in some places.
        assert (drift / one_look) ** 2 == pytest.approx(factor, abs=0.0012)


@pytest.mark.parametrize("wanted", [0.0501, 0.3, 0.8, 0.99, 0.999999])
@pytest.mark.parametrize("spending", [Spending(), Spending("pocock")])
@pytest.mark.parametrize("looks", [1, 3, 12])
def test_the_drift_has_the_power_that_was_asked_for(looks: int, spending: Spending, wanted: float) -> None:
    drift = drift_for_power(looks, 0.05, wanted, spending)
    bounds = boundaries(even(looks), 0.05, spending, final=True)
    assert rejection_probability(even(looks), bounds, drift)[-1] == pytest.approx(wanted, abs=1e-10)


def test_a_single_look_is_the_fixed_horizon_and_every_other_engine_is_not_inflated() -> None:
    design = Design("mean", 10.0, 9.0, mde=0.3, engine="group_sequential", looks=1)
    fixed = sample_size(replace(design, engine="fixed"))
    assert sample_size(design).total_units == fixed.total_units
    assert inflation_factor(design) == pytest.approx(1.0, abs=1e-9)
    bayesian = sample_size(replace(design, engine="bayesian"))
    assert (bayesian.total_units, bayesian.inflation) == (fixed.total_units, 1.0)
    assert fixed.inflation == 1.0
    sequential = sample_size(replace(design, engine="sequential"))
    assert sequential.inflation == pytest.approx(sequential.total_units / fixed.total_units, rel=1e-3)


@pytest.mark.parametrize("kind", ["mean", "ratio", "count", "proportion"])
@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_size_power_and_effect_belong_together(kind: Any, scale: Any) -> None:
    design = Design(kind, 0.2, 0.1, mde=0.05, scale=scale, engine="group_sequential", allocation=0.5)
    n = sample_size(design).baseline_units
    assert power(design, n) == pytest.approx(0.8, abs=0.002)
    assert minimum_detectable_effect(design, n) == pytest.approx(0.05, rel=0.005)
    several = replace(design, arms=4)
    assert several.level == 0.05 / 3
    assert sample_size(several).baseline_units > n


@pytest.mark.parametrize("spending", [Spending(), Spending("pocock")])
def test_means_drawn_as_planned_are_found_as_often_as_planned(spending: Spending) -> None:
    design = Design("mean", 10.0, 9.0, mde=0.5, engine="group_sequential", spending=spending)
    n = math.ceil(sample_size(design).baseline_units / 5) * 5
    effect = minimum_detectable_effect(design, n)
    generator = np.random.default_rng(20)
    arms = [_looks_of_means(generator, n // 5, mean) for mean in (10.0, 10.0 + effect)]
    z = (arms[1][0] - arms[0][0]) / np.sqrt(arms[0][1] + arms[1][1])
    bounds = np.array(boundaries(even(5), 0.05, spending, final=True))
    crossed = np.abs(z) >= bounds
    assert crossed.any(axis=1).mean() == pytest.approx(0.8, abs=ERROR)
    # With as many units as one look needs it would not be.
    assert crossed[:, -1].mean() < 0.8


def _looks_of_means(generator: np.random.Generator, units: int, mean: float) -> tuple[Any, Any]:
    """Means and their squared errors (n - 1) at five looks of ``units`` more each, from the sums of normal units."""
    shape = (EXPERIMENTS, 5)
    parts = generator.normal(mean, 3.0 / math.sqrt(units), shape)
    within = 9.0 * generator.chisquare(units - 1, shape)
    count = np.arange(1, 6)
    means = parts.cumsum(axis=1) / count
    squares = within.cumsum(axis=1) + units * ((parts**2).cumsum(axis=1) - count * means**2)
    return means, squares / (units * count - 1) / (units * count)


def test_shares_drawn_as_planned_are_found_as_often_as_planned() -> None:
    design = Design("proportion", 0.1, mde=0.03, engine="group_sequential")
    n = math.ceil(sample_size(design).baseline_units / 5) * 5
    generator = np.random.default_rng(21)
    shape, count = (EXPERIMENTS, 5), n // 5 * np.arange(1, 6)
    base, treated = (generator.binomial(n // 5, share, shape).cumsum(axis=1) / count for share in (0.1, 0.13))
    pooled = (base + treated) / 2
    z = (treated - base) / np.sqrt(2 * pooled * (1 - pooled) / count)
    crossed = np.abs(z) >= np.array(boundaries(even(5), 0.05, Spending(), final=True))
    assert crossed.any(axis=1).mean() == pytest.approx(power(design, n), abs=ERROR)
    assert power(design, n) == pytest.approx(0.8, abs=0.002)


def test_a_confidence_sequence_has_its_power_at_the_planned_units_and_more_by_then() -> None:
    design = Design("mean", 10.0, 9.0, mde=0.5, engine="sequential")
    n = math.ceil(sample_size(design).baseline_units / 5) * 5
    effect = minimum_detectable_effect(design, n)
    generator = np.random.default_rng(22)
    arms = [_looks_of_means(generator, n // 5, mean) for mean in (10.0, 10.0 + effect)]
    z = (arms[1][0] - arms[0][0]) / np.sqrt(arms[0][1] + arms[1][1])
    bounds = np.array([critical_value(2 * n // 5 * number, 0.05) for number in range(1, 6)])
    crossed = np.abs(z) >= bounds
    assert crossed[:, -1].mean() == pytest.approx(0.8, abs=ERROR)
    assert 0.8 < crossed.any(axis=1).mean() < 0.9


def test_what_a_plan_is_made_by_is_said() -> None:
    design = Design("mean", 10.0, 9.0, engine="group_sequential", looks=4, spending=Spending("pocock"))
    assert design.method == "group sequential, 4 evenly spaced looks, Pocock type spending"
    others = {engine: replace(design, engine=engine).method for engine in ("fixed", "sequential", "bayesian")}  # type: ignore[arg-type]
    assert others == {
        "fixed": "fixed horizon",
        "sequential": "confidence sequence, at its critical value for the planned units",
        "bayesian": "fixed horizon: a Bayesian analysis has no power of its own",
    }
