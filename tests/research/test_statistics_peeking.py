"""Peeking: 2,000 experiments with 100 looks each, on well-behaved and on ill-behaved data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from research.domain.statistics.comparison import compare
from research.domain.statistics.moments import moments_of
from research.domain.statistics.results import ArmData, Metric, Settings
from research.domain.statistics.sequential import critical_value

from .peeking import ALPHA, SCENARIOS, TESTS, Scenario, exact_level, peek

pytestmark = [pytest.mark.once, pytest.mark.slow]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_looking_again_and_again(scenario: Scenario) -> None:
    found = peek(scenario)
    assert found.always_valid <= ALPHA
    assert found.coverage >= 0.95
    assert found.coverage_with_effect >= 0.95
    assert found.power >= 0.70
    assert found.naive >= 0.30
    assert found.group_power >= 0.92
    # Its level is alpha to the last digit, so that about half of all simulations come out above it: the
    # share rejected must not be more than the binomial would let 1 in 1,000 studies have.
    assert found.group_sequential <= stats.binom.ppf(0.999, TESTS, ALPHA) / TESTS


def test_the_group_sequential_level_is_exact() -> None:
    assert exact_level() == pytest.approx(ALPHA, rel=1e-10)
    total = sum(peek(scenario).group_sequential for scenario in SCENARIOS) / len(SCENARIOS)
    assert total <= ALPHA


def test_comparisons_decide_as_the_study_does() -> None:
    scenario = SCENARIOS[2]
    rng = np.random.default_rng(5)
    settings = Settings(engine="sequential")
    for n in (30, 200, 3000):
        a, b = scenario.draw(rng, (n,)), scenario.draw(rng, (n,)) * 1.2
        found = compare(
            Metric("m", "mean"), ArmData("a", moments_of(a)), ArmData("b", moments_of(b)), settings
        )
        error = math.sqrt(a.var(ddof=1) / n + b.var(ddof=1) / n)
        assert (found.outcome != "undecided") == (
            abs(b.mean() - a.mean()) / error > critical_value(2 * n, ALPHA)
        )
