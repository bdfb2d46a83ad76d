"""The cost ledger: rows are appended and never changed; triggers refuse UPDATE and DELETE.

Foreign keys here have no constraint in the database: what they name is never deleted, and a check
per row and key costs more than the row itself (docs/decisions/0003-ledger-without-foreign-key-checks.md).
"""

from __future__ import annotations

from typing import Final

from django.db import models

from agent_factory_site.common.db.indexes import GrowingIndex
from agent_factory_site.common.models import Entity

from .price_version import PriceVersion
from .unit_price import UnitPrice

USAGE_FIELDS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "images",
    "requests",
)


class CostSeries(models.Model):
    """One combination of cost type, provider, model and currency: a ledger row and a rollup name it by number."""

    audit_exempt = "a dictionary of names that ledger rows point to, appended only"

    cost_type = models.CharField(max_length=16)
    provider = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=255, blank=True)
    currency = models.CharField(max_length=3)

    class Meta:
        verbose_name_plural = "cost series"
        constraints = [
            models.UniqueConstraint(
                fields=["cost_type", "provider", "model", "currency"], name="financial_series_once"
            ),
        ]

    def __str__(self) -> str:
        return "/".join(part for part in (self.cost_type, self.provider, self.model, self.currency) if part)


class UsageColumns(models.Model):
    """The usage counters, in the same order wherever they are stored."""

    input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    audio_input_tokens = models.BigIntegerField(default=0)
    audio_output_tokens = models.BigIntegerField(default=0)
    images = models.BigIntegerField(default=0)
    requests = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


class CostEvent(UsageColumns):
    """One ledger row: a charge, a credit, or a correction of a charge.

    Amounts are nano-units: ``amount`` in the event's own currency, ``base_amount`` in the base currency;
    ``parts`` splits ``amount`` by usage part and sums to it exactly. ``quantity`` is in billionths of
    ``unit``. ``exchange`` is ``[numerator, denominator]`` of the conversion, null in the base currency.
    ``unpriced`` is 1 for a charge without a price, and -1 for the correction that priced it later. Corrections
    have no usage, but for those from the source ``void``, which take a charge back: theirs is that of the charge
    with its sign turned round.
    """

    class Kind(models.TextChoices):
        CHARGE = "charge"
        CREDIT = "credit"
        CORRECTION = "correction"

    audit_exempt = "appended in batches, each recorded as one audit event"

    id = models.UUIDField(primary_key=True, editable=False)
    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    series = models.ForeignKey(
        CostSeries, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    amount = models.BigIntegerField()
    base_amount = models.BigIntegerField()
    unpriced = models.SmallIntegerField(default=0)
    price_version = models.ForeignKey(
        PriceVersion,
        null=True,
        on_delete=models.PROTECT,
        db_index=False,
        db_constraint=False,
        related_name="+",
    )
    service_tier = models.CharField(max_length=16, blank=True)
    parts = models.JSONField(default=dict)
    run_id = models.CharField(max_length=255, blank=True)
    tags = models.JSONField(default=dict)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.CHARGE)
    corrects = models.UUIDField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    quantity = models.BigIntegerField(null=True)
    unit = models.CharField(max_length=32, blank=True)
    unit_price = models.ForeignKey(
        UnitPrice, null=True, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    exchange = models.JSONField(null=True)
    audit_id = models.UUIDField(help_text="The audit event of the batch this row was recorded in.")

    class Meta:
        indexes = [
            models.Index(fields=["occurred_at", "id"], name="financial_event_time"),
            models.Index(fields=["run_id"], name="financial_event_run", condition=~models.Q(run_id="")),
            models.Index(
                fields=["corrects"],
                name="financial_event_corrects",
                condition=models.Q(corrects__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind="correction", corrects__isnull=False)
                | models.Q(kind__in=["charge", "credit"], corrects__isnull=True),
                name="financial_event_kind",
            ),
            models.CheckConstraint(
                condition=models.Q(kind="charge", amount__gte=0)
                | models.Q(kind="credit", amount__lt=0)
                | models.Q(kind="correction"),
                name="financial_event_sign",
            ),
            models.CheckConstraint(
                condition=models.Q(unpriced__in=[0, 1]) | models.Q(kind="correction", unpriced=-1),
                name="financial_event_unpriced",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class CostEventKey(models.Model):
    """What makes an event id count once: unique wherever the detail rows live, also after archiving.

    ``key`` is the first 128 bits of SHA-256 over source and event id, ``content`` a digest of what
    was sent, to tell a repeat from a conflict.
    """

    audit_exempt = "appended in batches, each recorded as one audit event"

    key = models.UUIDField(primary_key=True)
    content = models.UUIDField()
    event = models.UUIDField()
    occurred_at = models.DateTimeField()

    class Meta:
        # Tells an event that was archived from one that never was.
        indexes = [GrowingIndex(fields=["event"], name="financial_eventkey_event")]

    def __str__(self) -> str:
        return str(self.key)


class CostAttribution(models.Model):
    """One entity that sees an event: its own and each of ``entities``."""

    audit_exempt = "appended in batches, each recorded as one audit event"

    pk = models.CompositePrimaryKey("entity_id", "occurred_at", "event")
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    occurred_at = models.DateTimeField()
    event = models.UUIDField(db_index=True)

    def __str__(self) -> str:
        return f"{self.entity_id} {self.event}"
