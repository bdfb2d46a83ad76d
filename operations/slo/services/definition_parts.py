"""What definitions of indicators, objectives and windows have in common when they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db import models

from agent_factory_site.common.errors import Conflict, FieldError, Invalid

Check = Callable[[Any], None]
"""Called with the locked row before it changes; raises to refuse."""


def refuse_archived(row: Any, called: str) -> None:
    """Raises :class:`Conflict` where ``row`` is archived."""
    if row.archived_at is not None:
        raise Conflict("archived", f"This {called} is archived.")


def key_fixed(row: Any, changes: Mapping[str, Any], errors: list[FieldError]) -> None:
    """Names ``key`` where it would change."""
    if "key" in changes and changes["key"] != row.key:
        errors.append(FieldError("/key", "fixed", "Never changes: programs rely on it."))


def check_free(model: type[models.Model], key: str) -> None:
    """Raises :class:`Conflict` where a row has the key."""
    if model._default_manager.filter(key=key).exists():
        raise taken(model, key)


def taken(model: type[models.Model], key: str) -> Conflict:
    """What is said of a key that another row has."""
    return Conflict("duplicate_key", f"There is another {model._meta.verbose_name} with the key {key}.")


def refuse(errors: list[FieldError]) -> None:
    """Raises :class:`Invalid` with what is wrong, if anything is."""
    if errors:
        raise Invalid.fields(*errors)
