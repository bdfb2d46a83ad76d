"""What money, results and reliability are attributed to."""

from __future__ import annotations

from typing import Final

from django.db import models

from .audited import AuditedModel

FLEET_TYPE: Final = "*"
FLEET_KEY: Final = "*"


class Entity(AuditedModel):
    """An agent, a user, a team, an experiment, or anything else that costs are attributed to.

    Rows elsewhere name an entity by primary key alone, so that erasing a person changes one row and
    no ledger. The entity ``*``/``*`` is the whole fleet.
    """

    type = models.CharField(max_length=100)
    key = models.CharField(max_length=255)
    name = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

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
