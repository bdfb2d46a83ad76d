"""Dated prices: every rate a ledger row was priced with, so that the row can be recomputed for ever."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel


class PriceVersion(AuditedModel):
    """The rates of one model over ``[valid_from, valid_to)``, optionally for a daily UTC window.

    ``rates`` maps a usage part to ``{"per_million": "2.50", "tiers": [{"above": 200000, "per_million": "5"}]}``:
    decimals as strings, in ``currency``. Rates never change once written; a price ends by setting
    ``valid_to`` and a new version begins.
    """

    class Source(models.TextChoices):
        CATALOGUE = "genai-prices", "Catalogue (genai-prices)"
        OVERRIDE = "override", "Override"

    class ServiceTier(models.TextChoices):
        STANDARD = "standard"
        BATCH = "batch"
        FLEX = "flex"
        PRIORITY = "priority"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=255)
    service_tier = models.CharField(max_length=16, choices=ServiceTier.choices, default=ServiceTier.STANDARD)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.OVERRIDE)
    source_version = models.CharField(max_length=64, blank=True)
    currency = models.CharField(max_length=3, default="USD")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    daily_from = models.TimeField(null=True, blank=True, help_text="Start of a daily window, UTC.")
    daily_to = models.TimeField(null=True, blank=True, help_text="End of a daily window, UTC.")
    rates = models.JSONField()
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["provider", "model", "service_tier", "-valid_from"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "model", "service_tier", "source", "valid_from", "daily_from"],
                nulls_distinct=False,
                name="financial_price_once",
            ),
            models.CheckConstraint(
                condition=models.Q(valid_to__isnull=True) | models.Q(valid_to__gt=models.F("valid_from")),
                name="financial_price_interval",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} from {self.valid_from:%Y-%m-%d}"
