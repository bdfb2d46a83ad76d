"""What a newer price catalogue would change, as found by the last check."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7

from .price_version import PriceVersion


class PriceDifference(models.Model):
    """One price in use that the installed catalogue states differently, or one that it adds.

    ``old`` is null for an added price; ``new_rates`` is null for one that the catalogue no longer has.
    ``since`` is the earliest time whose price differs. ``events`` and ``amount`` (base nano-units)
    tell what repricing would book for the model as a whole once the catalogue is applied.
    """

    audit_exempt = "worked out again by every check from the catalogue, the prices and the ledger"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=255)
    service_tier = models.CharField(max_length=16)
    old = models.ForeignKey(PriceVersion, null=True, on_delete=models.PROTECT, related_name="+")
    new_rates = models.JSONField(null=True)
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)
    daily_from = models.TimeField(null=True)
    daily_to = models.TimeField(null=True)
    since = models.DateTimeField()
    catalogue = models.CharField(max_length=64)
    events = models.BigIntegerField()
    newly_priced = models.BigIntegerField()
    amount = models.BigIntegerField()
    checked_at = models.DateTimeField()

    class Meta:
        ordering = ["provider", "model", "service_tier", "valid_from", "daily_from"]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model} {self.service_tier} from {self.valid_from:%Y-%m-%d}"
