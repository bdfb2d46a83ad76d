"""Who was assigned to what already."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import OuterRef, Subquery

from agent_factory_site.common.selectors.entities import find_entities
from research.domain.assignment import Sticky
from research.models import Assignment

CHUNK: Final = 5000
_ONE: Final = (
    "SELECT r.token, a.variant_id, a.phase_id FROM research_definitionrevision r"
    " LEFT JOIN research_assignment a ON a.experiment_id = %s AND a.entity_id = %s"
)


class StoredUnits(NamedTuple):
    """Entities of the units that have one, and the assignments of those that have one."""

    entities: dict[str, int]
    sticky: dict[str, Sticky]


def stored_units(experiment: UUID, unit_type: str, units: Collection[str]) -> StoredUnits:
    """What is known of ``units``: one statement per 5,000, and one for units this process has not met."""
    numbers = find_entities([(unit_type, unit) for unit in units])
    entities = {unit: number for (_, unit), number in numbers.items()}
    found = sticky_rows(experiment, list(entities.values()))
    return StoredUnits(
        entities, {unit: found[number] for unit, number in entities.items() if number in found}
    )


def sticky_rows(experiment: UUID, entities: Collection[int]) -> dict[int, Sticky]:
    """The assignments of ``entities`` in one experiment."""
    wanted = list(entities)
    found: dict[int, Sticky] = {}
    for start in range(0, len(wanted), CHUNK):
        rows = Assignment.objects.filter(experiment=experiment, entity__in=wanted[start : start + CHUNK])
        for entity, variant, phase in rows.values_list("entity_id", "variant_id", "phase_id"):
            found[entity] = Sticky(variant, phase)
    return found


def sticky_beside(entity: str, experiment_key: str) -> tuple[Subquery, Subquery]:
    """The variant and the phase of an assignment, by columns of a query that have an entity and an experiment's key."""
    rows = Assignment.objects.filter(entity=OuterRef(entity), experiment__key=OuterRef(experiment_key))
    return Subquery(rows.values("variant_id")), Subquery(rows.values("phase_id"))


def sticky_of_unit(entity: int, experiments: Collection[UUID]) -> dict[UUID, Sticky]:
    """The assignments of one entity in several experiments, in one statement."""
    rows = Assignment.objects.filter(experiment__in=experiments, entity=entity)
    return {
        experiment: Sticky(variant, phase)
        for experiment, variant, phase in rows.values_list("experiment_id", "variant_id", "phase_id")
    }


def revision_and_sticky(experiment: UUID, entity: int) -> tuple[Hashable, Sticky | None]:
    """The token of the definitions, and the assignment of one entity, in one indexed statement."""
    stored = experiment.hex if connection.vendor == "sqlite" else experiment
    with connection.cursor() as cursor:
        cursor.execute(_ONE, [stored, entity])
        row = cursor.fetchone()
    if row is None:
        return None, None
    token, variant, phase = row
    return token, None if variant is None else Sticky(variant, phase)
