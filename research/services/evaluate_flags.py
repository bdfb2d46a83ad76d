"""What flags and experiments serve to a unit. Asking for one is using it, and exposes; asking for all is not."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.selectors.entities import find_entities
from research.domain.assignment import Sticky, decide
from research.domain.flags import Served, TargetingKeyMissing, serve, served_arm
from research.domain.targeting import Attributes
from research.selectors.assignments import sticky_of_unit
from research.selectors.definitions import Definitions, definition_revision, definitions, remembered
from research.selectors.flags import flag_definitions, remembered_flags

from .assign import assign_unit

RUNNING = "running"


def evaluate_flag(*, key: str, unit: str | None, attributes: Attributes) -> Served:
    """What the flag or the experiment of ``key`` serves; a unit that is new to the experiment is exposed.

    Raises :class:`NotFound`, and :class:`TargetingKeyMissing` where ``unit`` is None and a share decides.
    """

    def assigned(experiment: str, unit: str) -> Served:
        found = assign_unit(experiment=experiment, unit=unit, attributes=attributes)
        return served_arm(experiment, found.decision)

    # What is remembered may be out of date: assigning looks at the present definition itself. No flag is made with
    # the key of an experiment; where an experiment was made with that of a flag, programs keep the flag.
    known = remembered()
    flags = remembered_flags(known.token)
    if unit is not None and flags is not None and key in known.by_key and key not in flags:
        with suppress(NotFound):
            return assigned(key, unit)
    token = definition_revision()
    flag = flag_definitions(token).get(key)
    if flag is not None:
        return serve(flag, unit, attributes, assigned)
    if key not in definitions(token).by_key:
        raise NotFound("not_found", f"There is no flag {key!r}.")
    if unit is None:
        raise TargetingKeyMissing
    return assigned(key, unit)


def evaluate_all(*, unit: str | None, attributes: Attributes) -> dict[str, Served | None]:
    """What every flag and every running experiment serves, by key; None where a unit would be needed.

    Nobody is exposed: who fetches all values in advance has used none of them.
    """
    token = definition_revision()
    known = definitions(token)
    stored = _stored(known, unit)
    found: dict[str, Served | None] = {}

    def assigned(experiment: str, unit: str) -> Served:
        definition = known.by_key[experiment]
        sticky = stored.get(definition.id)
        return served_arm(experiment, decide(definition, unit, attributes, sticky, known.holdout))

    for key, flag in flag_definitions(token).items():
        try:
            found[key] = serve(flag, unit, attributes, assigned)
        except TargetingKeyMissing:
            found[key] = None
    for key, definition in known.by_key.items():
        if definition.status == RUNNING and key not in found:
            found[key] = None if unit is None else assigned(key, unit)
    return dict(sorted(found.items()))


def _stored(known: Definitions, unit: str | None) -> Mapping[Any, Sticky]:
    """The arms that the unit has, in one statement for each type of unit that experiments assign."""
    if unit is None:
        return {}
    by_type: dict[str, list[Any]] = {}
    for definition in known.by_id.values():
        if definition.status == RUNNING:
            by_type.setdefault(definition.unit, []).append(definition.id)
    if not by_type:
        return {}
    entities = find_entities([(kind, unit) for kind in by_type])
    stored: dict[Any, Sticky] = {}
    for kind, experiments in by_type.items():
        entity = entities.get((kind, unit))
        if entity is not None:
            stored.update(sticky_of_unit(entity, experiments))
    return stored
