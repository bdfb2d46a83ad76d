"""Confidence sequences, group sequential boundaries and Bayesian answers against formulas, tables and quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from research.domain.statistics.bayesian import Bayesian, BetaPrior, NormalPrior, beta_binomial, normal
from research.domain.statistics.group_sequential import (
    boundaries,
    look,
    repeated_p_value,
)
from research.domain.statistics.look_power import rejection_probability
from research.domain.statistics.sequential import (
    Sequential,
    always_valid_p,
    confidence_sequence,
    critical_value,
    mixture_rate,
)
from research.domain.statistics.spending import Family, Spending
from research.domain.statistics.values import ArmSummary, Undefined

pytestmark = pytest.mark.once

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize("alpha", [0.001, 0.05, 0.2])
@pytest.mark.parametrize("n", [60, 5000, 10**7])
def test_the_sequence_is_that_of_growthbook_and_eppo(alpha: float, n: int) -> None:
    found = critical_value(n, alpha, 5000)
    # GrowthBook: rho from N*, half-width in units of SE.
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / 5000
    theirs = math.sqrt(2 * (n * rho2 + 1) / (n * rho2) * math.log(math.sqrt(n * rho2 + 1) / alpha))
    assert found == pytest.approx(theirs, rel=1e-12)
    # Eppo: nu = N* over the same, with the confidence level inside the logarithm.
    nu = 5000 / (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha)))
    assert mixture_rate(alpha, 5000) == pytest.approx(nu, rel=1e-12)
    assert found == pytest.approx(math.sqrt((n + nu) / n * math.log((n + nu) / (nu * alpha**2))), rel=1e-12)


def test_the_sequence_is_tightest_near_its_tuning() -> None:
    # The rate solves for the tightest point with the Lambert W to first order, which is 2 % off in the width.
    least = min(critical_value(n, 0.05, 5000) for n in range(1000, 20_000, 10))
    assert critical_value(5000, 0.05, 5000) == pytest.approx(least, rel=0.02)
    assert critical_value(60, 0.05) > 2.5 * least


@given(st.floats(0.001, 0.4), st.integers(60, 10**8), st.floats(-12, 12))
def test_the_p_value_is_at_most_alpha_exactly_outside_of_the_interval(alpha: float, n: int, z: float) -> None:
    p, bound = always_valid_p(z, n, alpha), critical_value(n, alpha)
    if abs(abs(z) - bound) > 1e-9:
        assert (p <= alpha) == (abs(z) > bound)
    k = n / mixture_rate(alpha, 5000) + 1
    assert p == pytest.approx(
        min(1, math.sqrt(k) * math.exp(-z * z * (k - 1) / (2 * k))), rel=1e-9, abs=1e-300
    )


def test_the_sequence_waits_for_thirty_units_and_for_spread() -> None:
    arm = ArmSummary(30, 1.0, 1.0)
    found = confidence_sequence(arm, ArmSummary(40, 1.5, 2.0), 0.05)
    assert isinstance(found, Sequential)
    width = critical_value(70, 0.05) * math.sqrt(1 / 30 + 2 / 40)
    assert found.interval == pytest.approx((0.5 - width, 0.5 + width), rel=1e-12)
    assert confidence_sequence(arm, ArmSummary(29, 1.0, 1.0), 0.05) == Undefined("too_few_units")
    flat = ArmSummary(30, 1.0, 0.0)
    assert confidence_sequence(flat, flat, 0.05) == Undefined("zero_variance")
    for bad in (0, -5, math.inf, math.nan):
        with pytest.raises(ValueError, match="positive number of units"):
            critical_value(100, 0.05, bad)


@pytest.mark.parametrize(
    ("family", "published"),
    [
        # Lan & DeMets boundaries for five equal looks, two-sided 0.05 (ldbounds; Reboussin et al. 2000).
        ("obrien_fleming", (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_boundaries_are_those_of_the_tables(family: Family, published: tuple[float, ...]) -> None:
    found = boundaries(FIFTHS, 0.05, Spending(family), final=True)
    assert found == pytest.approx(published, abs=2e-4)


@pytest.mark.parametrize("first", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("family", ["obrien_fleming", "pocock", "power"])
def test_two_looks_agree_with_the_bivariate_normal(family: Family, first: float) -> None:
    a, b = boundaries((first, 1.0), 0.05, Spending(family), final=True)
    root, rest = math.sqrt(first), math.sqrt(1 - first)

    def inside(z: float) -> float:
        return float(
            stats.norm.pdf(z)
            * (stats.norm.cdf((b - root * z) / rest) - stats.norm.cdf((-b - root * z) / rest))
        )

    assert 1 - integrate.quad(inside, -a, a, epsabs=1e-13)[0] == pytest.approx(0.05, rel=1e-9)
    assert a == pytest.approx(-stats.norm.ppf(Spending(family).spent(first, 0.05) / 2), rel=1e-10)


@pytest.mark.parametrize("family", ["obrien_fleming", "pocock", "power"])
@pytest.mark.parametrize(
    "fractions",
    [(1.0,), FIFTHS, (0.05, 0.06, 0.9), (0.3, 0.7, 1.4), tuple((k + 1) / 100 for k in range(100))],
)
def test_all_of_alpha_is_spent_and_no_more(family: Family, fractions: tuple[float, ...]) -> None:
    bounds = boundaries(fractions, 0.05, Spending(family), final=True)
    reached = rejection_probability(fractions, bounds, 0.0)
    assert reached[-1] == pytest.approx(0.05, rel=1e-9)
    for fraction, probability in zip(fractions[:-1], reached):
        assert probability == pytest.approx(Spending(family).spent(fraction, 0.05), rel=1e-8)


def test_power_with_one_look_is_that_of_the_z_test() -> None:
    bounds = boundaries((1.0,), 0.05, Spending(), final=True)
    assert bounds[0] == pytest.approx(1.959963984540054, rel=1e-12)
    wanted = stats.norm.sf(1.959963984540054 - 3) + stats.norm.cdf(-1.959963984540054 - 3)
    assert rejection_probability((1.0,), bounds, 3.0)[0] == pytest.approx(wanted, rel=1e-10)


def test_running_under_spends_the_rest_and_running_over_no_more() -> None:
    spending = Spending("pocock")
    early = boundaries((0.5, 0.8), 0.05, spending, final=True)
    open_ = boundaries((0.5, 0.8), 0.05, spending, final=False)
    assert early[0] == open_[0]
    assert early[1] < open_[1]
    assert rejection_probability((0.5, 0.8), early, 0.0)[-1] == pytest.approx(0.05, rel=1e-9)
    over = boundaries((0.5, 1.3), 0.05, spending, final=False)
    assert rejection_probability((0.5, 1.3), over, 0.0)[-1] == pytest.approx(0.05, rel=1e-9)
    assert boundaries((0.5, 1.0, 1.3), 0.05, spending, final=False)[-1] == math.inf
    assert look(1.0, 0.1, (0.5, 1.0, 1.3), 0.05, spending, final=False).interval is None


@pytest.mark.parametrize("family", ["obrien_fleming", "pocock", "power"])
@pytest.mark.parametrize("z", [0.5, 1.3, 1.96, 2.5, 4.0])
@pytest.mark.parametrize("looks", [1, 3, 5])
def test_the_repeated_p_value_puts_the_look_on_its_boundary(family: Family, z: float, looks: int) -> None:
    fractions, spending = FIFTHS[:looks], Spending(family)
    p = repeated_p_value(z, fractions, spending, final=looks == 5)
    assert repeated_p_value(-z, fractions, spending, final=looks == 5) == p
    if p < 1:
        bound = boundaries(fractions, p, spending, final=looks == 5)[-1]
        assert bound == pytest.approx(z, rel=1e-6)
    else:
        assert boundaries(fractions, 0.998, spending, final=looks == 5)[-1] >= z - 1e-3
    if looks == 1 and family == "pocock":
        # Pocock's spending is a fixed share of alpha at a given fraction.
        share = spending.spent(0.2, 0.5) / 0.5
        assert p == pytest.approx(min(1.0, 2 * stats.norm.sf(z) / share), rel=1e-6)


def test_a_look_tells_boundary_interval_and_whether_it_is_crossed() -> None:
    found = look(0.3, 0.1, FIFTHS[:3], 0.05, Spending(), final=False)
    assert (found.look, found.fraction, found.crossed) == (3, 0.6, True)
    assert found.z == pytest.approx(3.0)
    assert found.boundary == pytest.approx(2.6803, abs=2e-4)
    assert found.interval == pytest.approx((0.3 - 0.1 * found.boundary, 0.3 + 0.1 * found.boundary))
    assert found.p_value < 0.05
    assert not look(0.26, 0.1, FIFTHS[:3], 0.05, Spending(), final=False).crossed


@pytest.mark.parametrize(
    "fractions", [(), (0.5, 0.5), (0.7, 0.2), (0.0, 1.0), (-0.1,), (math.nan,), (math.inf,)]
)
def test_looks_that_cannot_be(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="looks"):
        boundaries(fractions, 0.05, Spending(), final=True)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_alpha_0_and_1_are_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        boundaries((1.0,), alpha, Spending(), final=True)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        critical_value(100, alpha)
    with pytest.raises(ValueError, match="alpha must lie between 0 and 1"):
        normal(1.0, 1.0, alpha, "increase")


def _posterior(count: int, n: int) -> stats.rv_frozen:  # type: ignore[name-defined]
    return stats.beta(1 + count, 1 + n - count)


@pytest.mark.parametrize(
    ("baseline", "treatment"),
    [((14, 120), (25, 118)), ((0, 10), (0, 10)), ((3, 5), (500, 1000)), ((1000, 10_000), (1090, 10_000)),
     ((10, 10), (0, 3)), ((50_000, 10**6), (50_600, 10**6))],
)  # fmt: skip
def test_beta_binomial_agrees_with_adaptive_quadrature(
    baseline: tuple[int, int], treatment: tuple[int, int]
) -> None:
    control, treated = _posterior(*baseline), _posterior(*treatment)
    found = beta_binomial(baseline, treatment, 0.05, "increase")
    assert isinstance(found, Bayesian)
    places = [p for one in (control, treated) for p in one.ppf([1e-12, 1e-3, 0.5, 0.999, 1 - 1e-12])]

    def integral(function: object) -> float:
        return float(
            integrate.quad(function, 0, 1, points=sorted(places), limit=500, epsabs=0, epsrel=1e-11)[0]
        )

    chance = integral(lambda x: treated.pdf(x) * control.cdf(x))
    loss = integral(lambda x: control.sf(x) * treated.cdf(x))
    assert found.chance_to_beat == pytest.approx(chance, rel=1e-8)
    assert found.expected_loss == pytest.approx(loss, rel=1e-7)
    assert found.mean == pytest.approx(treated.mean() - control.mean(), rel=1e-10, abs=1e-15)


def test_direction_turns_chance_and_loss_around() -> None:
    up = beta_binomial((20, 100), (30, 100), 0.05, "increase")
    down = beta_binomial((20, 100), (30, 100), 0.05, "decrease")
    swapped = beta_binomial((30, 100), (20, 100), 0.05, "increase")
    assert isinstance(up, Bayesian)
    assert isinstance(down, Bayesian)
    assert isinstance(swapped, Bayesian)
    assert up.chance_to_beat + down.chance_to_beat == pytest.approx(1, rel=1e-10)
    assert down.chance_to_beat == pytest.approx(swapped.chance_to_beat, rel=1e-10)
    assert down.expected_loss == pytest.approx(swapped.expected_loss, rel=1e-10)
    assert down.expected_loss - up.expected_loss == pytest.approx(up.mean, rel=1e-9)


def test_beta_priors_move_the_posterior() -> None:
    found = beta_binomial((0, 10), (0, 10), 0.05, "increase", BetaPrior(20, 80))
    assert isinstance(found, Bayesian)
    assert found.chance_to_beat == pytest.approx(0.5, rel=1e-12)
    with pytest.raises(ValueError, match="positive"):
        BetaPrior(0, 1)


@pytest.mark.parametrize(("effect", "error"), [(0.5, 1.0), (-2.0, 0.7), (4.0, 1.0), (5.2, 1.0), (9.0, 1.0)])
def test_normal_posterior_in_closed_form(effect: float, error: float) -> None:
    found = normal(effect, error, 0.05, "increase")
    assert isinstance(found, Bayesian)
    assert found.chance_to_beat == pytest.approx(stats.norm.sf(0, effect, error), rel=1e-12)
    density = stats.norm(effect, error)
    loss, _ = integrate.quad(
        lambda d: -d * density.pdf(d), -12 * error - abs(effect), 0, epsabs=0, epsrel=1e-10
    )
    assert found.expected_loss == pytest.approx(loss, rel=1e-6)
    assert found.interval == pytest.approx(density.ppf([0.025, 0.975]), rel=1e-9)


def test_a_normal_prior_is_weighed_by_precision() -> None:
    found = normal(0.4, 0.2, 0.05, "decrease", prior=NormalPrior(0.1, 0.05, "relative"), baseline=-3.0)
    assert isinstance(found, Bayesian)
    before, now = 1 / 0.15**2, 1 / 0.2**2
    mean, sd = (0.3 * before + 0.4 * now) / (before + now), math.sqrt(1 / (before + now))
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.chance_to_beat == pytest.approx(stats.norm.cdf(0, mean, sd), rel=1e-10)
    zero = normal(0.4, 0.2, 0.05, "increase", prior=NormalPrior(), baseline=0.0)
    assert zero == Undefined("zero_baseline")
    assert normal(0.4, 0.0, 0.05, "increase") == Undefined("zero_variance")


@given(st.floats(-30, 30), st.floats(0.01, 100))
def test_gain_and_loss_add_up_to_the_effect(z: float, error: float) -> None:
    up, down = normal(z * error, error, 0.05, "increase"), normal(z * error, error, 0.05, "decrease")
    assert isinstance(up, Bayesian)
    assert isinstance(down, Bayesian)
    assert min(up.expected_loss, down.expected_loss) >= 0
    assert down.expected_loss - up.expected_loss == pytest.approx(z * error, rel=1e-9, abs=1e-9 * error)
    assert np.isclose(up.chance_to_beat + down.chance_to_beat, 1)
