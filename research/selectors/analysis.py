"""Results with what they mean: comparisons by an engine, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.errors import Invalid
from research.domain.analysis_inputs import arms_of
from research.domain.analysis_json import estimates_json, judged_json, seen_at, verdict_json
from research.domain.analysis_rules import Judged, Measure, judge, settings_of
from research.domain.looks import next_planned
from research.domain.segments import PREFIX, attribute_of
from research.domain.statistics.values import Engine
from research.domain.statistics.verdict import decide
from research.models import Analysis, AnalysisSegment, Look

from .arm_data import health_of, live_measures, progress_of
from .results import ExperimentResults, PhaseData, read_results

GROUPS: Final = ("covariate:none", "covariate:low", "covariate:high")


@dataclass(frozen=True, slots=True)
class AnalysedResults:
    """Units, sums and exposures as they are now, and what they come to (``analysis_json.judged_json``).

    ``analysis`` is the last reading of all units: what quantiles, winsorised metrics and segments are as of.
    ``looks`` are those taken, with the share at which the next is due; what a look saw stays as it was. Of a
    ``segment`` the comparisons and ``judged["arms"]`` are those within it.
    """

    results: ExperimentResults
    judged: dict[str, Any]
    analysis: Analysis | None
    looks: list[Look]
    next_look: float | None
    segment: str | None = None


def analysed_results(
    name: str,
    phase: int | None = None,
    *,
    engine: Engine | None = None,
    alpha: float | None = None,
    segment: str | None = None,
) -> AnalysedResults:
    """The results of a phase compared by ``engine`` at ``alpha``, those of the experiment where left out.

    A fixed number of statements. Raises :class:`NotFound` for an experiment or a phase that there is not,
    :class:`Invalid` for a segment that cannot be.
    """
    with snapshot():
        found = read_results(name, phase)
        data = found.data
        if segment is not None:
            _check_segment(segment, data.experiment.analysis.get("segments", ()))
        analysis = latest_analysis(data)
        looks = _looks(data)
        chosen = settings_of(data.experiment.analysis, engine=engine, alpha=alpha)
        if chosen.engine == "group_sequential" and looks:
            judged = _at_look(data, looks, alpha, segment)
            # What a look saw stays, but an experiment found to be ill since is not shipped by it.
            now = decide([], health_of(data), progress_of(data), chosen)
            if now.code == "unhealthy":
                judged = {**judged, "verdict": verdict_json(now)}
        else:
            measures = measures_of(data, analysis, segment)
            judged = _judged_json(
                judge(measures, chosen, health_of(data), progress_of(data), stopped_arms(data)), segment
            )
    planned = None
    if data.experiment.analysis.get("engine") == "group_sequential" and not (looks and looks[-1].final):
        count = int(data.experiment.analysis.get("planned_looks", 5))
        planned = next_planned([look.fraction for look in looks], count)
    return AnalysedResults(found, judged, analysis, looks, planned, segment)


def latest_analysis(data: PhaseData) -> Analysis | None:
    """The last analysis of the phase."""
    rows = Analysis.objects.filter(phase=data.phase).order_by("-as_of", "-id")
    found: Analysis | None = rows.first()
    return found


def stopped_arms(data: PhaseData) -> list[str]:
    """Arms that take no new units."""
    return [variant.key for variant in data.variants if variant.stopped_at is not None]


def _looks(data: PhaseData) -> list[Look]:
    """The looks with what they said. What they saw, which is long, is read where something needs it."""
    rows = Look.objects.filter(phase=data.phase).select_related("analysis").defer("analysis__inputs")
    return list(rows.order_by("number"))


def _at_look(
    data: PhaseData, looks: Sequence[Look], alpha: float | None, segment: str | None
) -> dict[str, Any]:
    """What the last look said; at another alpha or of a segment, worked out from what it saw."""
    last = looks[-1]
    stored: dict[str, Any] = last.analysis.result
    if segment is None and alpha in (None, stored["alpha"]):
        return stored
    settings = settings_of(
        last.analysis.settings,
        engine="group_sequential",
        alpha=alpha,
        looks=tuple(look.fraction for look in looks),
        final=last.final,
        # Those of a segment are others, and go by the clock of all.
        seen=None if segment is not None else seen_at([look.analysis.result.get("look") for look in looks]),
    )
    measures = _stored_measures(data, last.analysis, segment)
    return _judged_json(
        judge(measures, settings, health_of(data), progress_of(data), stopped_arms(data)), segment
    )


def _judged_json(judged: Judged, segment: str | None) -> dict[str, Any]:
    found = judged_json(judged)
    return found if segment is None else {**found, "arms": estimates_json(judged)}


def measures_of(data: PhaseData, analysis: Analysis | None, segment: str | None) -> list[Measure]:
    """Every metric with its arms: sums as they are now, from the analysis what cannot be had from sums."""
    if segment is not None:
        return _stored_measures(data, analysis, segment)
    live = live_measures(data)
    if all(measure.arms is not None for measure in live):
        return live
    stored = _stored_measures(data, analysis, None)
    return [one if one.arms is not None else other for one, other in zip(live, stored, strict=True)]


def _stored_measures(data: PhaseData, analysis: Analysis | None, segment: str | None) -> list[Measure]:
    inputs = {} if analysis is None else analysis.inputs
    metrics = inputs.get("metrics", {})
    if segment is not None:
        metrics = inputs.get("segments", {}).get(segment, {})
        if segment.startswith(PREFIX):
            row = AnalysisSegment.objects.filter(analysis=analysis, name=segment).first()
            metrics = {} if row is None else row.inputs
    return [
        Measure(measure.metric, measure.variants, arms_of(metrics.get(measure.metric.key), measure.variants))
        for measure in live_measures(data)
    ]


def _check_segment(segment: str, attributes: Sequence[str]) -> None:
    named = attribute_of(segment)
    if named is not None and named[0] in attributes:
        return
    kind, _, rest = segment.partition(":")
    if segment in GROUPS:
        return
    if kind == "day":
        try:
            date.fromisoformat(rest)
        except ValueError:
            pass
        else:
            return
    detail = (
        f"Is {', '.join(GROUPS)}, day:2026-11-20, or attribute:<name>=<value> of an attribute of the analysis"
    )
    detail += f" ({', '.join(attributes)})." if attributes else ", which names none."
    raise Invalid.field_error("?segment", "unknown_segment", detail)
