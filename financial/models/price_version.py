"""Dated prices: every rate a ledger row was priced with, so that the row can be recomputed for ever."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel


class PriceVersion(AuditedModel):
    """The rates of one model over ``[valid_from, valid_to)``, optionally for a daily UTC window.

    ``rates`` maps a usage part to ``{"per_million": "2.5", "tiers": [{"above": 200000, "per_million":
    "5"}]}``: decimals as strings, in ``currency``; tiers may be absent and reprice the whole part once an
    event's input tokens pass them. ``provider`` and ``model`` are in the lower-case spelling of the lookup.

    A version never changes once written: a trigger lets an update set its end, its note and its
    archiving alone. A price ends by setting ``valid_to``; one that should not have been (a mistaken
    override, a corrected catalogue) is archived, which takes it out of use whatever the date, while the
    ledger rows priced with it still name it.
    """

    class Source(models.TextChoices):
        CATALOGUE = "genai-prices", "Catalogue (genai-prices)"
        OVERRIDE = "override", "Override"

    class ServiceTier(models.TextChoices):
        STANDARD = "standard"
        BATCH = "batch"
        FLEX = "flex"
        PRIORITY = "priority"
        FAST = "fast"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=255)
    service_tier = models.CharField(max_length=16, choices=ServiceTier.choices, default=ServiceTier.STANDARD)
    source = models.CharField(max_length=16, choices=Source.choices, default=Source.OVERRIDE)
    source_version = models.CharField(max_length=64, blank=True)
    catalogue_model = models.CharField(
        max_length=255,
        blank=True,
        help_text="The catalogue's own name of the model, under which an override covers all its spellings.",
    )
    currency = models.CharField(max_length=3, default="USD")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True, blank=True)
    daily_from = models.TimeField(null=True, blank=True, help_text="Start of a daily window, UTC.")
    daily_to = models.TimeField(
        null=True, blank=True, help_text="End of a daily window, UTC; before its start when across midnight."
    )
    rates = models.JSONField()
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["provider", "model", "service_tier", "-valid_from", "daily_from"]
        constraints = [
            # Two partial indexes: neither SQLite nor older PostgreSQL treats nulls as equal.
            models.UniqueConstraint(
                fields=["provider", "model", "service_tier", "source", "valid_from"],
                condition=models.Q(archived_at__isnull=True, daily_from__isnull=True),
                name="financial_price_once",
            ),
            models.UniqueConstraint(
                fields=["provider", "model", "service_tier", "source", "valid_from", "daily_from"],
                condition=models.Q(archived_at__isnull=True, daily_from__isnull=False),
                name="financial_price_once_daily",
            ),
            models.CheckConstraint(
                condition=models.Q(valid_to__isnull=True) | models.Q(valid_to__gt=models.F("valid_from")),
                name="financial_price_interval",
            ),
            models.CheckConstraint(
                condition=models.Q(daily_from__isnull=True, daily_to__isnull=True)
                | models.Q(daily_from__isnull=False, daily_to__isnull=False)
                & ~models.Q(daily_from=models.F("daily_to")),
                name="financial_price_daily_window",
            ),
            models.CheckConstraint(
                condition=~models.Q(provider="") & ~models.Q(model=""), name="financial_price_named"
            ),
            models.CheckConstraint(
                condition=models.Q(service_tier__in=["standard", "batch", "flex", "priority", "fast"]),
                name="financial_price_tier",
            ),
            models.CheckConstraint(
                condition=models.Q(source__in=["genai-prices", "override"]), name="financial_price_source"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} from {self.valid_from:%Y-%m-%d}"


class PriceRevision(models.Model):
    """One row whose ``token`` is replaced by triggers whenever any price version is written.

    Processes keep prices in memory for as long as the token stays the same. It is random rather than
    counted, so that a rolled-back change leaves no token that a later change could bear again.
    """

    audit_exempt = "renewed by triggers with every write of a price version, which is recorded itself"

    id = models.SmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="financial_price_revision_single"),
        ]

    def __str__(self) -> str:
        return str(self.token)
