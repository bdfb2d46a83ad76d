"""Carrying what runs came to into the other books: results of their experiments, samples of service levels.

A run's value replaces the one that it had before, by the run's revision; it is never added.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from agent_factory_site.common.db.bulk import Write, write_all
from agent_factory_site.common.db.prepared import Asked, PreparedQuery
from agent_factory_site.common.errors import Conflict, NotFound
from agent_factory_site.common.outbox import publish
from operations.fleet.domain.run_outcomes import Outcome, matches, outcome_cost, results_of, sample_of
from operations.fleet.events import RelatedRunsChanged
from operations.fleet.models import Run, RunVariant
from operations.slo.domain.sample_input import SampleInput
from operations.slo.selectors.sources import slis_of
from operations.slo.services.record_samples import record_samples, withdraw_samples
from research.domain.assignment import Sticky
from research.domain.result_input import ResultInput
from research.domain.values import unit_error
from research.selectors.assignments import sticky_beside
from research.selectors.definitions import definitions, revision_asked
from research.services.assign import Exposure, report_exposures

from .run_costs import Reported, recompute_costs
from .run_rows import CHUNK, MICRO_SECONDS, RunBooks, RunRow
from .run_trees import event_id_of, send_results, served_runs, withdraw_results


class EndedRun(NamedTuple):
    """What a run came to, when it was, and the revision of its row that says so.

    ``unpriced`` tells that something of it has no price, ``related`` that it called others or was called:
    then what its experiments get follows through the outbox.
    """

    outcome: Outcome
    started_at: datetime
    ended_at: datetime
    revision: int
    unpriced: bool = False
    related: bool = False


def settle_runs(
    *,
    run_ids: Collection[str],
    ended: Collection[UUID] = (),
    relinked: Collection[UUID] = (),
    reported: Mapping[UUID, Reported] | None = None,
) -> None:
    """Bring the costs of runs up to the ledger, and carry what runs came to into the other books.

    ``ended`` are runs of which more than the cost is new, ``relinked`` those that are called by others than was
    thought; ``reported`` is added to its runs before. In the caller's transaction, after costs were recorded;
    repeated, it changes nothing.
    """
    changed = set(recompute_costs(run_ids=run_ids, reported=reported))
    _join(set(ended), changed - set(ended), set(relinked))


def join_runs(*, keys: Collection[UUID]) -> None:
    """Send what the runs of ``keys`` that are over came to."""
    _join(set(keys), set(), set())


def _join(whole: set[UUID], only_cost: set[UUID], relinked: set[UUID]) -> None:
    runs, related = _read(whole | only_cost | relinked)
    if related | relinked:
        publish(RelatedRunsChanged(runs=[str(key) for key in sorted(related | relinked)]))
    for keys, cost_alone in ((whole, False), (only_cost, True)):
        if some := {key: runs[key] for key in sorted(keys) if key in runs}:
            _send_results({key: run for key, run in some.items() if not run.related}, cost_alone)
            _send_samples(list(some.values()), cost_alone)


def served_asked(key: UUID) -> list[Asked]:
    """What :func:`send_run` wants to know of a run that has variants."""
    return [_SERVED.asked(key), revision_asked()]


def send_run(*, key: UUID, run: EndedRun, served: Sequence[list[tuple[Any, ...]]]) -> list[Write]:
    """Send what one run came to; ``served`` are the answers to :func:`served_asked`, none without variants.

    Answers what is left to be written: last, in the caller's transaction.
    """
    later: list[Write] = []
    if run.related:
        publish(RelatedRunsChanged(runs=[str(key)]))
    elif served:
        variants, tokens = served
        known = definitions(tokens[0][0] if tokens else None)
        for experiment, variant, unit, arm, phase in sorted(variants):
            definition = known.by_key.get(experiment)
            if definition is None or unit_error(unit) is not None:
                continue
            sticky = {unit: Sticky(arm, phase)} if arm is not None else {}
            exposures = [Exposure(unit, variant, {}, run.started_at)]
            report_exposures(experiment=definition.id, exposures=exposures, known=known, sticky=sticky)
            if results := _results(unit, run, only_cost=False):
                send_results(definition.id, results, known=known, later=later)
    if later and slis_of("runs"):
        # Sums of arms are locked before indicators.
        write_all(connection, later)
        later = []
    _send_samples([run], only_cost=False)
    return later


_SERVED: Final = PreparedQuery(
    lambda key: (
        RunVariant.objects.filter(run=key, unit__isnull=False)
        .order_by()
        .values_list("experiment", "variant", "unit__key", *sticky_beside("unit", "experiment"))
    ),
    UUID(int=1),
)


def withdraw_runs(rows: Sequence[RunRow]) -> None:
    """Take back what runs brought that turned out to be none, before they are forgotten."""
    names = {row.id: row.run_id for row in rows}
    for experiment, runs in sorted(served_runs(list(names)).items()):
        withdraw_results(experiment, [names[key] for key in sorted(runs)])
    event_ids = [row.run_id for row in rows]
    for sli in slis_of("runs"):
        with suppress(Conflict, NotFound), transaction.atomic():
            withdraw_samples(sli=sli.key, event_ids=event_ids)


def ended_run(row: RunRow, books: RunBooks, agent: str, *, related: bool) -> EndedRun:
    """What a run came to, by its row; ``related`` when it called others or was called."""
    outcome = Outcome(
        row.run_id,
        agent,
        row.environment,
        row.release,
        row.status,
        None if row.latency is None else row.latency / MICRO_SECONDS,
        None if row.first_token is None else row.first_token / MICRO_SECONDS,
        outcome_cost(books.cost, books.costs, books.unpriced),
        row.scores,
    )
    return EndedRun(
        outcome, row.started_at, row.ended_at or row.last_at, books.revision, books.unpriced > 0, related
    )


def _read(keys: Collection[UUID]) -> tuple[dict[UUID, EndedRun], set[UUID]]:
    """Those of the runs that are over, and those of all that called others or were called."""
    found: dict[UUID, EndedRun] = {}
    related: set[UUID] = set()
    wanted = sorted(keys)
    for start in range(0, len(wanted), CHUNK):
        rows = Run.objects.filter(pk__in=wanted[start : start + CHUNK])
        for (
            pk, run_id, agent, environment, release, status, latency, first_token, cost, costs, unpriced,
            scores, started_at, ended_at, last_at, revision, parent, called,
        ) in rows.values_list(
            "pk", "run_id", "agent__key", "environment", "release", "status", "latency", "first_token", "cost",
            "costs", "unpriced", "scores", "started_at", "ended_at", "last_at", "revision", "parent",
            Exists(Run.objects.filter(parent=OuterRef("pk"))),
        ):  # fmt: skip
            apart = parent is not None or bool(called)
            if apart:
                related.add(pk)
            if status == Run.Status.RUNNING:
                continue
            outcome = Outcome(
                run_id,
                agent,
                environment,
                release,
                status,
                None if latency is None else latency / MICRO_SECONDS,
                None if first_token is None else first_token / MICRO_SECONDS,
                outcome_cost(cost, costs, unpriced),
                scores,
            )
            found[pk] = EndedRun(outcome, started_at, ended_at or last_at, revision, unpriced > 0, apart)
    return found, related


def _said(run: EndedRun, only_cost: bool) -> dict[str, float | None]:
    """The values of a run by metric; None where one that was said before may be wrong now."""
    values: dict[str, float | None] = {**results_of(run.outcome)}
    if only_cost:
        values = {"cost": run.outcome.cost}
    elif run.outcome.status == Run.Status.CANCELLED:
        values |= {"success": None, "error": None}
    if run.unpriced:
        values["cost"] = None
    return values


def _send_results(runs: dict[UUID, EndedRun], only_cost: bool) -> None:
    known = definitions().by_key if runs else {}
    if not known:
        return
    ids = sorted(runs)
    by_experiment: dict[str, list[tuple[UUID, str, str]]] = {}
    for start in range(0, len(ids), CHUNK):
        rows = RunVariant.objects.filter(run__in=ids[start : start + CHUNK], unit__isnull=False)
        for run, experiment, variant, unit in rows.values_list(
            "run_id", "experiment", "variant", "unit__key"
        ):
            if unit_error(unit) is None:
                by_experiment.setdefault(experiment, []).append((run, variant, unit))
    for experiment, served in sorted(by_experiment.items()):
        definition = known.get(experiment)
        if definition is None:
            continue
        if not only_cost:
            exposures = [Exposure(unit, variant, {}, runs[run].started_at) for run, variant, unit in served]
            report_exposures(experiment=definition.id, exposures=exposures)
        results = [each for run, _, unit in served for each in _results(unit, runs[run], only_cost)]
        if results:
            send_results(definition.id, results)


def _results(unit: str, run: EndedRun, only_cost: bool) -> list[ResultInput]:
    return [
        ResultInput(
            unit_id=unit,
            metric=metric,
            value=value,
            event_id=event_id_of(run.outcome.run_id, metric),
            occurred_at=run.ended_at,
            revision=run.revision,
        )
        for metric, value in _said(run, only_cost).items()
    ]


def _send_samples(runs: list[EndedRun], only_cost: bool) -> None:
    for sli in slis_of("runs"):
        if only_cost and sli.kind != "cost" and sli.source_filter.get("measure") != "cost":
            continue
        samples = []
        for run in runs:
            if not matches(sli.source_filter, run.outcome):
                continue
            sample = sample_of(sli.kind, sli.unit, sli.threshold is not None, sli.source_filter, run.outcome)
            if sample is None:
                continue
            samples.append(
                SampleInput(
                    event_id=run.outcome.run_id,
                    timestamp=run.ended_at,
                    good=sample.good,
                    total=None if sample.good is None else 1,
                    value=sample.value,
                    labels=_labels(run.outcome),
                    revision=run.revision,
                )
            )
        if samples:
            # An indicator that was archived a moment ago takes no more.
            with suppress(Conflict, NotFound):
                record_samples(sli=sli.key, samples=samples)


def _labels(outcome: Outcome) -> dict[str, str]:
    said = {"agent": outcome.agent, "environment": outcome.environment, "release": outcome.release}
    return {name: value for name, value in said.items() if value}
