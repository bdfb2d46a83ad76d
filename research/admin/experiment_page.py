"""Everything on the page of one experiment, read with a fixed number of queries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.utils.safestring import SafeString

from agent_factory_site.common.charts import Series, Slot, count_format, line_chart
from agent_factory_site.common.selectors.audit_events import find_audit_events
from research.domain.analysis_input import DEFAULTS
from research.domain.definition_input import THOUSANDTHS
from research.models import Experiment, Metric, Phase
from research.selectors.analysis import analysed_results
from research.selectors.experiments import list_overrides
from research.selectors.results import ArmResult, ExperimentResults, MetricResult, PhaseData
from research.selectors.standings import standings

from .experiment_results import View, results_context
from .experiment_words import (
    CORRECTION_WORDS,
    ENGINE_WORDS,
    SPENDING_WORDS,
    STATE_WORDS,
    STRATA_WORDS,
    aim_words,
    days_words,
    estimate_words,
    metric_words,
    percent,
    sample_ratio_badge,
    state_badge,
    targeting_words,
)

OVERRIDES_SHOWN: Final = 50
CHANGES_SHOWN: Final = 20
DAYS_DRAWN: Final = 1000
"""The last ones of a phase that lasts longer."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm as the page shows it."""

    key: str
    is_baseline: bool
    share: str
    units: int
    observed: str
    payload: str
    stopped_at: datetime | None
    stop_reason: str


def experiment_page(experiment: Experiment, *, asked: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """The context of the page, with the results that the query string asks for (:class:`View`).

    Raises ``NotFound`` for a phase there is not.
    """
    view = View.asked(asked)
    found = analysed_results(experiment.key, view.phase, engine=view.engine)
    results = found.results
    data = results.data
    parts = data.experiment
    stand = standings([experiment], now)[experiment.pk]
    overrides = list(list_overrides(experiment)[: OVERRIDES_SHOWN + 1])
    page = view.metrics([one.metric.key for one in results.metrics], len(data.variants))
    phases = sorted(parts.phases.all(), key=lambda one: one.number)
    return {
        "experiment": experiment,
        "state_badge": state_badge(experiment),
        "state_words": STATE_WORDS[str(experiment.state)],
        "stand": stand,
        "days": days_words(stand.running),
        "arms": _arms(data),
        "total": sum(data.units.values()),
        "rules": [targeting_words(rule) for rule in experiment.targeting],
        "coverage": percent(experiment.coverage),
        "group_range": _range(experiment),
        "group_share": None
        if experiment.exclusion_share is None
        else percent(experiment.exclusion_share / THOUSANDTHS),
        "phases": [(one, _phase_words(one), _weight_words(parts, one)) for one in phases],
        "phase": data.phase,
        "several_phases": len(phases) > 1,
        "srm": sample_ratio_badge(data.srm),
        "srm_bad": not data.srm.ok,
        "chart": exposure_chart(data, now) if data.phase is not None else None,
        "chart_small": exposure_chart(data, now, width=460) if data.phase is not None else None,
        "chart_days": _days(data, now) if data.phase is not None else [],
        "results": None if data.phase is None else results_context(found, view),
        "metrics": [_metric(one) for one in found.metrics if one.metric.key in page.keys],
        "metric_page": page if len(page.keys) < page.total else None,
        "judges": _judges(results),
        "analysis": _analysis(experiment),
        "overrides": overrides[:OVERRIDES_SHOWN],
        "more_overrides": len(overrides) > OVERRIDES_SHOWN,
        "changes": find_audit_events(
            target_type="research.Experiment", target_id=str(experiment.pk)
        ).order_by("-at", "-id")[:CHANGES_SHOWN],
    }


def pretty(payload: object) -> str:
    """JSON laid out over lines."""
    return json.dumps(payload, indent=2, ensure_ascii=False, sort_keys=True)


def _arms(data: PhaseData) -> list[Arm]:
    total = sum(data.units.values())
    return [
        Arm(
            key=variant.key,
            is_baseline=place == 0,
            share=percent(variant.weight),
            units=data.units[variant.pk],
            observed=percent(data.units[variant.pk] / total) if total else "–",
            payload=pretty(variant.payload),
            stopped_at=variant.stopped_at,
            stop_reason=variant.stop_reason,
        )
        for place, variant in enumerate(data.variants)
    ]


def _range(experiment: Experiment) -> str:
    if experiment.exclusion_from is None or experiment.exclusion_to is None:
        return ""
    low, high = experiment.exclusion_from / THOUSANDTHS, experiment.exclusion_to / THOUSANDTHS
    return f"{percent(low)} to {percent(high)}"


def _phase_words(phase: Phase) -> str:
    rules = " and ".join(targeting_words(rule) for rule in phase.targeting)
    return f"{percent(phase.coverage)} of {rules or 'everyone'}"


def _weight_words(experiment: Experiment, phase: Phase) -> str:
    arms = sorted(experiment.variants.all(), key=lambda one: one.position)
    return ", ".join(f"{arm.key} {percent(weight)}" for arm, weight in zip(arms, phase.weights))


def _drawn_days(data: PhaseData, now: datetime) -> list[date]:
    """Every day of the phase until now; a day without exposures is a day with none."""
    assert data.phase is not None
    first = min([data.phase.started_at.astimezone(UTC).date(), *data.days])
    last = max([(data.phase.ended_at or now).astimezone(UTC).date(), *data.days])
    first = max(first, last - timedelta(days=DAYS_DRAWN - 1))
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def exposure_chart(data: PhaseData, now: datetime, width: float = 960) -> SafeString:
    """Units first exposed on each day, a line per arm."""
    today = now.astimezone(UTC).date()
    days = _drawn_days(data, now)
    slots = [
        Slot(f"{day.day} {day:%b}", f"{day:%A}, {day.day} {day:%B %Y}", partial=day == today) for day in days
    ]
    # Nobody at all is a sentence, no line along the axis.
    series = [
        Series(
            variant.key,
            [data.days.get(day, {}).get(variant.pk, 0) if data.days else None for day in days],
        )
        for variant in data.variants
    ]
    return line_chart(
        title="Units first exposed by day and arm",
        slots=slots,
        series=series,
        style=count_format("units"),
        empty="Nobody has been exposed yet.",
        width=width,
        height=240,
    )


def _days(data: PhaseData, now: datetime) -> list[tuple[date, list[int]]]:
    """The numbers of the chart, the newest first."""
    return [
        (day, [data.days[day].get(variant.pk, 0) for variant in data.variants]) for day in reversed(data.days)
    ][:DAYS_DRAWN]


def _metric(result: MetricResult) -> dict[str, Any]:
    metric = result.metric
    return {
        "metric": metric,
        "words": metric_words(metric),
        "aim": aim_words(metric),
        "role_kind": {"primary": "af-badge-info", "guardrail": "af-badge-warn"}.get(str(metric.role), ""),
        "arms": [_arm(metric, arm) for arm in result.arms],
    }


def _arm(metric: Metric, arm: ArmResult) -> dict[str, Any]:
    return {
        "variant": arm.variant,
        "n": arm.n,
        "estimate": estimate_words(metric, arm.estimate),
        "sd": estimate_words(metric, arm.sd) if metric.kind != Metric.Kind.PROPORTION else _plain(arm.sd),
        "exact": {"estimate": arm.estimate, "sd": arm.sd},
        "undefined": arm.undefined or "",
    }


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _judges(results: ExperimentResults) -> list[str]:
    return [f"{judge.metric}: {judge.name} {judge.version}".strip() for judge in results.judges]


def _analysis(experiment: Experiment) -> list[tuple[str, str]]:
    said = {**DEFAULTS, **experiment.analysis}
    found = [
        ("Engine", ENGINE_WORDS[said["engine"]]),
        ("Alpha", f"{said['alpha']:g}"),
        ("Power", f"{said['power']:g}"),
        ("Correction", CORRECTION_WORDS[said["correction"]]),
        ("CUPED", "yes" if said["cuped"] else "no"),
    ]
    if said["engine"] == "group_sequential":
        found += [
            ("Planned looks", str(said["planned_looks"])),
            ("Spending", SPENDING_WORDS[said["spending"]]),
        ]
    if said["engine"] == "sequential":
        found.append(("Tuned to", f"{said['tuning_n']:,} units"))
    if said["prior"] is not None:
        found.append(
            ("Prior of the lift", f"normal, mean {said['prior']['mean']:g}, sd {said['prior']['sd']:g}")
        )
    if said["winsorize"] is not None:
        found.append(("Cut off above", f"quantile {said['winsorize']:g}"))
    if said["stratify"] is not None:
        found.append(("Post-stratified by", STRATA_WORDS[said["stratify"]]))
    if said["segments"]:
        found.append(("Segments by", ", ".join(said["segments"])))
    if said["min_runtime_days"]:
        found.append(("At least", f"{said['min_runtime_days']} days"))
    return found
