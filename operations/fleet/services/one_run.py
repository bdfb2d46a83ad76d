"""One run that begins or ends by itself: the same books as of a batch, in few statements.

What a batch reads again after each step is kept in hand here, because the run is under lock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from agent_factory_site.common.db.bulk import Insert, Write
from agent_factory_site.common.db.prepared import Asked
from agent_factory_site.common.db.slots import slot_of
from agent_factory_site.common.models import Entity
from agent_factory_site.common.selectors.entities import EntityName
from agent_factory_site.common.services.entities import resolve_entities
from financial.selectors.run_costs import run_cost_asked, run_cost_of
from operations.fleet.domain.comparing import Compared, sum_of, together
from operations.fleet.domain.run_said import RunSaid, combine, pack, unpack
from operations.fleet.models import API_PART, Agent, Run, RunPart
from research.selectors.definitions import Definitions

from .agents import KnownAgent
from .open_runs import OpenRun
from .record_runs import RecordedRuns, finish_recording, next_row, part_insert, said_of
from .run_costs import Reported, Telling, under_reported
from .run_rollups import run_slot_asked
from .run_rows import RunBooks, RunRow, insert_new, row_of, served_by, variant_rows
from .run_units import variant_units


def begin_recording(
    *, said: RunSaid, agent: KnownAgent, known: Definitions | None = None, first: Sequence[Write] = ()
) -> bool:
    """Record a run of which nothing was known, with its audit event and rollups; whether it is new indeed.

    ``first`` is written with it. ``known`` are the definitions that the run's variants are of.
    """
    row = row_of(said, {said.agent: agent}, resolve_entities(names_of(said)))
    if not insert_new([row], timezone.now()):
        return False
    writes = [*first, part_insert([(row.id, API_PART, pack(said))])]
    if said.experiments:
        units = variant_units({row.id: said}, {said.agent: agent}, known)
        served = sorted(served_by(said, units).items())
        writes.append(variant_rows([(row.id, experiment, *one) for experiment, one in served]))
    finish_recording(RecordedRuns({row.id: (None, row)}), writes)
    return True


def told_row(run: OpenRun, said: RunSaid) -> tuple[RunRow, list[Insert]]:
    """The row of a run of which the API says ``said`` now, and what is to be written besides it."""
    parts = [said]
    rows = [(run.row.id, API_PART, pack(said))]
    if not run.alone:
        others = RunPart.objects.filter(run=run.row.id).exclude(trace_id=API_PART)
        parts += [unpack(bytes(packed)) for packed in others.values_list("said", flat=True)]
        if len(parts) == 1 and run.row.trace_id is not None:
            first = said_of(run.row, run.agent.key)
            parts.append(first)
            rows.append((run.row.id, run.row.trace_id, pack(first)))
    whole = combine(parts)
    missing = names_of(whole) - run.entities.keys()
    names = {**run.entities, **resolve_entities(missing)} if missing else run.entities
    row = row_of(whole, {each.agent: run.agent for each in parts}, names)
    return next_row(run.row, row, parted=True), [part_insert(sorted(rows))]


def books_asked(run: OpenRun) -> list[Asked]:
    """What :func:`books_of` wants to know once the ledger has the costs of the run."""
    return [run_cost_asked(run.row.run_id), *run_slot_asked()]


def books_of(
    run: OpenRun, said: Reported, hold: UUID | None, answers: Sequence[list[tuple[Any, ...]]]
) -> tuple[RunBooks, int]:
    """The books of a run to which ``said`` is added, at the costs that the ledger has now; the slot of its sums.

    ``answers`` are those to :func:`books_asked`.
    """
    costs, *slots = answers
    cost = run_cost_of(costs)
    books = run.books
    before = Compared(books.compared_spans, books.compared_steps, books.compared_whole)
    compared = together(before, said.compared)
    found = RunBooks(
        steps=books.steps,
        cost=cost.amount,
        costs=cost.charges,
        unpriced=cost.unpriced,
        input_tokens=cost.input_tokens,
        cached_tokens=cost.cached_tokens,
        output_tokens=cost.output_tokens,
        reasoning_tokens=cost.reasoning_tokens,
        reported_cost=sum_of(books.reported_cost, said.reported_cost),
        other_cost=compared.most,
        compared_spans=compared.spans,
        compared_steps=compared.steps,
        compared_whole=compared.whole,
        under_reported=bool(under_reported([Telling(run.row.run_id, compared, books.steps, hold)])),
        told_state=run.agent.state,
        revision=books.revision + 1,
    )
    return found, slot_of(slots)


def model_of(run: OpenRun, row: RunRow, books: RunBooks, now: datetime) -> Run:
    """The stored run, with its agent and user loaded."""
    made = Run(**row._asdict(), **books._asdict(), changed_at=now)
    made.agent = Agent(id=run.agent.id, key=run.agent.key)
    keys = {number: name for name, number in run.entities.items()}
    if row.user_id is not None and row.user_id in keys:
        kind, key = keys[row.user_id]
        made.user = Entity(id=row.user_id, type=kind, key=key)
    return made


def names_of(said: RunSaid) -> Collection[EntityName]:
    """The user and the unit that a run tells of."""
    names: set[EntityName] = {("user", said.user)} if said.user else set()
    if said.unit is not None:
        names.add(said.unit)
    return names
