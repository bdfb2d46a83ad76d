"""Results of runs that called others: one for each unit, of the topmost run that it was assigned to.

What a tree of runs comes to is worked out anew whenever one of them changes, under the locks of all of them, and
compared with what is recorded: so that whoever comes late, in whatever order, leads to the same results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from operations.fleet.domain.run_outcomes import BUILT_IN, Outcome, outcome_cost, results_of, score_metric
from operations.fleet.domain.run_trees import Node, owners
from operations.fleet.events import RelatedRunsChanged
from operations.fleet.models import Run, RunVariant
from research.domain.result_input import ResultInput
from research.domain.values import unit_error
from research.selectors.definitions import definitions
from research.selectors.recorded_results import recorded_results
from research.services.assign import Exposure, report_exposures
from research.services.record_results import record_results

from .run_rows import CHUNK, MICRO_SECONDS

MOST: Final = 10_000
"""Runs of one tree that are looked at: what hangs below them counts by itself."""
_LEVELS: Final = 64
_TRIES: Final = 5


class _Member(NamedTuple):
    """A run of a tree, as far as results depend on it."""

    id: UUID
    run_id: str
    parent: UUID | None
    agent: str
    environment: str
    release: str
    status: str
    latency: int | None
    first_token: int | None
    cost: int
    costs: int
    unpriced: int
    scores: dict[str, float]
    started_at: datetime
    ended_at: datetime | None
    last_at: datetime
    revision: int

    def outcome(self, members: Iterable[_Member]) -> Outcome:
        """What it came to, with what ``members`` cost, itself among them."""
        some = list(members)
        return Outcome(
            self.run_id,
            self.agent,
            self.environment,
            self.release,
            self.status,
            None if self.latency is None else self.latency / MICRO_SECONDS,
            None if self.first_token is None else self.first_token / MICRO_SECONDS,
            outcome_cost(
                sum(one.cost for one in some),
                sum(one.costs for one in some),
                sum(one.unpriced for one in some),
            ),
            self.scores,
        )


_COLUMNS: Final = tuple("agent__key" if name == "agent" else name for name in _Member._fields)
_Variants = dict[str, dict[UUID, tuple[str, str | None]]]
"""By experiment and run: the variant, and the unit where the run was assigned by itself."""


def event_id_of(run_id: str, metric: str) -> str:
    """The event id of one result of a run."""
    return f"run:{run_id}:{metric}"[:255]


def follow_trees(event: RelatedRunsChanged) -> None:
    """Bring the results of the trees that these runs belong to up to what they came to."""
    with transaction.atomic():
        members = _locked_trees({UUID(one) for one in event.runs})
        variants = _variants(members)
        sent: dict[UUID, int] = {}
        for experiment in sorted(variants):
            _settle(experiment, members, variants[experiment], sent)
        for key, revision in sorted(sent.items()):
            # What is said of the run by itself from now on has to be newer.
            Run.objects.filter(pk=key, revision__lt=revision).update(revision=revision)


def _settle(
    experiment: str,
    members: dict[UUID, _Member],
    variants: dict[UUID, tuple[str, str | None]],
    sent: dict[UUID, int],
) -> None:
    definition = definitions().by_key.get(experiment)
    if definition is None:
        return
    nodes = {
        key: Node(one.parent, variants[key][1] if key in variants else None) for key, one in members.items()
    }
    counted: dict[UUID, list[_Member]] = {}
    for key, owner in owners(nodes).items():
        counted.setdefault(owner, []).append(members[key])
    events = {key: _events(members[key]) for key in variants}
    known = recorded_results(definition.id, [one for some in events.values() for one in some.values()])
    exposures: list[Exposure] = []
    results: list[ResultInput] = []
    for key, (variant, unit) in sorted(variants.items()):
        run = members[key]
        if run.status == Run.Status.RUNNING and key in counted:
            continue
        if unit is not None:
            exposures.append(Exposure(unit, variant, {}, run.started_at))
        wanted = results_of(run.outcome(counted[key])) if key in counted else {}
        before = {name: known[one] for name, one in events[key].items() if one in known}
        revision = max([run.revision, *(one.revision for one in before.values())]) + 1
        fresh = []
        for metric, value in wanted.items():
            at, had = run.ended_at or run.last_at, before.get(metric)
            if unit is not None and (had is None or (had.value, had.occurred_at) != (value, at)):
                fresh.append(_result(run, unit, metric, value, at, revision))
        for metric, had in before.items():
            if metric not in wanted and had.value is not None:
                fresh.append(_result(run, had.unit_id, metric, None, had.occurred_at, revision))
        if fresh:
            results += fresh
            sent[key] = max(revision, sent.get(key, 0))
    if exposures:
        report_exposures(experiment=definition.id, exposures=exposures)
    if results:
        record_results(experiment=definition.id, results=results)


def _events(run: _Member) -> dict[str, str]:
    """The ids of all results that a run may have, by metric."""
    metrics = [*BUILT_IN, *map(score_metric, run.scores)]
    return {metric: event_id_of(run.run_id, metric) for metric in metrics}


def _result(
    run: _Member, unit: str, metric: str, value: float | None, at: datetime, revision: int
) -> ResultInput:
    return ResultInput(
        unit_id=unit,
        metric=metric,
        value=value,
        event_id=event_id_of(run.run_id, metric),
        occurred_at=at,
        revision=revision,
    )


def _locked_trees(keys: Collection[UUID]) -> dict[UUID, _Member]:
    """The runs that called these and that they called, locked in the order of their keys.

    What hangs together is looked at again under the locks, because it may have changed before they were had.
    """
    members: dict[UUID, _Member] = {}
    wanted = _related(keys)
    for _ in range(_TRIES):
        members = {}
        ordered = sorted(wanted)
        for start in range(0, len(ordered), CHUNK):
            rows = Run.objects.filter(pk__in=ordered[start : start + CHUNK]).order_by("pk")
            for row in _locked(rows).values_list(*_COLUMNS):
                members[row[0]] = _Member(*row)
        again = _related(keys)
        if again <= wanted:
            return members
        wanted |= again
    return members


def _locked(rows: QuerySet[Run]) -> QuerySet[Run]:
    return rows.select_for_update(no_key=True, of=("self",))


def _related(keys: Collection[UUID]) -> set[UUID]:
    """These runs, whoever called them, and all that were called by those."""
    seen: set[UUID] = set()
    above = set(keys)
    for _ in range(_LEVELS):
        seen |= above
        rows = Run.objects.filter(pk__in=above, parent__isnull=False).order_by()
        above = {one for one in rows.values_list("parent", flat=True) if one is not None} - seen
        if not above:
            break
    below = set(seen)
    while below and len(seen) < MOST:
        rows = Run.objects.filter(parent__in=below).order_by("pk")
        below = set(rows.values_list("pk", flat=True)[:MOST]) - seen
        seen |= below
    return seen


def _variants(members: Collection[UUID]) -> _Variants:
    found: _Variants = {}
    ordered = sorted(members)
    for start in range(0, len(ordered), CHUNK):
        rows = RunVariant.objects.filter(run__in=ordered[start : start + CHUNK])
        for run, experiment, variant, unit in rows.values_list(
            "run_id", "experiment", "variant", "unit__key"
        ):
            known = unit if unit is not None and unit_error(unit) is None else None
            found.setdefault(experiment, {})[run] = variant, known
    return found


def withdraw_results(gone: Sequence[tuple[UUID, str]]) -> None:
    """Take back what runs (key and id) brought to experiments that turned out to be no runs of their own.

    Called before their rows are deleted, in the same transaction.
    """
    for experiment, variants in sorted(_variants([key for key, _ in gone]).items()):
        definition = definitions().by_key.get(experiment)
        if definition is None:
            continue
        ids = [event_id_of(run_id, metric) for key, run_id in gone if key in variants for metric in BUILT_IN]
        results = [
            ResultInput(
                unit_id=had.unit_id,
                metric=had.metric,
                value=None,
                event_id=event_id,
                occurred_at=had.occurred_at,
                revision=had.revision + 1,
            )
            for event_id, had in sorted(recorded_results(definition.id, ids).items())
            if had.value is not None
        ]
        if results:
            record_results(experiment=definition.id, results=results)
