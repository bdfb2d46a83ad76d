"""What money, results and reliability are attributed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django.db import models

from .audited import AuditedManager, AuditedModel

FLEET_TYPE: Final = "*"
FLEET_KEY: Final = "*"


class EntityManager(AuditedManager):
    """Adds the registration of entities on sight."""

    def bulk_register(self, entities: Sequence[Entity]) -> None:
        """Insert those that do not exist yet; the caller audits the registration as one event."""
        rows: models.QuerySet[Any] = models.QuerySet(self.model, using=self.db)
        rows.bulk_create(entities, ignore_conflicts=True)


class Entity(AuditedModel):
    """An agent, a user, a team, an experiment, or anything else that costs are attributed to.

    Rows elsewhere name an entity by primary key alone, so that erasing a person changes one row and
    no ledger. The entity ``*``/``*`` is the whole fleet.
    """

    # A key may be a person's name or address.
    audit_personal: ClassVar[frozenset[str]] = frozenset({"key", "name"})

    type = models.CharField(max_length=100)
    key = models.CharField(max_length=255)
    name = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[EntityManager] = EntityManager()

    class Meta:
        verbose_name_plural = "entities"
        constraints = [
            models.UniqueConstraint(fields=["type", "key"], name="common_entity_type_key"),
            models.CheckConstraint(
                condition=~models.Q(type="") & ~models.Q(key=""), name="common_entity_named"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type}/{self.name or self.key}"
