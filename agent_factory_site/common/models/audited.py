"""Models whose every write is recorded in the audit trail."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class AuditedQuerySet(models.QuerySet[Any]):
    pass


class AuditedManager(models.Manager.from_queryset(AuditedQuerySet)):  # type: ignore[misc]
    pass


class AuditedModel(models.Model):
    audit_secrets: ClassVar[frozenset[str]] = frozenset()
    audit_ignored: ClassVar[frozenset[str]] = frozenset()

    objects = AuditedManager()

    class Meta:
        abstract = True
