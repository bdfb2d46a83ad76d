"""The same items answered by two arms: paired tests on item means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from .means import critical_value, two_sided
from .values import Direction, Interval, Undefined, check_alpha, check_finite

Array = NDArray[np.float64]

EXACT_PAIRS = 50
"""Up to as many non-zero differences the signed-rank distribution is enumerated."""

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class WilcoxonResult:
    """``statistic`` is the smaller of the two rank sums; ``exact`` when the null distribution was
    enumerated.
    """

    statistic: float
    p_value: float
    exact: bool


@dataclass(frozen=True, slots=True)
class McNemarResult:
    """Items on which only the baseline, and only the treatment, had the event; two-sided exact p-value."""

    only_baseline: int
    only_treatment: int
    p_value: float


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Treatment minus baseline over items that both arms answered.

    ``missing_baseline`` and ``missing_treatment`` count items that an arm lacks; those are left out. Wins
    are items on which the treatment is better, by ``direction``. What does not exist for these data is an
    :class:`Undefined`.
    """

    items: int
    missing_baseline: int
    missing_treatment: int
    effect: float | None
    t_test: tuple[Interval, float] | Undefined
    wilcoxon: WilcoxonResult | Undefined
    mcnemar: McNemarResult | Undefined
    bootstrap: Interval | Undefined
    wins: int
    ties: int
    losses: int


def compare_pairs(
    baseline: Mapping[str, Sequence[float]],
    treatment: Mapping[str, Sequence[float]],
    *,
    alpha: float = 0.05,
    direction: Direction = "increase",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PairedComparison:
    """Compare two arms item by item; each mapping holds an item's repetitions.

    Repetitions are averaged within the item first, so that an item counts once however often it was run. An
    item without repetitions is missing. ValueError for values that are not finite.
    """
    check_alpha(alpha)
    averages = []
    for arm in (baseline, treatment):
        for values in arm.values():
            check_finite("a paired value", *values)
        averages.append(
            {item: math.fsum(values) / len(values) for item, values in arm.items() if len(values)}
        )
    first, second = averages
    shared = sorted(first.keys() & second.keys())
    a = np.array([first[item] for item in shared])
    b = np.array([second[item] for item in shared])
    differences = b - a
    towards = differences if direction == "increase" else -differences
    wins, losses = int((towards > 0).sum()), int((towards < 0).sum())
    everything = set(baseline) | set(treatment)
    return PairedComparison(
        items=len(shared),
        missing_baseline=len(everything - first.keys()),
        missing_treatment=len(everything - second.keys()),
        effect=float(differences.mean()) if len(shared) else None,
        t_test=t_test(differences, alpha),
        wilcoxon=wilcoxon(differences),
        mcnemar=mcnemar(a, b),
        bootstrap=bootstrap_interval(differences, alpha, seed=seed, resamples=resamples),
        wins=wins,
        ties=len(shared) - wins - losses,
        losses=losses,
    )


def t_test(differences: Array, alpha: float) -> tuple[Interval, float] | Undefined:
    """The paired t interval of the mean difference and its p-value, df = items - 1, divisor n - 1 (Student
    1908).
    """
    n = len(differences)
    if n < 2:
        return Undefined("one_unit" if n else "empty_arm")
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if spread <= 1e-14 * float(np.abs(differences).max()):
        return Undefined("zero_variance")
    error = spread / math.sqrt(n)
    width = critical_value(n - 1, alpha) * error
    return Interval(mean - width, mean + width), two_sided(mean / error, n - 1)


def wilcoxon(differences: Array) -> WilcoxonResult | Undefined:
    """Wilcoxon's signed-rank test, two-sided; zero differences are dropped (Wilcoxon 1945).

    Up to 50 differences: exact, by enumerating the sums of mid-ranks over all signs, which with ties is the
    permutation distribution given the ties. Above: normal with the tie correction ``n(n+1)(2n+1)/24 - sum of
    (t^3 - t)/48`` and without continuity correction.
    """
    kept = differences[differences != 0]
    n = len(kept)
    if not n:
        return Undefined("zero_variance" if len(differences) else "empty_arm")
    _, index, counts = np.unique(np.abs(kept), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    # Twice the mid-rank of a group of ties: first plus last rank, a whole number.
    doubled = (2 * ends - counts + 1)[index]
    positive, total = int(doubled[kept > 0].sum()), n * (n + 1)
    statistic = min(positive, total - positive)
    if n <= EXACT_PAIRS:
        ways = np.zeros(total + 1)
        ways[0] = 1.0
        for rank in doubled.tolist():
            ways[rank:] = ways[rank:] + ways[: total + 1 - rank]
        p_value = min(1.0, 2 * float(ways[: statistic + 1].sum()) / 2.0**n)
        return WilcoxonResult(statistic / 2, p_value, True)
    ties = float((counts.astype(float) ** 3 - counts).sum())
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    return WilcoxonResult(statistic / 2, two_sided((statistic / 2 - total / 4) / math.sqrt(variance)), False)


def mcnemar(baseline: Array, treatment: Array) -> McNemarResult | Undefined:
    """McNemar's exact test: ``min(1, 2 P(B <= min(b, c)))`` with B ~ binomial(b + c, 1/2) (McNemar 1947).

    For items whose averages are 0 or 1 in both arms; undefined when others occur, or when no item differs.
    """
    if not len(baseline):
        return Undefined("empty_arm")
    if not np.isin(np.concatenate([baseline, treatment]), (0.0, 1.0)).all():
        return Undefined("not_binary")
    only_baseline = int(((baseline == 1) & (treatment == 0)).sum())
    only_treatment = int(((baseline == 0) & (treatment == 1)).sum())
    differing = only_baseline + only_treatment
    if not differing:
        return Undefined("zero_variance")
    tail = float(bdtr(min(only_baseline, only_treatment), differing, 0.5))
    return McNemarResult(only_baseline, only_treatment, min(1.0, 2 * tail))


def bootstrap_interval(
    differences: Array, alpha: float, *, seed: int = 0, resamples: int = RESAMPLES
) -> Interval | Undefined:
    """The percentile interval of the mean difference over resampled items (Efron & Tibshirani 1993, chapter
    13).

    Linear quantiles of ``resamples`` means; the same ``seed`` gives the same interval.
    """
    n = len(differences)
    if n < 2:
        return Undefined("one_unit" if n else "empty_arm")
    if float(np.ptp(differences)) == 0:
        return Undefined("zero_variance")
    if resamples < 100:
        raise ValueError("a bootstrap interval needs 100 resamples or more")
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    chunk = max(1, 2_000_000 // n)
    for start in range(0, resamples, chunk):
        stop = min(resamples, start + chunk)
        means[start:stop] = differences[generator.integers(0, n, (stop - start, n))].mean(axis=1)
    low, high = np.quantile(means, [alpha / 2, 1 - alpha / 2])
    return Interval(float(low), float(high))
