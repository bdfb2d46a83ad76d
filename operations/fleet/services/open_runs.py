"""A run that is under way: found, locked, and told what its agent's switch says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from agent_factory_site.common.errors import FieldError, NotFound
from agent_factory_site.common.models import Entity
from operations.fleet.domain.run_said import RunSaid, unpack
from operations.fleet.models import API_PART, Agent, Run, RunPart, run_key

from .agents import KnownAgent, find_agents
from .record_runs import said_of
from .run_rows import RunRow, locked_rows

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


def open_run(run_id: str) -> tuple[RunRow, RunSaid, KnownAgent]:
    """A run, locked, with what the API said of it and its agent; raises :class:`NotFound`."""
    key = run_key(run_id)
    row = locked_rows([key]).get(key)
    if row is None:
        raise NotFound("not_found", "There is no such run.")
    name = Agent.objects.filter(pk=row.agent_id).values_list("key", flat=True).get()
    part = api_part(key)
    if part is None:
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
    agent = find_agents([name])[name]
    return row, msgspec.structs.replace(part, agent=name), agent


def other_entities(row: RunRow) -> dict[str, str]:
    """The entities besides its agent that see a run's costs, by type."""
    numbers = {row.user_id, row.unit_id} - {None}
    if not numbers:
        return {}
    return dict(Entity.objects.filter(pk__in=numbers).values_list("type", "key"))


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
