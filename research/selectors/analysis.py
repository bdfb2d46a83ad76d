"""Results with what they mean: comparisons by an engine, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.errors import Invalid
from research.domain.analysis_inputs import arms_of
from research.domain.analysis_json import judged_json, seen_at, tails_of, verdict_json
from research.domain.analysis_rules import Measure, judge, settings_of
from research.domain.looks import next_planned
from research.domain.segments import PREFIX, attribute_of
from research.domain.statistics.results import Settings
from research.domain.statistics.values import Engine
from research.domain.statistics.verdict import Health, Progress, decide
from research.models import Analysis, AnalysisSegment, Look, Metric

from .arm_data import arms_json, health_of, live_measures, progress_of
from .results import ArmResult, ExperimentResults, MetricResult, PhaseData, read_results

GROUPS: Final = ("covariate:none", "covariate:low", "covariate:high")


@dataclass(frozen=True, slots=True)
class AnalysedResults:
    """Units, sums and exposures as they are now, and what they come to (``analysis_json.judged_json``).

    ``analysis`` is the last reading of all units: what quantiles, winsorised metrics and segments are as of.
    ``looks`` are those taken, with the share at which the next is due, None after the last one and the end of the
    experiment; what a look saw stays as it was, and what to do follows from it as of now. Of a
    ``segment`` the comparisons are those within it. ``judged["arms"]`` are the arms by metric that were compared, where
    those are not the sums as they are now.
    """

    results: ExperimentResults
    judged: dict[str, Any]
    analysis: Analysis | None
    looks: list[Look]
    next_look: float | None
    segment: str | None = None

    @property
    def metrics(self) -> list[MetricResult]:
        """Every metric with the arms that its comparisons are of."""
        arms = self.judged.get("arms", {})
        return [
            MetricResult(one.metric, [ArmResult(**arm) for arm in arms[one.metric.key]])
            if one.metric.key in arms
            else one
            for one in self.results.metrics
        ]


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
        read = _read(name, phase, engine, alpha)
        if segment is None:
            return _whole(read)
        _check_segment(segment, read.data.experiment.analysis.get("segments", ()))
        return _within(read, segment, _segment_inputs(read.source, segment))


def segmented_results(
    name: str, phase: int | None = None, *, engine: Engine | None = None, alpha: float | None = None
) -> list[AnalysedResults]:
    """The results of all units, then those of every segment that the analysis knows, in the order in which it names
    them. One statement more than :func:`analysed_results`, however many segments there are.
    """
    with snapshot():
        read = _read(name, phase, engine, alpha)
        found = [_whole(read)]
        if read.source is not None:
            rows = AnalysisSegment.objects.filter(analysis=read.source)
            inputs = {**read.source.inputs["segments"], **dict(rows.values_list("name", "inputs"))}
            found += [_within(read, segment, inputs.get(segment, {})) for segment in segments_of(read.source)]
    return found


def segments_of(analysis: Analysis) -> list[str]:
    """The segments that an analysis knows: the built-in ones, then those by attributes."""
    named = analysis.inputs.get("attributes", ())
    return [*sorted(analysis.inputs["segments"]), *(name for name, _ in named)]


@dataclass(frozen=True, slots=True)
class _Read:
    """What the database says; ``alpha`` None where the experiment's own is asked for."""

    found: ExperimentResults
    analysis: Analysis | None
    looks: list[Look]
    settings: Settings
    alpha: float | None
    health: Health
    progress: Progress

    @property
    def data(self) -> PhaseData:
        return self.found.data

    @property
    def at_look(self) -> bool:
        """Whether results are those of the last look."""
        return self.settings.engine == "group_sequential" and bool(self.looks)

    @property
    def source(self) -> Analysis | None:
        """The analysis that segments are of."""
        return self.looks[-1].analysis if self.at_look else self.analysis


def _read(name: str, phase: int | None, engine: Engine | None, alpha: float | None) -> _Read:
    found = read_results(name, phase)
    data = found.data
    settings = settings_of(data.experiment.analysis, engine=engine, alpha=alpha)
    return _Read(
        found, latest_analysis(data), _looks(data), settings, alpha, health_of(data), progress_of(data)
    )


def _analysed(read: _Read, judged: dict[str, Any], segment: str | None = None) -> AnalysedResults:
    planned = None
    said = read.data.experiment.analysis
    over = read.progress.ended or bool(read.looks and read.looks[-1].final)
    if said.get("engine") == "group_sequential" and not over:
        planned = next_planned([look.fraction for look in read.looks], int(said.get("planned_looks", 5)))
    return AnalysedResults(read.found, judged, read.analysis, read.looks, planned, segment)


def _whole(read: _Read) -> AnalysedResults:
    """All units: by looks what the last one said, else the sums as they are."""
    data = read.data
    if not read.at_look:
        measures, stored = measures_of(data, read.analysis)
        return _analysed(read, {**_judged(read, measures, read.settings), "arms": arms_json(*stored)})
    last = read.looks[-1]
    judged: dict[str, Any] = last.analysis.result
    asked_anew = read.alpha not in (None, judged["alpha"])
    if asked_anew or _overtaken(read, judged["verdict"]):
        settings = replace(
            _look_settings(read),
            seen=seen_at([look.analysis.result.get("look") for look in read.looks]),
            tails=tails_of(judged["comparisons"]),
        )
        measures = _stored_measures(data, last.analysis.inputs.get("metrics", {}))
        anew = _judged(read, measures, settings)
        if asked_anew:
            judged = {**anew, "arms": arms_json(data.metrics, measures)}
        else:
            judged = {**judged, "verdict": anew["verdict"]}
    # What a look saw stays, but an experiment found to be ill since is not shipped by it.
    return _analysed(read, _if_healthy(read, judged))


def _overtaken(read: _Read, verdict: Mapping[str, Any]) -> bool:
    """Whether what the last look said to do may hold no longer: it waits, and no look or no arm is left to wait for, or
    the arm to ship was stopped.
    """
    stopped = stopped_arms(read.data)
    if verdict["code"] == "ship":
        return verdict["variant"] in stopped
    over = read.progress.ended or read.looks[-1].final or len(stopped) == len(read.data.variants) - 1
    return verdict["code"] == "keep_running" and over


def _within(read: _Read, segment: str, inputs: Mapping[str, Any]) -> AnalysedResults:
    """The units of a segment, ``inputs`` being its arms by metric; by looks it goes by the clock of all."""
    measures = _stored_measures(read.data, inputs)
    settings = _look_settings(read) if read.at_look else read.settings
    judged = {**_judged(read, measures, settings), "arms": arms_json(read.data.metrics, measures)}
    return _analysed(read, _if_healthy(read, judged) if read.at_look else judged, segment)


def _judged(read: _Read, measures: Sequence[Measure], settings: Settings) -> dict[str, Any]:
    return judged_json(judge(measures, settings, read.health, read.progress, stopped_arms(read.data)))


def _if_healthy(read: _Read, judged: dict[str, Any]) -> dict[str, Any]:
    now = decide([], read.health, read.progress, read.settings)
    return {**judged, "verdict": verdict_json(now)} if now.code == "unhealthy" else judged


def _look_settings(read: _Read) -> Settings:
    """The looks taken, as the last of them was asked; all comparisons by their clock."""
    last = read.looks[-1]
    return settings_of(
        last.analysis.settings,
        engine="group_sequential",
        alpha=read.alpha,
        looks=tuple(look.fraction for look in read.looks),
        final=last.final,
    )


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


def measures_of(
    data: PhaseData, analysis: Analysis | None
) -> tuple[list[Measure], tuple[list[Metric], list[Measure]]]:
    """Every metric with its arms: sums as they are now, from the analysis what cannot be had from sums; then those
    metrics that are from the analysis, if it has them, with their arms.
    """
    live = live_measures(data)
    if all(measure.arms is not None for measure in live):
        return live, ([], [])
    stored = _stored_measures(data, {} if analysis is None else analysis.inputs.get("metrics", {}))
    measures = [one if one.arms is not None else other for one, other in zip(live, stored, strict=True)]
    known = [
        (metric, other)
        for metric, one, other in zip(data.metrics, live, stored, strict=True)
        if one.arms is None and other.arms is not None
    ]
    return measures, ([metric for metric, _ in known], [other for _, other in known])


def _segment_inputs(analysis: Analysis | None, segment: str) -> Mapping[str, Any]:
    """The arms by metric of a segment; nothing where there are none."""
    if analysis is None:
        return {}
    if not segment.startswith(PREFIX):
        found: Mapping[str, Any] = analysis.inputs.get("segments", {}).get(segment, {})
        return found
    row = AnalysisSegment.objects.filter(analysis=analysis, name=segment).first()
    return {} if row is None else row.inputs


def _stored_measures(data: PhaseData, inputs: Mapping[str, Any]) -> list[Measure]:
    return [
        Measure(measure.metric, measure.variants, arms_of(inputs.get(measure.metric.key), measure.variants))
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
