"""Finding entities by the beginning of what somebody types."""

from __future__ import annotations

from django.db.models import Q

from agent_factory_site.common.models import Entity
from agent_factory_site.common.models.entity import FLEET_TYPE

from .entities import EntityName


def suggest_entities(term: str, limit: int = 20) -> list[EntityName]:
    """Types and keys that fit ``term``: ``agent/sup`` by type and key, ``sup`` by key, name or type."""
    kind, slash, key = term.strip().partition("/")
    rows = Entity.objects.exclude(type=FLEET_TYPE)
    if slash:
        rows = rows.filter(type=kind, key__startswith=key)
    elif kind:
        rows = rows.filter(Q(key__istartswith=kind) | Q(name__icontains=kind) | Q(type__startswith=kind))
    return list(rows.order_by("type", "key").values_list("type", "key")[:limit])
