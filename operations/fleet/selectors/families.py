"""What belongs to an agent: the names and agents it took over, and the entities that costs were booked on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q

from operations.fleet.models import Agent, AgentAlias


@dataclass(frozen=True, slots=True)
class Family:
    """An agent with all that was merged into it: ids of agents, numbers of entities, every name."""

    agents: tuple[UUID, ...]
    entities: tuple[int, ...]
    names: tuple[str, ...]


def families(agents: Collection[Agent]) -> dict[UUID, Family]:
    """The family of each agent; two statements however many they are.

    An agent that was merged keeps its own history: of its family it has itself alone.
    """
    ids = [agent.pk for agent in agents]
    entities: dict[UUID, set[int]] = {agent.pk: {agent.entity_id} for agent in agents}
    members: dict[UUID, set[UUID]] = {agent.pk: {agent.pk} for agent in agents}
    names: dict[UUID, set[str]] = {agent.pk: {agent.key} for agent in agents}
    owner: dict[str, UUID] = {}
    aliases = AgentAlias.objects.filter(agent__in=ids).values_list("key", "agent_id", "entity_id")
    for key, agent, entity in aliases:
        owner[key] = agent
        names[agent].add(key)
        entities[agent].add(entity)
    gone = Agent.objects.filter(
        Q(merged_into__in=ids) | Q(key__in=list(owner), merged_into__isnull=False)
    ).values_list("pk", "key", "entity_id", "merged_into_id")
    for pk, key, entity, target in gone:
        # A name that led on moved along, however many mergers lie between.
        agent = owner.get(key, target)
        if agent in members and pk != agent:
            members[agent].add(pk)
            entities[agent].add(entity)
            names[agent].add(key)
    return {
        pk: Family(tuple(sorted(members[pk])), tuple(sorted(entities[pk])), tuple(sorted(names[pk])))
        for pk in members
    }
