"""Registering agents and tools when they are first seen, many at once and not without end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db import models, transaction
from django.db.models import Exists
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.prepared import PreparedQuery
from agent_factory_site.common.services.entities import resolve_entities
from operations.fleet.domain.names import OTHER, key_of
from operations.fleet.models import Agent, AgentAlias, Run, Tool

AGENT: Final = "agent"
TOOL: Final = "tool"
_SEEN_EVERY: Final = timedelta(minutes=1)
_CHUNK: Final = 5000


class KnownAgent(NamedTuple):
    """What a batch needs to know of an agent. Costs are booked on ``(\"agent\", entity_key)``."""

    id: UUID
    key: str
    entity: int
    entity_key: str
    state: str
    state_reason: str
    costs_from: str
    keep_content: bool
    content_days: int
    last_seen_at: datetime | None


AGENT_COLUMNS: Final = (
    "key", "agent_id", "agent__key", "agent__entity_id", "agent__entity__key", "agent__state",
    "agent__state_reason", "agent__costs_from", "agent__keep_content", "agent__content_days",
    "agent__last_seen_at",
)  # fmt: skip


class Registered(NamedTuple):
    """Agents by the names that were asked for; ``refused`` are names beyond the limit, led to ``(other)``."""

    agents: dict[str, KnownAgent]
    refused: set[str]


def register_agents(*, names: Collection[str], seen_by: str) -> Registered:
    """The agents that ``names`` lead to; new ones are registered, and audited as one event.

    There are at most ``AGENT_LIMIT`` agents: the runs of further names go to the agent ``(other)``.
    """
    keys = {name: key_of(name) for name in names}
    wanted = set(keys.values())
    found = find_agents(wanted)
    missing = sorted(wanted - found.keys())
    refused: set[str] = set()
    if missing:
        with transaction.atomic():
            admitted, refused = _admit(missing)
            if refused:
                found.update(find_agents([OTHER]))
            if refused and OTHER not in found:
                # Always admitted, for all that are too many.
                admitted = sorted({*admitted, OTHER})
            if admitted:
                _register_agents(admitted, seen_by)
                found.update(find_agents(admitted))
        found.update(dict.fromkeys(refused, found[OTHER]) if refused else {})
    agents = {name: found[key] for name, key in keys.items()}
    return Registered(agents, {name for name, key in keys.items() if key in refused})


_BEGINNING: Final = PreparedQuery(
    lambda key, run: (
        AgentAlias.objects.filter(key=key)
        .order_by()
        .values_list(*AGENT_COLUMNS, Exists(Run.objects.filter(pk=run)))
    ),
    "?",
    UUID(int=1),
)


def agent_for_run(*, name: str, run: UUID, seen_by: str) -> tuple[KnownAgent, bool]:
    """The agent that a name leads to, registered if it is new, and whether there may be a run of this key."""
    for row in _BEGINNING.rows(key_of(name), run):
        return KnownAgent(*row[1:-1]), row[-1]
    return register_agents(names=[name], seen_by=seen_by).agents[name], True


def find_agents(keys: Collection[str]) -> dict[str, KnownAgent]:
    """The agents that these keys lead to; one statement per 5,000."""
    found: dict[str, KnownAgent] = {}
    wanted = list(keys)
    for start in range(0, len(wanted), _CHUNK):
        rows = AgentAlias.objects.filter(key__in=wanted[start : start + _CHUNK])
        found.update((row[0], KnownAgent(*row[1:])) for row in rows.values_list(*AGENT_COLUMNS))
    return found


def _admit(missing: list[str]) -> tuple[list[str], set[str]]:
    room = max(0, settings.AGENT_LIMIT - Agent.objects.count())
    new = [key for key in missing if key != OTHER]
    return new[:room] + [OTHER] * (OTHER in missing), set(new[room:])


def _register_agents(keys: list[str], seen_by: str) -> None:
    entities = resolve_entities([(AGENT, key) for key in keys])
    now = timezone.now()
    Agent.objects.bulk_register(
        [
            Agent(key=key, entity_id=entities[AGENT, key], seen_by=seen_by[:100], last_seen_at=now)
            for key in keys
        ]
    )
    ids = dict(Agent.objects.filter(key__in=keys).values_list("key", "id"))
    AgentAlias.objects.bulk_register(
        [AgentAlias(key=key, agent_id=ids[key], entity_id=entities[AGENT, key]) for key in keys if key in ids]
    )
    record_audit(
        action="register",
        target_type="operations.Agent",
        changes={"agents": sorted(str(one) for one in ids.values())},
    )


def register_tools(*, names: Collection[str]) -> dict[str, UUID]:
    """The keys of the tools of these names; new ones are registered, and audited as one event.

    Beyond ``TOOL_LIMIT`` tools further names are left out: their steps name no tool.
    """
    keys = {name: key_of(name) for name in names if name}
    wanted = set(keys.values())
    if not wanted:
        return {}
    found = _find_tools(wanted)
    if missing := sorted(wanted - found.keys()):
        with transaction.atomic():
            admitted = missing[: max(0, settings.TOOL_LIMIT - Tool.objects.count())]
            if admitted:
                entities = resolve_entities([(TOOL, key) for key in admitted])
                now = timezone.now()
                Tool.objects.bulk_register(
                    [Tool(key=key, entity_id=entities[TOOL, key], last_seen_at=now) for key in admitted]
                )
                new = _find_tools(set(admitted))
                record_audit(
                    action="register",
                    target_type="operations.Tool",
                    changes={"tools": sorted(str(one) for one, _ in new.values())},
                )
                found.update(new)
    _touch(Tool.objects, dict(found.values()), timezone.now())
    return {name: found[key][0] for name, key in keys.items() if key in found}


def _find_tools(keys: Collection[str]) -> dict[str, tuple[UUID, datetime | None]]:
    rows = Tool.objects.filter(key__in=list(keys))
    return {key: (one, at) for key, one, at in rows.values_list("key", "id", "last_seen_at")}


def touch_agents(agents: Collection[KnownAgent]) -> None:
    """Remember that these agents were seen now, to the minute."""
    _touch(Agent.objects, {one.id: one.last_seen_at for one in agents}, timezone.now())


def _touch(manager: models.Manager[Any], seen: Mapping[UUID, datetime | None], now: datetime) -> None:
    stale = sorted(one for one, at in seen.items() if at is None or at < now - _SEEN_EVERY)
    if stale:
        # Who finds a row locked leaves it: the one that has it writes the same.
        rows = manager.filter(pk__in=stale).order_by("pk").select_for_update(skip_locked=True, no_key=True)
        manager.filter(pk__in=list(rows.values_list("pk", flat=True))).update(last_seen_at=now)
