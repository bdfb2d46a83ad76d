"""Results of runs that called others: one for each unit, of the topmost run that it was assigned to.

What a tree of runs comes to is worked out anew whenever one of them changes, under the locks of all of them, and
compared with what is recorded: so that whoever comes late, in whatever order, leads to the same results.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import transaction
from django.db.models import Q, QuerySet

from agent_factory_site.common.db.bulk import Write
from agent_factory_site.common.models import Entity
from operations.fleet.domain.run_outcomes import BUILT_IN, Outcome, outcome_cost, results_of, score_metric
from operations.fleet.domain.run_trees import Node, owners
from operations.fleet.events import RelatedRunsChanged
from operations.fleet.models import Run, RunVariant, run_key
from research.domain.result_input import ResultInput
from research.domain.values import unit_error
from research.selectors.definitions import Definitions, definitions
from research.selectors.recorded_results import RecordedResult, recorded_results
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
    names = {key: _events(members[key], unit) for key, (_, unit) in variants.items()}
    known = recorded_results(
        definition.id, [one for some in names.values() for ids in some.values() for one in ids]
    )
    events = {
        key: {metric: _event_of(ids, variants[key][1], known) for metric, ids in some.items()}
        for key, some in names.items()
    }
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
                fresh.append(_result(events[key][metric], unit, metric, value, at, revision))
        for metric, had in before.items():
            if metric not in wanted and had.value is not None:
                fresh.append(
                    _result(events[key][metric], had.unit_id, metric, None, had.occurred_at, revision)
                )
        if fresh:
            results += fresh
            sent[key] = max(revision, sent.get(key, 0))
    if exposures:
        report_exposures(experiment=definition.id, exposures=exposures)
    if results:
        send_results(definition.id, results)


def _events(run: _Member, unit: str | None) -> dict[str, list[str]]:
    """The ids of all results that a run may have, by metric: its own, and that for another unit than at first."""
    found = {}
    for metric in (*BUILT_IN, *map(score_metric, run.scores)):
        event_id = event_id_of(run.run_id, metric)
        found[metric] = [event_id] if unit is None else [event_id, _for_unit(event_id, unit)]
    return found


def _event_of(ids: Sequence[str], unit: str | None, known: Mapping[str, RecordedResult]) -> str:
    first = known.get(ids[0])
    return ids[0] if unit is None or first is None or first.unit_id == unit else ids[-1]


def _for_unit(event_id: str, unit: str) -> str:
    """The event id of a run whose result goes to another unit than at first: a result keeps its unit."""
    digest = hashlib.sha256(unit.encode()).hexdigest()[:16]
    return f"{event_id[:238]}@{digest}"


def _result(
    event_id: str, unit: str, metric: str, value: float | None, at: datetime, revision: int
) -> ResultInput:
    return ResultInput(
        unit_id=unit,
        metric=metric,
        value=value,
        event_id=event_id,
        occurred_at=at,
        revision=revision,
    )


def send_results(
    experiment: UUID,
    results: Sequence[ResultInput],
    *,
    known: Definitions | None = None,
    later: list[Write] | None = None,
) -> None:
    """Record results of runs; those that were another unit's at first go under an id of their own.

    ``known`` and ``later`` are those of :func:`record_results`.
    """
    recorded = record_results(experiment=experiment, results=results, known=known, later=later)
    rejected = recorded.rejected
    others = [results[place] for place, errors in rejected.items() if errors[0].code == "event_conflict"]
    if others:
        again = [
            msgspec.structs.replace(one, event_id=_for_unit(one.event_id, one.unit_id)) for one in others
        ]
        record_results(experiment=experiment, results=again, known=known, later=later)


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


def served_runs(runs: Collection[UUID]) -> dict[str, set[UUID]]:
    """Which of these runs carry variants, by experiment."""
    return {experiment: set(variants) for experiment, variants in _variants(runs).items()}


def withdraw_results(experiment: str, run_ids: Sequence[str], unit: int | None = None) -> None:
    """Take back all that runs brought to an experiment, in the caller's transaction, which has locked them.

    ``unit`` is the entity that they were thought to serve until now, where it is another than now.
    """
    definition = definitions().by_key.get(experiment)
    if definition is None:
        return
    prefixes = [event_id_of(run_id, metric) for run_id in run_ids for metric in BUILT_IN]
    keys = [run_key(one) for one in run_ids]
    scored = Run.objects.filter(pk__in=keys).values_list("run_id", "scores")
    prefixes += [event_id_of(name, score_metric(score)) for name, scores in scored for score in scores]
    units = {one.unit_id for one in recorded_results(definition.id, prefixes).values()}
    served = Q(pk__in=RunVariant.objects.filter(run__in=keys, unit__isnull=False).values("unit"))
    units.update(Entity.objects.filter(served | Q(pk=unit)).values_list("key", flat=True))
    ids = [*prefixes, *(_for_unit(one, unit) for one in prefixes for unit in units)]
    results = [
        _result(event_id, had.unit_id, had.metric, None, had.occurred_at, had.revision + 1)
        for event_id, had in sorted(recorded_results(definition.id, ids).items())
        if had.value is not None
    ]
    if results:
        record_results(experiment=definition.id, results=results)
