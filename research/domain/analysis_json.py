"""Comparisons and verdicts as JSON: what the API answers and a snapshot keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .analysis_rules import Judged
from .statistics.detectable import power_so_far
from .statistics.look_paths import LookPoint
from .statistics.noninferiority import Guardrail
from .statistics.results import Comparison, MetricResult, Settings
from .statistics.values import Interval, Undefined
from .statistics.verdict import Verdict


def finite(value: float | None) -> float | None:
    """The number, or None for one that JSON has no word for."""
    return value if value is not None and math.isfinite(value) else None


def interval_json(interval: Interval | None) -> list[float] | None:
    """``[low, high]``; None where there is none."""
    if interval is None or not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return None
    return [interval.low, interval.high]


def comparison_json(one: Comparison) -> dict[str, Any]:
    """One arm against the baseline."""
    cuped, bayesian, sequential = one.cuped, one.bayesian, one.sequential
    return {
        "variant": one.variant,
        "baseline": one.baseline,
        "effect": finite(one.effect),
        "ci": interval_json(one.interval),
        "relative_effect": finite(one.relative_effect),
        "relative_ci": interval_json(one.relative_interval),
        "p_value": finite(one.p_value),
        "p_adjusted": finite(one.p_adjusted),
        "method": one.method,
        "cuped": None
        if cuped is None
        else {
            "theta": finite(cuped.theta),
            "variance_reduction": finite(cuped.variance_reduction),
            "raw_effect": finite(cuped.raw_effect),
            "raw_ci": interval_json(cuped.raw_interval),
        },
        "bayesian": {
            "chance_to_beat": None if bayesian is None else finite(bayesian.chance_to_beat),
            "expected_loss": None if bayesian is None else finite(bayesian.expected_loss),
        },
        "sequential": {
            "ci": None if sequential is None else interval_json(sequential.interval),
            "p_value": None if sequential is None else finite(sequential.p_value),
        },
        "undefined": one.undefined,
        "text": one.text,
    }


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict in code and words, with what it names."""
    return {
        "code": verdict.code,
        "text": verdict.text,
        "variant": verdict.variant,
        "more_units": verdict.more_units,
        "days": verdict.days,
        "blockers": list(verdict.blockers),
    }


def guardrails_json(results: Sequence[MetricResult]) -> list[dict[str, Any]]:
    """Each guardrail in each arm: ``held``, ``breached``, ``open`` or ``undefined``; what exceeds its margin."""
    found = []
    for result in results:
        if result.metric.role != "guardrail":
            continue
        for one in result.comparisons:
            state = one.guardrail
            known = state if isinstance(state, Guardrail) else None
            reason = state.reason if isinstance(state, Undefined) else one.undefined
            found.append(
                {
                    "metric": result.metric.key,
                    "variant": one.variant,
                    "state": "undefined" if known is None else known.state,
                    "excess": None if known is None else finite(known.excess),
                    "ci": None if known is None else interval_json(known.interval),
                    "undefined": None if known is not None else reason,
                }
            )
    return found


def look_json(results: Sequence[MetricResult]) -> dict[str, Any] | None:
    """The group sequential look that was taken: its boundary in z, alpha spent by it, and z of the primary metric.

    ``points`` by metric and variant: the share at which its spending was asked, and the information that it had.
    """
    taken = [
        (one.variant, one.look)
        for result in results
        if result.metric.role == "primary"
        for one in result.comparisons
        if one.look is not None
    ]
    if not taken:
        return None
    first = taken[0][1]
    return {
        "boundary": finite(first.boundary),
        "spent": finite(first.spent),
        "arms": {
            name: {"z": finite(look.z), "boundary": finite(look.boundary), "crossed": look.crossed}
            for name, look in taken
        },
        "points": {
            result.metric.key: {
                one.variant: list(one.look.point) for one in result.comparisons if one.look is not None
            }
            for result in results
        },
    }


def seen_at(looks: Sequence[Mapping[str, Any] | None]) -> dict[tuple[str, str], tuple[LookPoint, ...]]:
    """What each comparison saw at ``looks`` (:func:`look_json`), by metric and variant; those that were not seen at
    every one of them are left out.
    """
    found: dict[tuple[str, str], list[LookPoint]] = {}
    for look in looks:
        for metric, arms in ((look or {}).get("points") or {}).items():
            for variant, point in arms.items():
                found.setdefault((metric, variant), []).append(LookPoint(*point))
    return {key: tuple(points) for key, points in found.items() if len(points) == len(looks)}


def tails_of(comparisons: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[tuple[str, str], float]:
    """The p-values of ``judged_json``'s comparisons, by metric and variant."""
    return {
        (metric, one["variant"]): one["p_value"]
        for metric, compared in comparisons.items()
        for one in compared
        if one["p_value"] is not None
    }


def power_json(results: Sequence[MetricResult], settings: Settings) -> list[dict[str, Any]]:
    """What can be seen by now, see :func:`power_so_far`."""
    return [
        {
            "metric": one.metric,
            "variant": one.variant,
            "units": one.units,
            "needed": one.needed,
            "detectable": finite(one.detectable),
            "target": finite(one.target),
            "planned": one.is_planned,
        }
        for one in power_so_far(results, settings)
    ]


def judged_json(judged: Judged) -> dict[str, Any]:
    """Everything an engine says of an experiment; ``comparisons`` by metric."""
    return {
        "engine": judged.settings.engine,
        "alpha": judged.settings.alpha,
        "verdict": verdict_json(judged.verdict),
        "guardrails": guardrails_json(judged.results),
        "power": power_json(judged.results, judged.settings),
        "look": look_json(judged.results),
        "outcomes": {
            result.metric.key: {one.variant: one.outcome for one in result.comparisons}
            for result in judged.results
        },
        "comparisons": {
            result.metric.key: [comparison_json(one) for one in result.comparisons]
            for result in judged.results
        },
    }
