"""The statistics of 20 metrics in 3 arms by every engine, and plans, in-process from sufficient statistics."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Final

import numpy as np

from research.domain.statistics.comparison import compare_all, correct
from research.domain.statistics.group_sequential import boundaries
from research.domain.statistics.moments import Moments, moments_of
from research.domain.statistics.planning import Design, minimum_detectable_effect, power, sample_size
from research.domain.statistics.quantiles import quantile_of
from research.domain.statistics.results import ArmData, Metric, Settings
from research.domain.statistics.spending import Spending
from research.domain.statistics.srm import sample_ratio
from research.domain.statistics.values import Engine, Kind
from research.domain.statistics.verdict import Health, Progress, decide

from .outcome import Outcome

ROUNDS: Final = 30
BAR: Final = 50.0
PLAN_BAR: Final = 20.0
KINDS: Final[tuple[Kind, ...]] = ("proportion", "mean", "count", "ratio", "quantile")
ENGINES: Final[tuple[Engine, ...]] = ("fixed", "sequential", "group_sequential", "bayesian")


def main() -> list[Outcome]:
    generator = np.random.default_rng(1)
    found = []
    for factor, name in ((1, "10^4 units an arm"), (1000, "10^7 units an arm")):
        data = [
            (
                Metric(
                    f"metric-{number}",
                    KINDS[number % 5],
                    role="primary" if not number else "guardrail" if number > 15 else "secondary",
                    q=0.95,
                    mde=0.02,
                    margin=0.05,
                    margin_scale="relative",
                ),
                [_arm(variant, KINDS[number % 5], generator, factor) for variant in ("control", "b", "c")],
            )
            for number in range(20)
        ]
        times = {engine: _milliseconds(partial(_results, data, engine)) for engine in ENGINES}
        found.append(
            Outcome(
                f"20 metrics x 3 arms, all four engines one after the other, texts and verdicts; {name}",
                sum(median for median, _ in times.values()),
                "ms",
                "<=",
                BAR,
                ", ".join(f"{engine} {median:.1f} ms" for engine, (median, _) in times.items())
                + f"; the first with its boundaries {times['group_sequential'][1]:.0f} ms",
            )
        )
    plan, first = _milliseconds(_plan)
    found.append(
        Outcome(
            "sample size, power and smallest effect of a proportion, a mean and a ratio, fixed and sequential",
            plan,
            "ms",
            "<=",
            PLAN_BAR,
            f"the first {first:.1f} ms",
        )
    )
    looks, first = _milliseconds(partial(_boundaries, count()))
    found.append(
        Outcome(
            "boundaries of 20 looks that nobody asked for before", looks, "ms", aside=f"first {first:.1f}"
        )
    )
    return found


def _arm(variant: str, kind: Kind, generator: np.random.Generator, factor: int) -> ArmData:
    n = 10_000
    covariate = generator.normal(size=n)
    if kind == "quantile":
        return ArmData(
            variant, quantile=quantile_of(generator.lognormal(size=n), 0.95, generator.integers(0, 2000, n))
        )
    if kind == "proportion":
        return ArmData(variant, _times(moments_of(generator.random(n) < 0.1), factor))
    values = 10 + covariate + generator.normal(size=n)
    return ArmData(variant, _times(moments_of(values, generator.poisson(3, n) + 1.0, covariate), factor))


def _times(one: Moments, factor: int) -> Moments:
    """The moments of ``factor`` copies of the same units."""
    return Moments(
        one.n * factor,
        *(
            getattr(one, name) * (1 if name.endswith("shift") else factor)
            for name in Moments.__slots__
            if name != "n"
        ),
    )


def _results(data: list[tuple[Metric, list[ArmData]]], engine: Engine) -> int:
    settings = Settings(engine=engine, looks=(0.2, 0.4, 0.6))
    results = correct([compare_all(metric, arms, settings) for metric, arms in data], settings)
    texts = [one.text for result in results for one in result.comparisons]
    verdict = decide(
        results, Health(sample_ratio([10_000] * 3, [1, 1, 1])), Progress(True, 30_000, 9, 7, 1000), settings
    )
    return len(texts) + len(verdict.text)


def _plan() -> float:
    total = 0.0
    designs = (
        Design("proportion", 0.1, mde=0.01, units_per_day=500),
        Design("mean", 0.1, 0.09, mde=0.01, scale="relative", units_per_day=500),
        Design("ratio", 0.1, 0.09, mde=0.01, units_per_day=500),
    )
    for one in designs:
        for engine in ENGINES[:2]:
            design = replace(one, engine=engine)
            total += sample_size(design).total_units + power(design, 5000)
            total += minimum_detectable_effect(design, 5000)
    return total


def _boundaries(numbers: Iterator[int]) -> float:
    """Of a level that no round before had, so that nothing is remembered."""
    fractions = tuple((number + 1) / 20 for number in range(20))
    return boundaries(fractions, 0.05 + next(numbers) * 1e-9, Spending(), final=True)[-1]


def _milliseconds(work: Callable[[], object]) -> tuple[float, float]:
    """Median of the later calls, and the first call."""
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[1:]), times[0]
