"""Carrying what runs came to into the other books: results of their experiments, samples of service levels.

A run's value replaces the one that it had before, by the run's revision; it is never added.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from agent_factory_site.common.errors import Conflict, NotFound
from operations.fleet.domain.run_outcomes import Outcome, matches, outcome_cost, results_of, sample_of
from operations.fleet.models import Run, RunVariant
from operations.slo.domain.sample_input import SampleInput
from operations.slo.selectors.sources import slis_of
from operations.slo.services.record_samples import record_samples
from research.domain.result_input import ResultInput
from research.domain.values import unit_error
from research.selectors.definitions import definitions
from research.services.assign import Exposure, report_exposures
from research.services.record_results import record_results

from .run_costs import recompute_costs
from .run_rows import CHUNK, MICRO_SECONDS, RunBooks, RunRow


class EndedRun(NamedTuple):
    """What a run came to, when it was, and the revision of its row that says so."""

    outcome: Outcome
    started_at: datetime
    ended_at: datetime
    revision: int


def settle_runs(*, run_ids: Collection[str], ended: Collection[UUID] = ()) -> None:
    """Bring the costs of runs up to the ledger, and carry what runs came to into the other books.

    ``ended`` are runs of which more than the cost is new. In the caller's transaction, after costs were
    recorded; repeated, it changes nothing.
    """
    changed = recompute_costs(run_ids=run_ids)
    join_runs(keys=ended)
    join_runs(keys=set(changed) - set(ended), only_cost=True)


def join_runs(*, keys: Collection[UUID], only_cost: bool = False) -> None:
    """Send what the runs of ``keys`` that are over came to; with ``only_cost``, what depends on their cost."""
    runs = _read(keys)
    if not runs:
        return
    _send_results(runs, only_cost)
    _send_samples(list(runs.values()), only_cost)


def send_run(*, key: UUID, run: EndedRun, served: bool) -> None:
    """Send what one run came to; ``served`` tells whether it has variants."""
    if served:
        _send_results({key: run}, only_cost=False)
    _send_samples([run], only_cost=False)


def ended_run(row: RunRow, books: RunBooks, agent: str) -> EndedRun:
    """What a run came to, by its row."""
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
    return EndedRun(outcome, row.started_at, row.ended_at or row.last_at, books.revision)


def _read(keys: Collection[UUID]) -> dict[UUID, EndedRun]:
    found: dict[UUID, EndedRun] = {}
    wanted = sorted(keys)
    for start in range(0, len(wanted), CHUNK):
        rows = Run.objects.filter(pk__in=wanted[start : start + CHUNK]).exclude(status=Run.Status.RUNNING)
        for (
            pk, run_id, agent, environment, release, status, latency, first_token, cost, costs, unpriced,
            scores, started_at, ended_at, last_at, revision,
        ) in rows.values_list(
            "pk", "run_id", "agent__key", "environment", "release", "status", "latency", "first_token", "cost",
            "costs", "unpriced", "scores", "started_at", "ended_at", "last_at", "revision",
        ):  # fmt: skip
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
            found[pk] = EndedRun(outcome, started_at, ended_at or last_at, revision)
    return found


def _send_results(runs: dict[UUID, EndedRun], only_cost: bool) -> None:
    ids = sorted(runs)
    by_experiment: dict[str, list[tuple[UUID, str, str]]] = {}
    for start in range(0, len(ids), CHUNK):
        rows = RunVariant.objects.filter(run__in=ids[start : start + CHUNK], unit__isnull=False)
        for run, experiment, variant, unit in rows.values_list(
            "run_id", "experiment", "variant", "unit__key"
        ):
            if unit_error(unit) is None:
                by_experiment.setdefault(experiment, []).append((run, variant, unit))
    if not by_experiment:
        return
    known = definitions().by_key
    for experiment, served in sorted(by_experiment.items()):
        definition = known.get(experiment)
        if definition is None:
            continue
        if not only_cost:
            exposures = [Exposure(unit, variant, {}, runs[run].started_at) for run, variant, unit in served]
            report_exposures(experiment=definition.id, exposures=exposures)
        results = [
            ResultInput(
                unit_id=unit,
                metric=metric,
                value=value,
                event_id=f"run:{runs[run].outcome.run_id}:{metric}"[:255],
                occurred_at=runs[run].ended_at,
                revision=runs[run].revision,
            )
            for run, _, unit in served
            for metric, value in results_of(runs[run].outcome).items()
            if not only_cost or metric == "cost"
        ]
        if results:
            record_results(experiment=definition.id, results=results)


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
            with suppress(Conflict, NotFound), transaction.atomic():
                record_samples(sli=sli.key, samples=samples)


def _labels(outcome: Outcome) -> dict[str, str]:
    said = {"agent": outcome.agent, "environment": outcome.environment, "release": outcome.release}
    return {name: value for name, value in said.items() if value}
