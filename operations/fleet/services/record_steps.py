"""Recording steps: each once by its key, and what they add to their runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.utils import timezone

from agent_factory_site.common.db.bulk import Insert, insert_ignore_returning, write_all
from agent_factory_site.common.db.prepared import Asked, ask_all
from financial.domain.cost_input import event_key
from operations.fleet.domain.comparing import Compared, together
from operations.fleet.domain.redaction import redact
from operations.fleet.domain.step_said import StepSaid
from operations.fleet.models import Step, StepContent, own_step_key, run_key, span_step_key

from .agents import KnownAgent, register_tools
from .run_costs import Reported, add_reported
from .run_rows import CHUNK, moment

_COLUMNS: Final = (
    "id", "run_id", "step_id", "parent", "kind", "name", "tool_id", "started_at", "ended_at", "failed",
    "error_type", "error_message", "provider", "model", "usage", "first_token", "counted", "charged",
    "cost_key", "other_cost", "reported_cost",
)  # fmt: skip
_TYPES: Final = (
    "uuid", "uuid", "text", "uuid", "text", "text", "uuid", "timestamptz", "timestamptz", "bool", "text",
    "text", "text", "text", "jsonb", "int8", "bool", "bool", "uuid", "int8", "int8",
)  # fmt: skip
_encoder: Final = msgspec.json.Encoder()
MAX_CONTENT: Final = 100_000
"""Characters of a prompt or a completion that are stored."""


class MovedStep(NamedTuple):
    """A step that belongs to another run than was thought (empty: to none)."""

    trace_id: bytes
    span_id: bytes
    from_run_id: str
    to_run_id: str


def step_key(said: StepSaid) -> UUID:
    """The primary key of a step."""
    return (
        span_step_key(said.trace_id, said.span_id)
        if said.span_id
        else own_step_key(said.run_id, said.step_id)
    )


def record_steps(
    *,
    steps: Sequence[StepSaid],
    agents: Mapping[str, KnownAgent] | None = None,
    reported: dict[UUID, Reported] | None = None,
    alone: bool = False,
) -> set[UUID]:
    """Record steps, each once; the keys of the new ones. Their numbers are added to their runs.

    ``agents`` are those of the runs, by run id: prompts and completions are stored, redacted, of those that
    keep them. ``reported`` takes the numbers for a caller who adds them to the runs. A caller who is ``alone``
    holds a lock that keeps others from recording the same steps. Runs in the caller's transaction, after the
    runs were recorded.
    """
    if not steps:
        return set()
    tools = register_tools(names={one.tool for one in steps if one.tool})
    by_key: dict[UUID, StepSaid] = {}
    for one in steps:
        by_key.setdefault(step_key(one), one)
    # By number: comparing UUIDs takes as long as writing them.
    ordered = sorted(by_key.items(), key=lambda pair: pair[0].int)
    rows = [_row(key, one, tools) for key, one in ordered]
    inserted = _insert_alone(rows) if alone else _insert(rows)
    added: dict[UUID, Reported] = {} if reported is None else reported
    for key in inserted:
        said = by_key[key]
        if said.run_id:
            run = run_key(said.run_id)
            added[run] = _added(added.get(run, Reported()), said)
    if reported is None:
        add_reported(added)
    _keep_content({key: by_key[key] for key in inserted}, agents or {})
    return inserted


def _insert(rows: Sequence[tuple[Any, ...]]) -> set[UUID]:
    inserted: set[UUID] = insert_ignore_returning(
        connection, Step._meta.db_table, _COLUMNS, _TYPES, rows, "id"
    )
    return inserted


def _insert_alone(rows: Sequence[tuple[Any, ...]]) -> set[UUID]:
    """The same, when nobody else inserts these rows: those that are there are asked for, the others written once."""
    if connection.vendor == "sqlite":
        return _insert(rows)
    array = f"{{{','.join([row[0].hex for row in rows])}}}"
    stored = {
        key
        for (key,) in ask_all(Asked("SELECT id FROM operations_step WHERE id = ANY(%s::uuid[])", [array]))[0]
    }
    new = [row for row in rows if row[0] not in stored] if stored else rows
    write_all(connection, [Insert(Step._meta.db_table, _COLUMNS, new)])
    return {row[0] for row in new}


def move_steps(*, moved: Iterable[MovedStep]) -> None:
    """Hang steps on the runs that they turned out to belong to, with what they added to those before."""
    wanted = {span_step_key(one.trace_id, one.span_id): one for one in moved}
    reported: dict[UUID, Reported] = {}
    ids = sorted(wanted)
    for start in range(0, len(ids), CHUNK):
        rows = (
            Step.objects.filter(pk__in=ids[start : start + CHUNK])
            .order_by("pk")
            .select_for_update(no_key=True)
        )
        for key, run, own, other in rows.values_list("pk", "run_id", "reported_cost", "other_cost"):
            target = run_key(wanted[key].to_run_id) if wanted[key].to_run_id else None
            if target == run:
                continue
            Step.objects.filter(pk=key).update(run_id=target)
            for place, sign in ((run, -1), (target, 1)):
                if place is not None:
                    have = reported.get(place, Reported())
                    reported[place] = Reported(
                        have.steps + sign,
                        _plus(have.reported_cost, own, sign),
                        Compared(spans=_plus(have.compared.spans, other, sign)),
                    )
    add_reported(reported)


def _plus(sum_: int | None, value: int | None, sign: int) -> int | None:
    return sum_ if value is None else (sum_ or 0) + sign * value


def _added(have: Reported, said: StepSaid) -> Reported:
    told = Compared(spans=said.other_cost) if said.span_id else Compared(steps=said.other_cost)
    return Reported(
        have.steps + 1, _plus(have.reported_cost, said.reported_cost, 1), together(have.compared, told)
    )


def _row(key: UUID, said: StepSaid, tools: Mapping[str, UUID]) -> tuple[Any, ...]:
    parent = None
    if said.parent_span_id:
        parent = span_step_key(said.trace_id, said.parent_span_id)
    elif said.parent:
        parent = own_step_key(said.run_id, said.parent)
    return (
        key,
        run_key(said.run_id) if said.run_id else None,
        (said.step_id or f"{said.trace_id.hex()}-{said.span_id.hex()}")[:200],
        parent,
        said.kind,
        said.name[:255],
        tools.get(said.tool),
        moment(said.start),
        None if said.end is None else moment(max(said.end, said.start)),
        said.failed,
        said.error_type[:200],
        said.error_message[:200],
        said.provider[:100],
        said.model[:255],
        None if said.usage is None else _json({name: n for name, n in said.usage.items() if n}),
        said.first_token,
        said.counted,
        said.charged,
        event_key(said.cost_source, said.cost_event) if said.cost_event else None,
        said.other_cost,
        said.reported_cost,
    )


def _json(value: dict[str, int]) -> str:
    return _encoder.encode(value).decode()


def _keep_content(new: Mapping[UUID, StepSaid], agents: Mapping[str, KnownAgent]) -> None:
    now = timezone.now()
    rows = []
    for key, said in sorted(new.items()):
        agent = agents.get(said.run_id)
        if agent is not None and agent.keep_content and (said.input or said.output):
            expires = now + timedelta(days=agent.content_days)
            rows.append((key, redact(said.input[:MAX_CONTENT]), redact(said.output[:MAX_CONTENT]), expires))
    columns = ("step_id", "input", "output", "expires_at")
    write_all(connection, [Insert(StepContent._meta.db_table, columns, rows)])
