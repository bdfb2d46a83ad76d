"""Analyses: reading every unit of a phase anew, keeping what was found, and acting on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Max, Q

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.errors import Conflict, DomainError
from agent_factory_site.common.models import Job
from agent_factory_site.common.services.jobs import JobContext, enqueue
from research.domain.analysis_inputs import metrics_json
from research.domain.analysis_json import judged_json, seen_at
from research.domain.analysis_rules import Judged, Measure, judge, settings_of
from research.domain.arm_totals import QUANTILE
from research.domain.looks import DueLook, due_look, progress
from research.domain.over_time import over_time
from research.domain.statistics.results import METHOD_VERSION, ArmData
from research.domain.statistics.verdict import breaches
from research.domain.unit_table import far_off
from research.models import Analysis, AnalysisSegment, Experiment, Look
from research.selectors.analysis import stopped_arms
from research.selectors.arm_data import arms_json, health_of, measured, progress_of
from research.selectors.experiments import find_experiment, get_experiment
from research.selectors.results import PhaseData, phase_data
from research.selectors.unit_arms import UnitArms, read_arms

from .experiments import lock_experiment
from .lifecycle import stop_arm
from .rebuild_results import recentre_sums

log = logging.getLogger(__name__)

JOB: Final = "research.analyse"
AT_ONCE: Final = 100_000
"""Experiments of more units than this are analysed by a job."""
State = Experiment.State
Tick = Callable[[], object]


def request_analysis(*, experiment: UUID | str) -> Analysis | Job:
    """Analyse the last phase of an experiment now, or queue a job for it above ``AT_ONCE`` units.

    A job that waits already will read all that is there now: it is answered again. Raises :class:`NotFound`, and
    :class:`Conflict` where nothing has started.
    """
    row = get_experiment(experiment)
    with snapshot():
        units = sum(phase_data(row).units.values())
    if units > AT_ONCE:
        parameters = {"experiment": str(row.pk)}
        waiting = Job.objects.filter(kind=JOB, state=Job.State.QUEUED, parameters=parameters).first()
        return waiting or enqueue(kind=JOB, parameters=parameters, total=units)
    return analyse_experiment(experiment=row.pk)


def run_analysis_job(context: JobContext) -> dict[str, Any]:
    """The job: one analysis."""
    # Units are read in one snapshot, which cannot be written in.
    with context.pulse() as check:
        made = analyse_experiment(experiment=UUID(context.parameters["experiment"]), tick=check)
    return {"analysis": str(made.pk)}


def analyse_due() -> int:
    """Analyse what runs, and once more what has stopped since its last analysis; how many there were.

    One that fails holds up no other; it is logged, and tried again the next time.
    """
    rows = Experiment.objects.annotate(last=Max("analyses__as_of"))
    due = rows.filter(
        Q(state=State.RUNNING) | Q(state=State.STOPPED, last__isnull=False, last__lt=F("stopped_at"))
    )
    done = 0
    for pk in list(due.order_by("pk").values_list("pk", flat=True)):
        try:
            analyse_experiment(experiment=pk)
        except DomainError as error:
            log.warning("experiment %s was not analysed: %s", pk, error)
        else:
            done += 1
    return done


def analyse_experiment(*, experiment: UUID | str, tick: Tick = lambda: None) -> Analysis:
    """Read the units of the last phase, store what they come to, take the look that is due, and stop arms that
    breach a guardrail by the always-valid bound.

    Sums whose centre has drifted from the data are taken anew around their means first.
    """
    pk = find_experiment(experiment).pk
    with snapshot():
        data = phase_data(get_experiment(pk))
    if data.phase is None:
        raise Conflict("not_started", "The experiment has not started: there is nothing to analyse.")
    if _off_centre(data):
        recentre_sums(experiment=pk)
    with snapshot():
        data = phase_data(get_experiment(pk))
        units = read_arms(data, tick)
        health, progress_ = health_of(data), progress_of(data)
    measures = _measures(data, units)
    stopped = stopped_arms(data)

    def judged_at(looks: tuple[float, ...], *, final: bool, taken: Sequence[Look] = ()) -> Judged:
        seen = seen_at([look.analysis.result.get("look") for look in taken])
        settings = settings_of(data.experiment.analysis, looks=looks, final=final, seen=seen)
        return judge(measures, settings, health, progress_, stopped)

    row = retry_conflicts(lambda: _store(data, units, judged_at, stopped))
    _act(data, judged_at((), final=False))
    return row


def _measures(data: PhaseData, units: UnitArms) -> list[Measure]:
    return [Measure(measured(metric), units.variants, units.metrics[metric.key]) for metric in data.metrics]


def _off_centre(data: PhaseData) -> bool:
    for arm in data.moments.values():
        if arm.n < 2 or arm.mean is None or arm.variance is None:
            continue
        if far_off(arm.x_shift, arm.mean, arm.variance):
            return True
    return False


def _store(
    data: PhaseData, units: UnitArms, judged_at: Callable[..., Judged], stopped: Sequence[str]
) -> Analysis:
    assert data.phase is not None
    with transaction.atomic():
        # Of two analyses at once one takes the look.
        row = lock_experiment(data.experiment.pk)
        judged = judged_at((), final=False)
        due, fraction = None, None
        if judged.settings.engine == "group_sequential":
            rows = Look.objects.filter(phase=data.phase).select_related("analysis").defer("analysis__inputs")
            taken = list(rows.order_by("number"))
            fractions = tuple(look.fraction for look in taken)
            looks = int(data.experiment.analysis.get("planned_looks", 5))
            fraction = progress(judged.results, judged.settings, looks, stopped)
            ended = row.state in (State.STOPPED, State.ARCHIVED) or data.phase.ended_at is not None
            if not any(look.final for look in taken):
                due = due_look(fraction, fractions, looks, ended=ended)
            if due is not None:
                judged = judged_at((*fractions, due.fraction), final=due.final, taken=taken)
        made = Analysis(
            experiment=row,
            phase=data.phase,
            as_of=data.as_of,
            method_version=METHOD_VERSION,
            settings=dict(data.experiment.analysis),
            inputs=_inputs(data, units),
            result=_result(data, units, judged, fraction),
        )
        made.save(force_insert=True)
        if due is not None:
            _take(made, due)
        _put_segments(made, units)
        record_audit(
            action="analyse",
            target_type="research.Experiment",
            target_id=str(row.pk),
            changes={"analysis": str(made.pk), "look": None if due is None else due.number},
        )
    return made


def _take(made: Analysis, due: DueLook) -> None:
    Look(
        analysis=made,
        phase=made.phase,
        number=due.number,
        planned=due.planned,
        fraction=due.fraction,
        final=due.final,
    ).save(force_insert=True)


def _put_segments(made: Analysis, units: UnitArms) -> None:
    """In the place of those of the analysis before, unless a look saw them."""
    stored = AnalysisSegment.objects.filter(analysis__phase=made.phase, analysis__look=None)
    stored.delete()
    AnalysisSegment.objects.bulk_create(
        AnalysisSegment(analysis=made, name=name, inputs=metrics_json(metrics))
        for name, metrics in units.attributes.items()
    )


def _inputs(data: PhaseData, units: UnitArms) -> dict[str, Any]:
    return {
        "variants": list(units.variants),
        "units": {variant.key: data.units[variant.pk] for variant in data.variants},
        "metrics": metrics_json(units.metrics),
        "segments": {name: metrics_json(metrics) for name, metrics in units.segments.items()},
        "caps": units.caps,
        # A list, because PostgreSQL keeps no order of names.
        **({"attributes": list(units.attribute_units.items())} if units.attribute_units else {}),
    }


def _result(data: PhaseData, units: UnitArms, judged: Judged, fraction: float | None) -> dict[str, Any]:
    primary = next((metric for metric in data.metrics if metric.role == "primary"), None)
    days: Mapping[str, Sequence[ArmData]] = {
        name.removeprefix("day:"): metrics[primary.key]
        for name, metrics in units.segments.items()
        if primary is not None and name.startswith("day:") and primary.kind != QUANTILE
    }
    srm = data.srm
    return {
        **judged_json(judged),
        "arms": arms_json(data.metrics, _measures(data, units)),
        "srm": {"p_value": srm.p_value, "ok": srm.ok},
        "information": fraction,
        "over_time": None
        if primary is None or not days
        else over_time(measured(primary), days, judged.settings),
    }


def _act(data: PhaseData, judged: Judged) -> None:
    """Stop the arms that breach a guardrail, each once."""
    if data.experiment.state not in (State.RUNNING, State.PAUSED):
        return
    stopped = set(stopped_arms(data))
    for metric, variant in breaches(judged.results):
        if variant in stopped:
            continue
        stopped.add(variant)
        try:
            stop_arm(
                experiment=data.experiment.pk,
                variant=variant,
                reason=f"Breaches its guardrail {metric} by the always-valid bound.",
            )
        except Conflict:
            # Somebody has stopped the whole experiment meanwhile.
            log.info("arm %s of %s need not be stopped", variant, data.experiment.key)
            return
