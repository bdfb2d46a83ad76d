"""Reads of feature flags; definitions are kept in memory for as long as none of them changes."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from agent_factory_site.common.errors import NotFound
from research.domain.flags import FlagDefinition, compile_flag
from research.models import FeatureFlag

from .definitions import definition_revision

_NEVER: Final = object()
_memory: tuple[Hashable, dict[str, FlagDefinition]] = (_NEVER, {})


def list_flags(
    *, q: str = "", kind: str | None = None, enabled: bool | None = None, archived: bool = False
) -> QuerySet[FeatureFlag]:
    """Flags; ``q`` is looked for in key and name, archived ones are left out unless asked for."""
    rows: QuerySet[FeatureFlag] = FeatureFlag.objects.select_related("experiment")
    if not archived:
        rows = rows.filter(archived_at=None)
    if q:
        rows = rows.filter(Q(key__icontains=q) | Q(name__icontains=q))
    if kind is not None:
        rows = rows.filter(kind=kind)
    if enabled is not None:
        rows = rows.filter(enabled=enabled)
    return rows


def get_flag(name: UUID | str) -> FeatureFlag:
    """The flag of an id or a key; raises :class:`NotFound`."""
    wanted = Q(key=str(name))
    with suppress(ValueError):
        wanted |= Q(pk=name if isinstance(name, UUID) else UUID(name))
    found: FeatureFlag | None = FeatureFlag.objects.select_related("experiment").filter(wanted).first()
    if found is None:
        raise NotFound("not_found", "There is no such flag.")
    return found


def flag_definitions(token: Hashable = ...) -> dict[str, FlagDefinition]:
    """The flags that are not archived, by key: one statement where nothing changed, two where something did.

    ``token`` is that of the definitions where the caller has just read it.
    """
    token = definition_revision() if token is ... else token
    if _memory[0] == token:
        return _memory[1]
    made = {row.key: definition_of(row) for row in list_flags()}

    def remember() -> None:
        global _memory
        _memory = (token, made)

    # What this transaction has written itself may still be rolled back.
    transaction.on_commit(remember)
    return made


def remembered_flags(token: Hashable) -> dict[str, FlagDefinition] | None:
    """What this process remembers as of ``token``, or None where that is of another time."""
    return _memory[1] if _memory[0] == token else None


def definition_of(row: FeatureFlag) -> FlagDefinition:
    """A row ready for use."""
    return compile_flag(
        key=row.key,
        kind=row.kind,
        variants=row.variants,
        default=row.default_variant,
        enabled=row.enabled,
        unit=row.unit,
        salt=row.salt,
        rules=row.rules,
        experiment=row.experiment.key if row.experiment is not None else None,
        field=row.experiment_field,
    )
