"""From the settings of an experiment and the data of its arms to comparisons and a verdict."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .analysis_input import DEFAULTS
from .statistics.bayesian import NormalPrior
from .statistics.comparison import compare_all, correct
from .statistics.look_paths import LookPoint
from .statistics.results import ArmData, Metric, MetricResult, Settings
from .statistics.spending import Spending
from .statistics.values import Engine
from .statistics.verdict import Health, Progress, Verdict, breaches, decide

WINSORIZED = ("mean", "count", "ratio")
"""Kinds whose unit values may be cut off; of a ratio it is the numerator."""
STRATIFIED = ("proportion", "mean", "count")
"""Kinds whose arms may be compared stratum by stratum."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric with its data, an entry for each arm, the baseline first; ``arms`` None before an analysis."""

    metric: Metric
    variants: tuple[str, ...]
    arms: tuple[ArmData, ...] | None


@dataclass(frozen=True, slots=True)
class Judged:
    """What an experiment comes to by one engine."""

    settings: Settings
    results: list[MetricResult]
    verdict: Verdict


def settings_of(
    analysis: Mapping[str, Any],
    *,
    engine: Engine | None = None,
    alpha: float | None = None,
    looks: tuple[float, ...] = (),
    final: bool = False,
    seen: Mapping[tuple[str, str], tuple[LookPoint, ...]] | None = None,
) -> Settings:
    """The settings an experiment states, with the defaults; ``engine`` and ``alpha`` in the place of its own."""
    said = {**DEFAULTS, **analysis}
    prior = said["prior"]
    return Settings(
        engine=engine or said["engine"],
        alpha=said["alpha"] if alpha is None else alpha,
        power=said["power"],
        correction=said["correction"],
        cuped=said["cuped"],
        tuning_n=said["tuning_n"],
        prior=None if prior is None else NormalPrior(prior["mean"], prior["sd"], "relative"),
        spending=Spending(said["spending"]),
        looks=looks,
        final_look=final,
        planned_looks=said["planned_looks"],
        seen=seen,
    )


def cap_of(kind: str, winsorize: float | None, analysis: Mapping[str, Any]) -> float | None:
    """The percentile above which a metric's unit values are cut off: its own, else the experiment's."""
    if kind not in WINSORIZED:
        return None
    found = winsorize if winsorize is not None else analysis.get("winsorize")
    return None if found is None else float(found)


def strata_of(kind: str, analysis: Mapping[str, Any]) -> str | None:
    """What a metric is post-stratified by: ``day`` (of the first exposure), ``covariate`` or nothing."""
    found = analysis.get("stratify")
    return str(found) if found is not None and kind in STRATIFIED else None


def needs_units(kind: str, winsorize: float | None, analysis: Mapping[str, Any]) -> bool:
    """Whether a metric cannot be compared from sums alone."""
    return (
        kind == "quantile"
        or cap_of(kind, winsorize, analysis) is not None
        or strata_of(kind, analysis) is not None
    )


def compare_measure(measure: Measure, settings: Settings) -> MetricResult:
    """Every arm against the baseline. What the metric's kind cannot have is said, never raised."""
    empty = tuple(ArmData(variant) for variant in measure.variants)
    if measure.arms is None:
        return _undefined(compare_all(measure.metric, empty, settings), "not_analysed")
    try:
        return compare_all(measure.metric, measure.arms, settings)
    except ValueError:
        # A share of values that add up to more than one a unit, or sums that no float holds.
        reason = "not_binary" if measure.metric.kind == "proportion" else "overflow"
        return _undefined(compare_all(measure.metric, empty, settings), reason)


def judge(
    measures: Sequence[Measure],
    settings: Settings,
    health: Health,
    progress: Progress,
    stopped: Collection[str] = (),
) -> Judged:
    """Comparisons of all metrics, corrected, and the verdict; an arm in ``stopped`` cannot be shipped."""
    results = correct([compare_measure(measure, settings) for measure in measures], settings)
    return Judged(settings, results, _verdict(results, settings, health, progress, stopped))


def _undefined(result: MetricResult, reason: Any) -> MetricResult:
    return replace(result, comparisons=tuple(replace(one, undefined=reason) for one in result.comparisons))


def _verdict(
    results: Sequence[MetricResult],
    settings: Settings,
    health: Health,
    progress: Progress,
    stopped: Collection[str],
) -> Verdict:
    breached = {variant for _, variant in breaches(results)}
    gone = set(stopped) - breached
    if not gone:
        return decide(results, health, progress, settings)
    left = [
        replace(result, comparisons=tuple(one for one in result.comparisons if one.variant not in gone))
        for result in results
    ]
    found = decide(left, health, progress, settings)
    if any(result.comparisons for result in left) or found.code in ("unhealthy", "not_started"):
        return found
    why = ", ".join(sorted(gone))
    baseline = results[0].arms[0].variant if results and results[0].arms else "the baseline"
    text = f"Stay with {baseline}: every other arm was stopped ({why})."
    return Verdict("roll_back", text, blockers=tuple(f"{name} was stopped" for name in sorted(gone)))
