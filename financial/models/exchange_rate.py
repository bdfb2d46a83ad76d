"""Dated exchange rates."""

from __future__ import annotations

from typing import Final

from django.db import models

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel

RATE_SCALE: Final = 12


class ExchangeRate(AuditedModel):
    """One unit of ``base`` is worth ``rate`` (in 1e-12) of ``quote`` on ``day`` (UTC).

    A rate does not change: a mistaken one is archived and another one added. Ledger rows keep the rate
    they were converted with.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    base = models.CharField(max_length=3)
    quote = models.CharField(max_length=3)
    day = models.DateField()
    rate = models.BigIntegerField(help_text="In 1e-12 of the quote currency.")
    source = models.CharField(max_length=100, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-day", "base", "quote"]
        constraints = [
            models.UniqueConstraint(
                fields=["base", "quote", "day"],
                condition=models.Q(archived_at__isnull=True),
                name="financial_exchange_rate_once",
            ),
            models.CheckConstraint(condition=models.Q(rate__gt=0), name="financial_exchange_rate_positive"),
            models.CheckConstraint(
                condition=~models.Q(base=models.F("quote")), name="financial_exchange_rate_pair"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.base}/{self.quote} on {self.day}"
