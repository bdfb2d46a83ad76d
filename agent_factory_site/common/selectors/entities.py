"""Finding entities by type and key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from agent_factory_site.common.caching import CommittedCache
from agent_factory_site.common.db.prepared import PreparedQuery
from agent_factory_site.common.models import Entity
from agent_factory_site.common.models.entity import FLEET_KEY, FLEET_TYPE

EntityName = tuple[str, str]
FLEET: Final[EntityName] = (FLEET_TYPE, FLEET_KEY)

_ids: CommittedCache[EntityName, int] = CommittedCache()
_ONE: Final = PreparedQuery(
    lambda kind, key: Entity.objects.filter(type=kind, key=key).order_by().values_list("pk"), "?type", "?key"
)


def find_entities(names: Collection[EntityName]) -> dict[EntityName, int]:
    """Primary keys of the entities among ``names`` that exist."""
    found = _ids.get_many(names)
    missing = [name for name in names if name not in found]
    if missing:
        stored = stored_entities(missing)
        remember_entities(stored)
        found.update(stored)
    return found


def stored_entities(names: Collection[EntityName]) -> dict[EntityName, int]:
    """The same, asked of the database."""
    if len(names) == 1:
        (name,) = names
        one = _ONE.rows(*name)
        return {name: one[0][0]} if one else {}
    keys_by_type: dict[str, list[str]] = {}
    for kind, key in names:
        keys_by_type.setdefault(kind, []).append(key)
    found: dict[EntityName, int] = {}
    for kind, keys in keys_by_type.items():
        for start in range(0, len(keys), 5000):
            rows = Entity.objects.filter(type=kind, key__in=keys[start : start + 5000])
            found.update({(kind, key): pk for pk, key in rows.values_list("pk", "key")})
    return found


def remember_entities(numbers: Mapping[EntityName, int]) -> None:
    """Keep ``numbers`` in memory once the present transaction has committed."""
    _ids.put_on_commit(numbers)
