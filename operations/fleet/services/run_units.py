"""Who was served a variant in a run: the unit, by the type that the experiment assigns."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from agent_factory_site.common.selectors.entities import EntityName
from agent_factory_site.common.services.entities import resolve_entities
from operations.fleet.domain.run_said import RunSaid
from research.selectors.definitions import Definitions, definitions

from .agents import KnownAgent


def unit_of(said: RunSaid, unit_type: str, agent_key: str) -> str:
    """The id of a run's unit of one type: its stated unit, its user or session, its agent or itself; or empty."""
    if said.unit is not None and said.unit[0] == unit_type:
        return said.unit[1]
    named = {"user": said.user, "session": said.session, "agent": agent_key, "run": said.run_id}
    return named.get(unit_type, "")


def variant_units(
    served: Mapping[UUID, RunSaid], agents: Mapping[str, KnownAgent], known: Definitions | None = None
) -> dict[tuple[UUID, str], int]:
    """The entities of the units by run and experiment, of experiments that there are.

    ``known`` are the definitions where the caller has just read them.
    """
    by_key = (known or definitions()).by_key
    names: dict[tuple[UUID, str], EntityName] = {}
    for key, said in served.items():
        for experiment, _ in said.experiments:
            if (definition := by_key.get(experiment)) is None:
                continue
            if unit := unit_of(said, definition.unit, agents[said.agent].key):
                names[key, experiment] = definition.unit, unit[:255]
    numbers = resolve_entities(set(names.values())) if names else {}
    return {place: numbers[name] for place, name in names.items()}
