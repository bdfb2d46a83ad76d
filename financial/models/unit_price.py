"""Dated prices of everything that is not a model call: tool calls, machine hours, storage, people."""

from __future__ import annotations

from typing import Final

from django.db import models

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel

PRICE_SCALE: Final = 12


class UnitPrice(AuditedModel):
    """The price of one ``unit`` over ``[valid_from, valid_to)``; ``price`` in 1e-12 of ``currency``.

    An empty ``provider`` or ``model`` stands for any; the more particular price wins. A price does not
    change: it ends, or is archived when it should not have been.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cost_type = models.CharField(max_length=16)
    provider = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=255, blank=True)
    unit = models.CharField(max_length=32)
    price = models.BigIntegerField(help_text="In 1e-12 of the currency per unit.")
    currency = models.CharField(max_length=3)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["cost_type", "provider", "model", "unit", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["cost_type", "provider", "model", "unit", "valid_from"],
                condition=models.Q(archived_at__isnull=True),
                name="financial_unit_price_once",
            ),
            models.CheckConstraint(
                condition=models.Q(valid_to__isnull=True) | models.Q(valid_to__gt=models.F("valid_from")),
                name="financial_unit_price_interval",
            ),
            models.CheckConstraint(
                condition=models.Q(price__gte=0), name="financial_unit_price_not_negative"
            ),
            models.CheckConstraint(condition=~models.Q(unit=""), name="financial_unit_price_unit"),
        ]

    def __str__(self) -> str:
        return "/".join(part for part in (self.cost_type, self.provider, self.model, self.unit) if part)
