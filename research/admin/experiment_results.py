"""What an experiment's results mean, for its page: worked out from what was read, without a statement of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from django.utils.safestring import SafeString

from agent_factory_site.common.charts import Effect, EffectGroup, forest_chart
from research.domain.analysis_input import DEFAULTS, ENGINES
from research.domain.statistics.bayesian import PEEKING
from research.domain.statistics.health import Balance
from research.models import Metric
from research.selectors.analysis import AnalysedResults
from research.selectors.arm_data import health_of

from .effect_words import (
    chance_words,
    change_words,
    effect_format,
    effect_words,
    interval_words,
    p_sentence,
    p_words,
    reason_words,
    relative_interval_words,
    relative_words,
    size_words,
)
from .experiment_progress import looks_context, over_time_context
from .experiment_segments import segments_context
from .experiment_view import ROWS, View
from .experiment_words import badge, percent

ENGINE_NAMES: Final = {
    "sequential": "Always-valid",
    "fixed": "Fixed horizon",
    "group_sequential": "Group sequential",
    "bayesian": "Bayesian",
}
VERDICTS: Final = {
    "ship": ("Ship", "af-badge-good"),
    "roll_back": ("Roll back", "af-badge-bad"),
    "keep_running": ("Keep running", "af-badge-info"),
    "unhealthy": ("Unhealthy", "af-badge-bad"),
    "not_started": ("Not started", ""),
}
GUARDRAILS: Final = {
    "held": ("held", "af-badge-good"),
    "breached": ("breached", "af-badge-bad"),
    "open": ("undecided", "af-badge-warn"),
    "undefined": ("unknown", ""),
}
URGENCY: Final = ("breached", "open", "undefined", "held")
OUTCOMES: Final = {
    "better": ("better", "af-badge-good"),
    "worse": ("worse", "af-badge-bad"),
    "undecided": ("undecided", ""),
    "undefined": ("unknown", ""),
}


def results_context(found: AnalysedResults, view: View) -> dict[str, Any]:
    """Verdict, effects, guardrails, power, looks, time, segments and health, in words and pictures."""
    data, judged = found.results.data, found.judged
    planned = {**DEFAULTS, **data.experiment.analysis}["engine"]
    metrics = {metric.key: metric for metric in data.metrics}
    if view.metric not in metrics:
        view = replace(view, metric=None)
    page = view.metrics(list(metrics), len(data.variants))
    keys = page.keys if view.metric is None else (view.metric,)
    shown = [metrics[key] for key in keys]
    primary = next((metric for metric in data.metrics if metric.role == Metric.Role.PRIMARY), data.metrics[0])
    chosen = metrics.get(view.metric or "", primary)
    key = data.experiment.key
    ended = data.experiment.stopped_at is not None or (
        data.phase is not None and data.phase.ended_at is not None
    )
    export = f"/api/v1/research/experiments/{key}/results"
    return {
        "verdict": _verdict(judged["verdict"], ended=ended),
        "change": change_words(
            judged["verdict"],
            primary.key,
            judged["engine"],
            {one.key: one.stopped_at for one in data.variants[1:]},
            breached={one["variant"] for one in judged["guardrails"] if one["state"] == "breached"},
            final=judged["engine"] == "group_sequential" and bool(found.looks) and found.looks[-1].final,
        ),
        "ended": ended,
        "engines": [
            {
                "name": ENGINE_NAMES[engine],
                "query": view.query(engine=None if engine == planned else engine),
                "on": engine == judged["engine"],
                "planned": engine == planned,
            }
            for engine in ENGINES
        ],
        "engine": ENGINE_NAMES[judged["engine"]],
        "planned_engine": ENGINE_NAMES[planned],
        "other_engine": judged["engine"] != planned,
        "bayesian": judged["engine"] == "bayesian",
        "metrics": [
            {"name": name, "query": view.query(metric=name), "on": name == view.metric} for name in metrics
        ],
        "all_metrics": view.query(metric=None),
        "all_on": view.metric is None,
        "level": percent(1 - judged["alpha"]),
        "as_of": data.as_of,
        "analysis": found.analysis,
        "metric_page": page if view.metric is None and len(page.keys) < page.total else None,
        "json": export + view.query(metric=None, by=None, page=None),
        "csv": export + view.query(metric=None, by=None, page=None, format="csv"),
        "segments_csv": export + view.query(metric=None, by=None, page=None, format="csv", segment="all"),
        "key": key,
        "forest": forest(found, shown, width=960),
        "forest_small": forest(found, shown, width=460),
        "comparisons": [_comparisons(found, metric) for metric in shown],
        "peeking": PEEKING,
        "guardrails": [_guardrail(found, metrics, one) for one in _urgent(judged["guardrails"])],
        "more_guardrails": max(0, len(judged["guardrails"]) - ROWS),
        "power": [_power(metrics, one) for one in judged.get("power", [])],
        "power_level": percent({**DEFAULTS, **data.experiment.analysis}["power"]),
        "time": over_time_context(found, primary),
        "looks": looks_context(found, primary),
        "segments": segments_context(found, chosen, view),
        "segment_metric": chosen,
        "health": _health(found),
    }


def _verdict(verdict: Mapping[str, Any], *, ended: bool) -> dict[str, Any]:
    word, kind = VERDICTS[verdict["code"]]
    if verdict["code"] == "keep_running" and ended:
        word, kind = "Left open", ""
    if verdict["code"] == "ship":
        word = f"Ship {verdict['variant']}"
    return {
        "badge": badge(word, kind),
        "code": verdict["code"],
        "text": verdict["text"],
        "blockers": verdict["blockers"],
        "more_units": verdict["more_units"],
        "days": verdict["days"],
    }


# --- Effects ------------------------------------------------------------------------------------


def _baseline_value(found: AnalysedResults, metric: Metric) -> float | None:
    rows = {result.metric.key: result for result in found.metrics}
    return rows[metric.key].arms[0].estimate


def margin_line(found: AnalysedResults, metric: Metric) -> float | None:
    """The effect at which a guardrail's margin ends, in the metric's unit; None without one."""
    if metric.role != Metric.Role.GUARDRAIL or metric.margin is None:
        return None
    size = metric.margin
    if metric.scale == Metric.Scale.RELATIVE:
        baseline = _baseline_value(found, metric)
        if baseline is None:
            return None
        size *= abs(baseline)
    return size if metric.direction == Metric.Direction.DECREASE else -size


def forest(found: AnalysedResults, metrics: list[Metric], *, width: float) -> SafeString:
    """Every effect with its interval; one that is not known has its reason in the place of a mark."""
    groups = []
    for metric in metrics:
        line = margin_line(found, metric)
        note = f"{metric.role}, {'up' if metric.direction == Metric.Direction.INCREASE else 'down'} is better"
        if line is not None:
            note += f"; dashed: margin {effect_words(metric, line)}"
        rows = [
            _effect(metric, one, found.judged["outcomes"].get(metric.key, {}).get(one["variant"], ""))
            for one in found.judged["comparisons"].get(metric.key, [])
        ]
        if rows:
            groups.append(EffectGroup(metric.key, rows, effect_format(metric), note, line))
    return forest_chart(
        title="Effects with their intervals, treatment minus baseline",
        groups=groups,
        empty="There is nothing to compare.",
        width=width,
    )


def _effect(metric: Metric, one: Mapping[str, Any], outcome: str) -> Effect:
    if one["effect"] is None or one["ci"] is None:
        return Effect(one["variant"], _reason(metric, one))
    low, high = one["ci"]
    words = f"{effect_words(metric, one['effect'])} ({interval_words(metric, one['ci'])})"
    if outcome == "better":
        return Effect(one["variant"], words, one["effect"], low, high, "better")
    if outcome == "worse":
        return Effect(one["variant"], words, one["effect"], low, high, "worse")
    return Effect(one["variant"], words, one["effect"], low, high)


def _reason(metric: Metric, one: Mapping[str, Any]) -> str:
    why = reason_words(one["undefined"])
    if one["effect"] is None:
        return why
    return f"{effect_words(metric, one['effect'])} so far, no interval: {why[0].lower()}{why[1:]}"


def _comparisons(found: AnalysedResults, metric: Metric) -> dict[str, Any]:
    outcomes = found.judged["outcomes"].get(metric.key, {})
    return {
        "metric": metric,
        "rows": [
            _comparison(metric, one, outcomes.get(one["variant"], "undefined"))
            for one in found.judged["comparisons"].get(metric.key, [])
        ],
    }


def _comparison(metric: Metric, one: Mapping[str, Any], outcome: str) -> dict[str, Any]:
    word, kind = OUTCOMES[outcome]
    cuped, bayesian, sequential = one["cuped"], one["bayesian"], one["sequential"]
    loss = bayesian["expected_loss"]
    return {
        "variant": one["variant"],
        "baseline": one["baseline"],
        "outcome": badge(word, kind),
        "effect": effect_words(metric, one["effect"]),
        "exact": one["effect"],
        "ci": interval_words(metric, one["ci"]),
        "relative": relative_words(one["relative_effect"]),
        "relative_ci": relative_interval_words(one["relative_ci"]),
        "p": p_words(one["p_value"]),
        "corrected": p_words(one["p_adjusted"]) if one["p_adjusted"] not in (None, one["p_value"]) else "",
        "always": interval_words(metric, sequential["ci"]),
        "always_p": p_words(sequential["p_value"]),
        "chance": chance_words(bayesian["chance_to_beat"]),
        "loss": size_words(metric, loss),
        "method": one["method"].replace("_", " "),
        "reason": reason_words(one["undefined"]) if one["undefined"] else "",
        "cuped": ""
        if cuped is None or cuped["variance_reduction"] is None
        else f"CUPED took away {percent(cuped['variance_reduction'], 1)} of the variance; "
        f"without it {effect_words(metric, cuped['raw_effect'])} ({interval_words(metric, cuped['raw_ci'])})",
    }


# --- Guardrails, power, health --------------------------------------------------------


def _urgent(guardrails: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """As they are; where they are very many those to act on first, and not all."""
    if len(guardrails) <= ROWS:
        return list(guardrails)
    return sorted(guardrails, key=lambda one: URGENCY.index(one["state"]))[:ROWS]


def _guardrail(
    found: AnalysedResults, metrics: Mapping[str, Metric], one: Mapping[str, Any]
) -> dict[str, Any]:
    metric = metrics[one["metric"]]
    word, kind = GUARDRAILS[one["state"]]
    compared = found.judged["comparisons"].get(metric.key, [])
    effect = next((each["effect"] for each in compared if each["variant"] == one["variant"]), None)
    margin = "none" if metric.margin is None else effect_words(metric, margin_line(found, metric))
    if metric.margin is not None and metric.scale == Metric.Scale.RELATIVE:
        margin += f" ({percent(metric.margin)})"
    return {
        "metric": metric.key,
        "variant": one["variant"],
        "state": badge(word, kind),
        "effect": effect_words(metric, effect),
        "margin": margin,
        "excess": effect_words(metric, one["excess"]),
        "ci": interval_words(metric, one["ci"]),
        "reason": reason_words(one["undefined"])
        if one["undefined"]
        else "It has no margin to be held against"
        if metric.margin is None
        else "",
    }


def _power(metrics: Mapping[str, Metric], one: Mapping[str, Any]) -> dict[str, Any]:
    metric = metrics[one["metric"]]
    needed, units = one["needed"], one["units"]
    return {
        "metric": metric.key,
        "variant": one["variant"],
        "units": units,
        "needed": needed,
        "share": None if not needed else percent(min(1.0, units / needed), 0),
        "width": None if not needed else min(100, round(100 * units / needed)),
        "detectable": size_words(metric, one["detectable"]),
        "target": size_words(metric, one["target"]),
        "planned": one["planned"],
    }


def _health(found: AnalysedResults) -> list[tuple[str, SafeString, str]]:
    """Each check with its badge and what it means."""
    health = health_of(found.results.data)
    ratio, balance, double = health.srm, health.balance, health.double_exposure
    rows = []
    if ratio.p_value is None:
        rows.append(("Sample ratio", badge("nothing to test yet"), "No unit has been exposed."))
    else:
        words = (
            "the shares of units that they were given" if ratio.ok else "other shares than they were given"
        )
        rows.append(
            (
                "Sample ratio",
                badge("ok", "af-badge-good") if ratio.ok else badge("mismatch", "af-badge-bad"),
                f"{p_sentence(ratio.p_value)}: arms hold {words}.",
            )
        )
    if double is not None and double.share is not None:
        rows.append(
            (
                "Units in two variants",
                badge("ok", "af-badge-good") if double.ok else badge("too many", "af-badge-bad"),
                f"{percent(double.share)} of the units were seen in more than one.",
            )
        )
    if isinstance(balance, Balance):
        rows.append(
            (
                "Alike before the exposure",
                badge("ok", "af-badge-good") if balance.ok else badge("apart", "af-badge-bad"),
                f"{p_sentence(balance.p_value)}; the covariate's means differ by up to "
                f"{balance.largest_difference:.3f} standard deviations.",
            )
        )
    else:
        rows.append(
            (
                "Alike before the exposure",
                badge("not known"),
                "The primary metric has no covariate to tell by.",
            )
        )
    caps = {} if found.analysis is None else found.analysis.inputs["caps"]
    for name, cap in sorted(caps.items()):
        rows.append((f"Cut off: {name}", badge("winsorised"), f"Units above {cap:.5g} count as it."))
    return rows
