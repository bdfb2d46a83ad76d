"""Reading rows as they stand, locked for the rest of the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, models


def is_audited(model: type[models.Model]) -> bool:
    """Whether writes of ``model`` are recorded by the model itself."""
    from agent_factory_site.common.models.audited import AuditedModel, AuditedQuerySet

    if issubclass(model, AuditedModel):
        return True
    # The tables between audited models are made by Django and have only their manager from us.
    return bool(model._meta.auto_created) and isinstance(model._default_manager.all(), AuditedQuerySet)


def plain_rows(model: type[models.Model], using: str) -> models.QuerySet[Any]:
    """Every row of ``model``, past any manager."""
    return models.QuerySet(model, using=using)


def locked(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """``rows`` in the order of their keys, locked where the database has row locks.

    SQLite has one writer, who holds the lock of the whole database already.
    """
    rows = rows.order_by("pk")
    if connections[rows.db].features.has_select_for_update:
        rows = rows.select_for_update(of=("self",))
    return rows


def locked_rows(model: type[models.Model], using: str, pks: Sequence[Any]) -> list[Any]:
    """The rows of ``model`` with these keys, in key order, read in as few queries as the database allows."""
    size = connections[using].features.max_query_params or len(pks) or 1
    found: list[Any] = []
    for start in range(0, len(pks), size):
        found += locked(plain_rows(model, using).filter(pk__in=pks[start : start + size]))
    return found
