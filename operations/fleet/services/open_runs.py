"""A run that is under way: found, locked, and told what its agent's switch says."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Exists, QuerySet, Subquery

from agent_factory_site.common.db.prepared import PreparedQuery, ask_all
from agent_factory_site.common.errors import FieldError, NotFound
from agent_factory_site.common.models import Entity
from agent_factory_site.common.selectors.entities import EntityName
from financial.selectors.prices import price_revision_asked, price_revision_of
from operations.fleet.domain.run_said import RunSaid, unpack
from operations.fleet.models import API_PART, Agent, AgentAlias, Run, RunPart, RunVariant, Step, run_key

from .agents import AGENT_COLUMNS, KnownAgent
from .record_runs import said_of
from .run_rows import RunBooks, RunRow, locked_run

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Control:
    """What the switch of a run's agent says."""

    state: str
    reason: str


def control_of(agent: KnownAgent) -> Control:
    """What an agent's switch says."""
    return Control(agent.state, agent.state_reason)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run under lock: its row and books, what the API said of it, and its agent.

    ``alone`` tells that nobody but the API did; ``charged`` that a step of it was charged, ``served`` that it
    has variants, ``called`` that it called other runs. ``entities`` are its user and unit, by name, ``prices`` the
    revision of the prices.
    """

    row: RunRow
    books: RunBooks
    part: RunSaid
    agent: KnownAgent
    alone: bool
    charged: bool
    served: bool
    called: bool
    entities: dict[EntityName, int]
    prices: Hashable

    def related(self, row: RunRow) -> bool:
        """Whether the run, as ``row`` tells of it now, called others or was called."""
        return self.called or row.parent is not None


_KEY, _AGENT, _USER, _UNIT = UUID(int=1), UUID(int=2), 3, 4


def _around(run: UUID, agent: UUID, user: int, unit: int) -> QuerySet[AgentAlias, Any]:
    """What hangs on a run, asked once it is locked: whoever waited for the lock has to see what came meanwhile."""
    parts = RunPart.objects.filter(run=run)
    users, units = Entity.objects.filter(pk=user), Entity.objects.filter(pk=unit)
    variants = RunVariant.objects.filter(run=run, unit__isnull=False)
    rows: QuerySet[AgentAlias, Any] = (
        AgentAlias.objects.filter(key__in=Agent.objects.filter(pk=agent).values("key"))
        .order_by()
        .values_list(
            *AGENT_COLUMNS,
            Subquery(parts.filter(trace_id=API_PART).values("said")),
            Exists(parts.exclude(trace_id=API_PART)),
            Exists(Step.objects.filter(run=run, charged=True)),
            Exists(variants),
            Exists(Run.objects.filter(parent=run)),
            Subquery(users.values("key")),
            Subquery(units.values("type")),
            Subquery(units.values("key")),
        )
    )
    return rows


_AROUND: Final = PreparedQuery(_around, _KEY, _AGENT, _USER, _UNIT)


def open_run(run_id: str) -> OpenRun:
    """A run, locked, with what is known of it, in two statements; raises :class:`NotFound`."""
    key = run_key(run_id)
    locked = locked_run(key)
    if locked is None:
        raise NotFound("not_found", "There is no such run.")
    row, books = locked
    around = _AROUND.asked(key, row.agent_id, row.user_id or 0, row.unit_id or 0)
    (found,), revision = ask_all(around, price_revision_asked())
    width = len(AGENT_COLUMNS)
    name, agent = found[0], KnownAgent(*found[1:width])
    packed, others, charged, served, called, user, unit_type, unit = found[width:]
    if packed is not None:
        part = unpack(bytes(packed))
    else:
        # Spans alone have told of it so far: the API adds what it knows.
        told = said_of(row, name)
        part = RunSaid(
            run_id=run_id,
            agent=name,
            status="running",
            start=told.start,
            last=told.last,
            source="api",
            shared=True,
        )
    entities: dict[EntityName, int] = {}
    if row.user_id is not None:
        entities["user", user] = row.user_id
    if row.unit_id is not None:
        entities[unit_type, unit] = row.unit_id
    return OpenRun(
        row,
        books,
        msgspec.structs.replace(part, agent=name),
        agent,
        alone=packed is not None and not others,
        charged=bool(charged),
        served=bool(served),
        called=bool(called),
        entities=entities,
        prices=price_revision_of(revision),
    )


def tell(key: UUID, agent: KnownAgent) -> None:
    """Remember what a run was told of its agent's switch."""
    Run.objects.filter(pk=key).exclude(told_state=agent.state).update(told_state=agent.state)


def api_part(key: UUID) -> RunSaid | None:
    """What the API has said of a run."""
    packed = RunPart.objects.filter(run=key, trace_id=API_PART).values_list("said", flat=True).first()
    return None if packed is None else unpack(bytes(packed))


def time_errors(times: Mapping[str, datetime | None], now: datetime) -> list[FieldError]:
    """What is wrong with the times at these pointers."""
    return [
        FieldError(pointer, "out_of_range", "Is not before the year 2000 and at most a day ahead.")
        for pointer, at in times.items()
        if at is not None and not EARLIEST <= at <= now + AHEAD
    ]
