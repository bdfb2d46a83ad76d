"""The facets of an event: what its entities are broken down by, where the settings ask for rollups of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from django.db import models

from agent_factory_site.common.caching import CommittedCache
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from financial.models import CostFacet, CostFacetDimension

FacetName = tuple[str, str]
"""Dimension and value."""

_ids: CommittedCache[FacetName, int] = CommittedCache()


class FacetOwner(NamedTuple):
    """An entity under one facet of one dimension, all by number."""

    entity: int
    dimension: int
    facet: int


class FacetSubject(NamedTuple):
    """What decides the facets of an event: the entities that see it and its tags."""

    entities: Collection[EntityName]
    tags: Mapping[str, str]


def active_dimensions() -> list[CostFacetDimension]:
    """The dimensions that every writer keeps up, as a reader sees them; writers ask ``rollup_plan``."""
    return list(CostFacetDimension.objects.order_by("id"))


def facet_owners(
    dimensions: Sequence[CostFacetDimension],
    subjects: Sequence[FacetSubject],
    entities: Mapping[EntityName, int],
) -> list[list[FacetOwner]]:
    """For each subject the entities and facets whose rollups it belongs to."""
    found = [facets_of(dimensions, subject, entities) for subject in subjects]
    numbers = resolve_facets({(dimension.dimension, value) for each in found for _, dimension, value in each})
    return [
        [
            FacetOwner(entity, dimension.pk, numbers[dimension.dimension, value])
            for entity, dimension, value in each
        ]
        for each in found
    ]


def facets_of(
    dimensions: Sequence[CostFacetDimension], subject: FacetSubject, entities: Mapping[EntityName, int]
) -> list[tuple[int, CostFacetDimension, str]]:
    """The entities whose rollups an event belongs to, each with the dimension and the event's value in it."""
    seen_by = {kind: entities[kind, key] for kind, key in subject.entities}
    found: list[tuple[int, CostFacetDimension, str]] = []
    for dimension in dimensions:
        value = facet_value(dimension.dimension, seen_by, subject.tags)
        if value is None:
            continue
        if dimension.owner_type:
            owners = [seen_by[dimension.owner_type]] if dimension.owner_type in seen_by else []
        else:
            owners = [*seen_by.values(), entities[FLEET]]
        found.extend((owner, dimension, value) for owner in owners)
    return found


def facet_value(dimension: str, seen_by: Mapping[str, int], tags: Mapping[str, str]) -> str | None:
    """The value an event has in ``dimension``: the number of its entity of that type, or the text of its tag."""
    kind, _, name = dimension.partition(":")
    if kind == "tag":
        return tags.get(name)
    number = seen_by.get(name)
    return None if number is None else str(number)


def resolve_facets(names: Collection[FacetName]) -> dict[FacetName, int]:
    """The numbers of facets, registered where new."""
    found = _ids.get_many(names)
    missing = sorted(name for name in names if name not in found)
    if missing:
        CostFacet.objects.bulk_create(
            [CostFacet(dimension=dimension, value=value) for dimension, value in missing],
            ignore_conflicts=True,
        )
        stored = _stored(missing)
        _ids.put_on_commit(stored)
        found.update(stored)
    return found


def _stored(names: Sequence[FacetName]) -> dict[FacetName, int]:
    values: dict[str, list[str]] = {}
    for dimension, value in names:
        values.setdefault(dimension, []).append(value)
    wanted = models.Q()
    for dimension, listed in values.items():
        wanted |= models.Q(dimension=dimension, value__in=listed)
    rows = CostFacet.objects.filter(wanted).values_list("dimension", "value", "pk")
    return {(dimension, value): pk for dimension, value, pk in rows}
