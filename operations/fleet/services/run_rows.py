"""Rows of runs: made of what was said of them, read under lock, written many at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

from agent_factory_site.common.db.bulk import Insert, Update, insert_ignore_returning, write_all
from agent_factory_site.common.db.prepared import PreparedQuery
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.models import Run, RunVariant, run_key

from .agents import KnownAgent

CHUNK: Final = 2000
MICRO_SECONDS: Final = 1_000_000
"""In a second."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class RunRow(NamedTuple):
    """What a run's row says of it that comes from its sources; names and meanings are the model's."""

    id: UUID
    run_id: str
    agent_id: UUID
    parent: UUID | None
    trace_id: UUID | None
    span_id: str
    user_id: int | None
    unit_id: int | None
    session: str
    environment: str
    release: str
    agent_version: str
    started_at: datetime
    ended_at: datetime | None
    last_at: datetime
    status: str
    error_type: str
    error_message: str
    source: str
    provisional: bool
    hold: UUID | None
    costs_from: str
    latency: int | None
    first_token: int | None
    calls: int
    failed_calls: int
    tool_calls: int
    calls_without_usage: int
    scores: dict[str, float]


_TYPES: Final = (
    "uuid", "text", "uuid", "uuid", "uuid", "text", "int8", "int8", "text", "text", "text", "text",
    "timestamptz", "timestamptz", "timestamptz", "text", "text", "text", "text", "bool", "uuid", "text",
    "int8", "int8", "int4", "int4", "int4", "int4", "jsonb",
)  # fmt: skip


class RunBooks(NamedTuple):
    """What else a run's row says: what follows from its steps and the ledger, and what it was told."""

    steps: int
    cost: int
    costs: int
    unpriced: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    reported_cost: int | None
    other_cost: int | None
    compared_spans: int | None
    compared_steps: int | None
    compared_whole: int | None
    under_reported: bool
    told_state: str
    revision: int


_TABLE: Final = Run._meta.db_table
_BOOK_TYPES: Final = (
    "int4", "int8", "int4", "int4", "int8", "int8", "int8", "int8", "int8", "int8", "int8", "int8", "int8", "bool",
    "text",
)  # fmt: skip
_KEPT_UP: Final[dict[str, Any]] = {
    "steps": 0, "cost": 0, "costs": 0, "unpriced": 0, "input_tokens": 0, "cached_tokens": 0,
    "output_tokens": 0, "reasoning_tokens": 0, "under_reported": False, "told_state": "active", "revision": 1,
}  # fmt: skip
_KEPT_UP_TYPES: Final = (
    "int4", "int8", "int4", "int4", "int8", "int8", "int8", "int8", "bool", "text", "int4",
)  # fmt: skip


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The moment so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=at)


def row_of(
    said: RunSaid, agents: Mapping[str, KnownAgent], entities: Mapping[tuple[str, str], int]
) -> RunRow:
    """The row of a run of which ``said`` is everything; its agent and entities are known by their names."""
    agent = agents[said.agent]
    over = said.status != "running"
    end = said.end if said.end is not None else said.last if over else None
    latency = said.latency if said.latency is not None else None if end is None else max(0, end - said.start)
    return RunRow(
        id=run_key(said.run_id),
        run_id=said.run_id,
        agent_id=agent.id,
        parent=run_key(said.parent_run_id) if said.parent_run_id else None,
        trace_id=UUID(bytes=said.trace_id) if said.trace_id else None,
        span_id=said.span_id.hex(),
        user_id=entities["user", said.user] if said.user else None,
        unit_id=None if said.unit is None else entities[said.unit],
        session=said.session[:255],
        environment=said.environment[:100],
        release=said.release[:100],
        agent_version=said.agent_version[:100],
        started_at=moment(said.start),
        ended_at=None if end is None or not over else moment(end),
        last_at=moment(max(said.last, said.start)),
        status=said.status,
        error_type=said.error_type[:200],
        error_message=said.error_message[:200],
        source=said.source,
        provisional=not said.seen and bool(said.trace_id),
        hold=as_uuid(said.hold_id),
        costs_from=said.costs_from
        or agent.costs_from
        or ("" if said.shared else said.source.replace("events", "api")),
        latency=latency if over else None,
        first_token=said.first_token,
        calls=said.calls,
        failed_calls=said.failed_calls,
        tool_calls=said.tool_calls,
        calls_without_usage=said.calls_without_usage,
        scores=said.scores,
    )


def as_uuid(text: str) -> UUID | None:
    """The UUID that a text is, or None."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def locked_rows(keys: Iterable[UUID]) -> dict[UUID, RunRow]:
    """The runs of these keys that there are, locked in the order of their keys until the transaction ends."""
    wanted = sorted(set(keys))
    found: dict[UUID, RunRow] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = Run.objects.filter(pk__in=wanted[start : start + CHUNK]).order_by("pk")
        for row in rows.select_for_update(no_key=True).values_list(*RunRow._fields):
            found[row[0]] = RunRow(*row)
    return found


_LOCKED: Final = PreparedQuery(
    lambda key: (
        Run.objects.filter(pk=key)
        .order_by()
        .select_for_update(no_key=True)
        .values_list(*RunRow._fields, *RunBooks._fields)
    ),
    UUID(int=1),
)


def locked_run(key: UUID) -> tuple[RunRow, RunBooks] | None:
    """The run of a key, if there is one, locked until the transaction ends."""
    for values in _LOCKED.rows(key):
        width = len(RunRow._fields)
        return RunRow(*values[:width]), RunBooks(*values[width:])
    return None


def insert_new(rows: Sequence[RunRow], now: datetime) -> set[UUID]:
    """Insert rows, in the order of their keys; the keys of those that were not there."""
    columns = (*RunRow._fields, *_KEPT_UP, "changed_at")
    types = (*_TYPES, *_KEPT_UP_TYPES, "timestamptz")
    kept_up = (*_KEPT_UP.values(), now)
    values = [(*row[:-1], json.dumps(row.scores), *kept_up) for row in sorted(rows)]
    inserted: set[UUID] = insert_ignore_returning(
        connection, Run._meta.db_table, columns, types, values, "id"
    )
    return inserted


def replace_rows(rows: Sequence[RunRow], now: datetime) -> None:
    """Have runs say what ``rows`` say, as their next revision. The caller holds their locks."""
    values = [(*row[1:-1], json.dumps(row.scores), now, row.id) for row in sorted(rows)]
    types = (*_TYPES[1:], "timestamptz")
    update_rows((*RunRow._fields[1:], "changed_at"), types, values)


def update_rows(columns: Sequence[str], types: Sequence[str], values: Sequence[Sequence[Any]]) -> None:
    """Set ``columns`` of the runs whose key ends each of ``values``, as their next revision."""
    write_all(connection, [Update(_TABLE, columns, "id", (*types, "uuid"), values, ("revision",))])


def run_update(row: RunRow, books: RunBooks, now: datetime) -> Update:
    """Have a run say all that its row and its books say, as its next revision. The caller holds its lock."""
    values = (*row[1:-1], json.dumps(row.scores), *books[:-1], now, row.id)
    columns = (*RunRow._fields[1:], *RunBooks._fields[:-1], "changed_at")
    types = (*_TYPES[1:], *_BOOK_TYPES, "timestamptz", "uuid")
    return Update(_TABLE, columns, "id", types, [values], ("revision",))


class Served(NamedTuple):
    """The variant that a run was served, and to whom; ``inherited`` when only a run that called it was."""

    variant: str
    unit: int | None
    inherited: bool = False


def served_by(said: RunSaid, units: Mapping[tuple[UUID, str], int]) -> dict[str, Served]:
    """What a run was served, by experiment; ``units`` are entities by run and experiment."""
    key = run_key(said.run_id)
    found = {name[:100]: Served(variant[:100], None, True) for name, variant in said.inherited}
    found.update(
        {name[:100]: Served(variant[:100], units.get((key, name))) for name, variant in said.experiments}
    )
    return found


def write_variants(variants: Mapping[tuple[UUID, str], Served]) -> dict[tuple[UUID, str], int]:
    """Write which variants runs were served, by run and experiment; what was known before is replaced.

    Answers the units of before, where another one was served than was thought.
    """
    if not variants:
        return {}
    moved: dict[tuple[UUID, str], int] = {}
    ids = sorted({run for run, _ in variants})
    known: dict[tuple[UUID, str], Served] = {}
    for start in range(0, len(ids), CHUNK):
        rows = RunVariant.objects.filter(run__in=ids[start : start + CHUNK])
        for row in rows.values_list("run_id", "experiment", "variant", "unit_id", "inherited"):
            known[row[0], row[1]] = Served(*row[2:])
    for place, one in sorted(variants.items()):
        if place in known and known[place] != one:
            was = known[place].unit
            unit = None if one.inherited else one.unit or was
            if was is not None and unit is not None and unit != was:
                moved[place] = was
            stored = RunVariant.objects.filter(run=place[0], experiment=place[1])
            stored.update(variant=one.variant, unit_id=unit, inherited=one.inherited)
    new = [(*place, *one) for place, one in sorted(variants.items()) if place not in known]
    write_all(connection, [variant_rows(new)])
    return moved


def variant_rows(rows: Sequence[tuple[UUID, str, str, int | None, bool]]) -> Insert:
    """Runs, experiments, variants, the entities that were served them, and whether they inherit; all new."""
    columns = ("run_id", "experiment", "variant", "unit_id", "inherited")
    return Insert(RunVariant._meta.db_table, columns, rows)


def forget_rows(keys: Collection[UUID]) -> None:
    """Remove runs that turned out to be none, and what hangs on them. The caller holds their locks."""
    RunVariant.objects.filter(run__in=keys).delete()
    # Steps that still name them are moved afterwards.
    rows = Run.objects.filter(pk__in=keys)
    rows._raw_delete(rows.db)
