"""Entities are registered on sight: the first cost, run or result that names one creates it."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.models import Entity
from agent_factory_site.common.selectors.entities import (
    EntityName,
    find_entities,
    remember_entities,
    stored_entities,
)


def resolve_entities(names: Collection[EntityName]) -> dict[EntityName, int]:
    """Primary keys of all ``names``; those never seen before are registered, and audited as one event."""
    found = find_entities(names)
    # Sorted, so that two batches meeting the same new names never wait for each other in a circle.
    missing = sorted(name for name in set(names) if name not in found)
    if not missing:
        return found
    # Nothing in here fails that its caller could go on after: a savepoint would be two messages for nothing.
    with transaction.atomic(savepoint=False):
        registered = Entity.objects.bulk_register(missing)
        if others := [name for name in missing if name not in registered]:
            registered.update(stored_entities(others))
        record_audit(
            action="register",
            target_type="common.Entity",
            changes={"entities": sorted(registered.values())},
        )
        remember_entities(registered)
    found.update(registered)
    return found
