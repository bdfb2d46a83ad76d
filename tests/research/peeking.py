"""Simulated experiments that are looked at again and again, as sums over units, many experiments at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from research.domain.statistics.group_sequential import boundaries
from research.domain.statistics.look_power import rejection_probability
from research.domain.statistics.sequential import MINIMUM_UNITS, critical_value
from research.domain.statistics.spending import Spending

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]

ALPHA: Final = 0.05
TESTS: Final = 2_000
LOOKS: Final = 100
UNITS: Final = 10_000
EFFECT: Final = 0.05
GROUP_LOOKS: Final = (0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of data with its mean and standard deviation; ``returning`` units come back and grow."""

    name: str
    draw: Draw
    sd: float
    seed: int
    returning: bool = False


@dataclass(frozen=True, slots=True)
class Peeking:
    """Shares of all experiments: A/A tests rejected at some look, and what the intervals hold and find."""

    always_valid: float
    naive: float
    group_sequential: float
    coverage: float
    coverage_with_effect: float
    power: float
    group_power: float


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_normal(shape)


def _bernoulli(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return (generator.random(shape, dtype=np.float32) < 0.1).astype(np.float64)


def _lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return np.exp(1.6 * generator.standard_normal(shape, dtype=np.float32)).astype(np.float64)


def _growing(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return generator.standard_exponential(shape, dtype=np.float32).astype(np.float64)


SCENARIOS: Final = (
    Scenario("normal", _normal, 1.0, 1),
    Scenario("bernoulli", _bernoulli, 0.3, 2),
    Scenario("lognormal", _lognormal, float(np.sqrt((np.exp(2.56) - 1) * np.exp(2.56))), 3),
    # At the end the ages of cohorts run from 0 to 99 looks: see `_returning`.
    Scenario("returning", _growing, 0.0, 4, returning=True),
)


@dataclass(slots=True)
class Sums:
    """Per experiment, the sums of one arm: units, values, squares."""

    n: int
    total: Array
    squares: Array

    def mean_and_error(self) -> tuple[Array, Array]:
        mean = self.total / self.n
        return mean, (self.squares - self.n * mean * mean) / (self.n - 1) / self.n


def _arriving(scenario: Scenario, generator: np.random.Generator) -> list[Sums]:
    """One arm at each look, with units that bring their value once, 100 new ones a look."""
    batch = UNITS // LOOKS
    total, squares = np.zeros(TESTS), np.zeros(TESTS)
    found = []
    for number in range(1, LOOKS + 1):
        values = scenario.draw(generator, (TESTS, batch))
        total = total + values.sum(axis=1)
        squares = squares + np.einsum("ij,ij->i", values, values)
        found.append(Sums(number * batch, total, squares))
    return found


def _returning(scenario: Scenario, generator: np.random.Generator) -> list[Sums]:
    """One arm at each look, every unit coming back at every look, with a growth of its own.

    A unit of age a is worth u + a v / 50, so that sums over a cohort follow from those of u, v and their products.
    """
    batch = UNITS // LOOKS
    cohorts = []
    found = []
    for number in range(1, LOOKS + 1):
        u, v = scenario.draw(generator, (TESTS, batch)), scenario.draw(generator, (TESTS, batch)) / 50
        cohorts.append(
            (u.sum(1), v.sum(1), *(np.einsum("ij,ij->i", a, b) for a, b in ((u, u), (u, v), (v, v))))
        )
        total, squares = np.zeros(TESTS), np.zeros(TESTS)
        for age, (su, sv, suu, suv, svv) in enumerate(reversed(cohorts)):
            total += su + age * sv
            squares += suu + 2 * age * suv + age * age * svv
        found.append(Sums(number * batch, total, squares))
    return found


def peek(scenario: Scenario) -> Peeking:
    """Run the experiments of ``scenario``: without an effect, and the same data with 0.05 sd added to one arm."""
    generator = np.random.default_rng(scenario.seed)
    simulate = _returning if scenario.returning else _arriving
    control, treatment = simulate(scenario, generator), simulate(scenario, generator)
    # The effect of the returning units is a share of how much their values differ at the end.
    sd = scenario.sd or float(np.sqrt(np.mean(control[-1].mean_and_error()[1]) * control[-1].n))
    if scenario.name == "bernoulli":
        rng = np.random.default_rng(scenario.seed + 100)
        lifted = _arriving(Scenario("lifted", _share(0.1 + EFFECT * sd), sd, 0), rng)
    else:
        lifted = [
            Sums(one.n, one.total + one.n * EFFECT * sd,
                 one.squares + 2 * EFFECT * sd * one.total + one.n * (EFFECT * sd) ** 2)
            for one in treatment
        ]  # fmt: skip
    bounds = dict(zip(GROUP_LOOKS, boundaries(GROUP_LOOKS, ALPHA, Spending(), final=True)))
    zero = {name: np.zeros(TESTS, dtype=bool) for name in ("valid", "naive", "group")}
    real = {name: np.zeros(TESTS, dtype=bool) for name in ("valid", "group", "missed")}
    for number, (base, same, other) in enumerate(zip(control, treatment, lifted), start=1):
        if base.n < MINIMUM_UNITS:
            continue
        critical = critical_value(2 * base.n, ALPHA)
        effect, error = _difference(base, same)
        z = np.abs(effect) / error
        zero["valid"] |= z > critical
        zero["naive"] |= z > -stdtrit(_degrees(base, same), ALPHA / 2)
        lifted_effect, lifted_error = _difference(base, other)
        lifted_z = np.abs(lifted_effect) / lifted_error
        real["valid"] |= lifted_z > critical
        real["missed"] |= np.abs(lifted_effect - EFFECT * sd) > critical * lifted_error
        bound = bounds.get(number / LOOKS)
        if bound is not None:
            zero["group"] |= z >= bound
            real["group"] |= lifted_z >= bound
    return Peeking(
        always_valid=float(zero["valid"].mean()),
        naive=float(zero["naive"].mean()),
        group_sequential=float(zero["group"].mean()),
        coverage=float(1 - zero["valid"].mean()),
        coverage_with_effect=float(1 - real["missed"].mean()),
        power=float(real["valid"].mean()),
        group_power=float(real["group"].mean()),
    )


def exact_level() -> float:
    """The probability that the group sequential test rejects without an effect, by integration."""
    bounds = boundaries(GROUP_LOOKS, ALPHA, Spending(), final=True)
    return rejection_probability(GROUP_LOOKS, bounds, 0.0)[-1]


def _share(probability: float) -> Draw:
    def draw(generator: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return (generator.random(shape) < probability).astype(np.float64)

    return draw


def _difference(base: Sums, other: Sums) -> tuple[Array, Array]:
    (first, a), (second, b) = base.mean_and_error(), other.mean_and_error()
    return second - first, np.sqrt(a + b)


def _degrees(base: Sums, other: Sums) -> Array:
    a, b = base.mean_and_error()[1], other.mean_and_error()[1]
    found: Array = (a + b) ** 2 / (a * a / (base.n - 1) + b * b / (other.n - 1))
    return found
