"""What money, results and reliability are attributed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from django.db import connections, models
from django.utils import timezone

from .audited import AuditedManager, AuditedModel

FLEET_TYPE: Final = "*"
FLEET_KEY: Final = "*"
_CHUNK: Final = 200


class EntityManager(AuditedManager):
    """Adds the registration of entities on sight."""

    def bulk_register(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Insert those of these types and keys that do not exist yet; the primary keys of those inserted.

        The caller audits the registration as one event.
        """
        connection = connections[self.db]
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        registered: dict[tuple[str, str], int] = {}
        with connection.cursor() as cursor:
            for start in range(0, len(names), _CHUNK):
                part = names[start : start + _CHUNK]
                cursor.execute(
                    f"INSERT INTO {self.model._meta.db_table} (type, key, name, created_at)"  # noqa: S608
                    f" VALUES {', '.join(['(%s, %s, %s, %s)'] * len(part))}"
                    " ON CONFLICT DO NOTHING RETURNING type, key, id",
                    [value for kind, key in part for value in (kind, key, "", now)],
                )
                registered.update({(kind, key): pk for kind, key, pk in cursor.fetchall()})
        return registered


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
