"""Recording runs as their sources tell of them: whole values, each in the place of what it said before.

Runs in the caller's transaction. Rows are locked in the order of their keys, rollups last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import audit_insert
from agent_factory_site.common.db.bulk import Insert, Write, write_all
from agent_factory_site.common.selectors.entities import EntityName
from agent_factory_site.common.services.entities import resolve_entities
from operations.fleet.domain.run_said import RunSaid, combine, pack, unpack
from operations.fleet.models import API_PART, Agent, Run, RunPart, run_key

from .agents import KnownAgent, register_agents
from .run_results import withdraw_runs
from .run_rollups import rollup_writes
from .run_rows import (
    CHUNK,
    RunRow,
    forget_rows,
    insert_new,
    locked_rows,
    micros,
    replace_rows,
    row_of,
    served_by,
    write_variants,
)
from .run_trees import withdraw_results
from .run_units import variant_units

_PART_COLUMNS: Final = ("run_id", "trace_id", "said")
_PART_KEY: Final = ("run_id", "trace_id")


@dataclass(slots=True)
class RecordedRuns:
    """What became of runs: rows ``before`` (None: new) and ``after`` (None: gone), by key; agents by name.

    ``refused`` are names of agents beyond the limit, whose runs went to ``(other)``.
    """

    changed: dict[UUID, tuple[RunRow | None, RunRow | None]] = field(default_factory=dict)
    agents: dict[str, KnownAgent] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)

    @property
    def relinked(self) -> set[UUID]:
        """Runs that are called by another than was thought, and whoever was and is thought to call them."""
        found: set[UUID] = set()
        for key, (before, after) in self.changed.items():
            was, now = before and before.parent, after and after.parent
            if before is not None and was != now:
                found.update(one for one in (key, was, now) if one is not None)
        return found

    @property
    def ended(self) -> list[UUID]:
        """The changed runs that are over."""
        return [
            key
            for key, (_, after) in self.changed.items()
            if after is not None and after.status != Run.Status.RUNNING
        ]


Parts = dict[UUID, dict[UUID, RunSaid]]


def record_runs(
    *,
    said: Sequence[RunSaid],
    gone: Iterable[tuple[str, bytes]] = (),
    agents: Mapping[str, KnownAgent] | None = None,
    seen_by: str = "",
) -> RecordedRuns:
    """Record what sources say of runs, each in the place of what that source said of the run before.

    ``gone`` are runs (id and trace) of which their trace tells no more. ``agents`` are those registered
    already, by the names in ``said``. Counters and rollups change by the difference.
    """
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError("runs are recorded in the transaction of their batch")
    outcome = RecordedRuns({}, dict(agents or {}))
    by_run: dict[UUID, list[RunSaid]] = {}
    for one in said:
        by_run.setdefault(run_key(one.run_id), []).append(one)
    lost: dict[UUID, set[UUID]] = {}
    for run_id, trace_id in gone:
        lost.setdefault(run_key(run_id), set()).add(UUID(bytes=trace_id))
    now = timezone.now()
    known = locked_rows({*by_run, *lost})
    new = {key: combine(parts) for key, parts in by_run.items() if key not in known}
    names = _resolve(outcome, [one for parts in by_run.values() for one in parts], known, seen_by)
    rows = [row_of(one, outcome.agents, names) for one in new.values()]
    inserted = insert_new(rows, now) if rows else set()
    for row in rows:
        if row.id in inserted:
            outcome.changed[row.id] = None, row
    # Others were quicker with these.
    known.update(locked_rows(new.keys() - inserted))
    parts = _parts(known, by_run, lost, outcome.agents)
    shared_new = {key: by_run[key] for key in inserted if _is_shared(by_run[key])}
    _write_parts(parts, by_run, shared_new)
    combined: dict[UUID, RunSaid] = {}
    for key, before in known.items():
        whole = _whole(key, parts, by_run, lost)
        if whole is None:
            outcome.changed[key] = before, None
        else:
            combined[key] = whole
    names.update(_resolve(outcome, list(combined.values()), {}, seen_by))
    replaced = []
    for key, whole in combined.items():
        before = known[key]
        after = next_row(before, row_of(whole, outcome.agents, names), parted=key in parts)
        if after != before:
            replaced.append(after)
            outcome.changed[key] = before, after
    replace_rows(replaced, now)
    _forget(outcome)
    _write_variants({**{key: new[key] for key in inserted}, **combined}, outcome)
    return outcome


def _forget(outcome: RecordedRuns) -> None:
    """Remove runs that turned out to be none, with what they brought to other books."""
    gone = [before for before, after in outcome.changed.values() if before is not None and after is None]
    if over := [row for row in gone if row.status != Run.Status.RUNNING]:
        withdraw_runs(over)
    forget_rows([row.id for row in gone])


def next_row(before: RunRow, after: RunRow, *, parted: bool) -> RunRow:
    """The row that follows ``before`` where ``after`` is what the run's sources say; ``parted``: by parts."""
    after = after._replace(
        costs_from=before.costs_from or after.costs_from, unit_id=after.unit_id or before.unit_id
    )
    if parted:
        # A part that was made from the row says nothing of these.
        after = after._replace(user_id=after.user_id or before.user_id, parent=after.parent or before.parent)
    return after


def finish_recording(outcome: RecordedRuns, first: Sequence[Write] = (), slot: int | None = None) -> None:
    """The audit event and the rollups of what was recorded: the last that a transaction writes of its runs.

    ``first`` is written before, where it can in the same message; ``slot`` is that of the rollups where it is
    known.
    """
    if not outcome.changed:
        write_all(connection, first)
        return
    keys = list(outcome.changed)
    told = audit_insert(
        action="record",
        target_type="operations.Run",
        target_id=str(keys[0]) if len(keys) == 1 else "",
        changes={"runs": len(keys)},
    )
    write_all(connection, [*first, told, *rollup_writes(list(outcome.changed.values()), slot)])


def _resolve(
    outcome: RecordedRuns, said: Sequence[RunSaid], known: Mapping[UUID, RunRow], seen_by: str
) -> dict[EntityName, int]:
    missing = {one.agent for one in said} - outcome.agents.keys()
    if missing:
        registered = register_agents(names=missing, seen_by=seen_by)
        outcome.agents.update(registered.agents)
        outcome.refused.update(registered.refused)
    names: set[EntityName] = {("user", one.user) for one in said if one.user}
    names.update(one.unit for one in said if one.unit is not None)
    return resolve_entities(names) if names else {}


def _is_shared(parts: Sequence[RunSaid]) -> bool:
    return len(parts) > 1 or any(part.shared or not part.trace_id for part in parts)


def _parts(
    known: Mapping[UUID, RunRow],
    by_run: Mapping[UUID, list[RunSaid]],
    lost: Mapping[UUID, set[UUID]],
    agents: Mapping[str, KnownAgent],
) -> Parts:
    """What is known of the runs of which more than one source tells, by source."""
    wanted = []
    for key, row in known.items():
        one_trace = {row.trace_id}
        traces = {UUID(bytes=part.trace_id) if part.trace_id else None for part in by_run.get(key, ())}
        alone = row.source == Run.Source.SPANS and traces | lost.get(key, set()) <= one_trace
        if not alone or _is_shared(by_run.get(key, ())):
            wanted.append(key)
    parts: Parts = {key: {} for key in wanted}
    for start in range(0, len(wanted), CHUNK):
        rows = RunPart.objects.filter(run__in=wanted[start : start + CHUNK])
        for run, trace, packed in rows.values_list("run_id", "trace_id", "said"):
            parts[run][trace] = unpack(bytes(packed))
    first = [key for key in wanted if not parts[key]]
    if first:
        names = dict(
            Agent.objects.filter(pk__in={known[key].agent_id for key in first}).values_list("pk", "key")
        )
        for key in first:
            row = known[key]
            parts[key][row.trace_id or API_PART] = said_of(row, names[row.agent_id])
    return parts


def said_of(row: RunRow, agent: str) -> RunSaid:
    """What the one source of a run has said, from its row; names of people stay with the row."""
    status = row.status if row.status in ("ok", "failed", "cancelled") else "running"
    return RunSaid(
        run_id=row.run_id,
        agent=agent,
        status=status,  # type: ignore[arg-type]
        start=micros(row.started_at),
        last=micros(row.last_at),
        trace_id=row.trace_id.bytes if row.trace_id else b"",
        span_id=bytes.fromhex(row.span_id),
        end=None if row.ended_at is None else micros(row.ended_at),
        latency=row.latency,
        first_token=row.first_token,
        seen=not row.provisional and row.status != Run.Status.RUNNING,
        shared=True,
        agent_version=row.agent_version,
        error_type=row.error_type,
        error_message=row.error_message,
        session=row.session,
        hold_id="" if row.hold is None else str(row.hold),
        environment=row.environment,
        release=row.release,
        calls=row.calls,
        failed_calls=row.failed_calls,
        tool_calls=row.tool_calls,
        calls_without_usage=row.calls_without_usage,
        scores=row.scores,
    )


def _write_parts(
    parts: Parts, by_run: Mapping[UUID, list[RunSaid]], shared_new: Mapping[UUID, list[RunSaid]]
) -> None:
    rows: list[tuple[UUID, UUID, bytes]] = []
    for key, here in parts.items():
        here.update({_source(part): part for part in by_run.get(key, ())})
        rows += [(key, trace, pack(part)) for trace, part in here.items()]
    for key, some in shared_new.items():
        rows += [(key, _source(part), pack(part)) for part in some]
    write_all(connection, [part_insert(sorted(rows))])


def part_insert(rows: Sequence[tuple[UUID, UUID, bytes]]) -> Insert:
    """What sources said of runs (key, source, packed), in the place of what they said before."""
    return Insert(RunPart._meta.db_table, _PART_COLUMNS, rows, _PART_KEY)


def _source(part: RunSaid) -> UUID:
    return UUID(bytes=part.trace_id) if part.trace_id else API_PART


def _whole(
    key: UUID,
    parts: Parts,
    by_run: Mapping[UUID, list[RunSaid]],
    lost: Mapping[UUID, set[UUID]],
) -> RunSaid | None:
    if key not in parts:
        fresh = by_run.get(key)
        return combine(fresh) if fresh else None
    here = parts[key]
    gone = [
        trace
        for trace in lost.get(key, ())
        if trace in here and not any(_source(p) == trace for p in by_run.get(key, ()))
    ]
    for trace in gone:
        del here[trace]
    if gone:
        RunPart.objects.filter(run=key, trace_id__in=gone).delete()
    return combine(list(here.values())) if here else None


def _write_variants(said: Mapping[UUID, RunSaid], outcome: RecordedRuns) -> None:
    served = {
        key: one for key, one in said.items() if (one.experiments or one.inherited) and key in outcome.changed
    }
    if not served:
        return
    units = variant_units(served, outcome.agents)
    moved = write_variants(
        {
            (key, experiment): variant
            for key, one in served.items()
            for experiment, variant in served_by(one, units).items()
        }
    )
    for key, experiment in sorted(moved):
        # Somebody else was served than was thought: what the run brought them was not theirs.
        withdraw_results(experiment, [said[key].run_id], moved[key, experiment])
