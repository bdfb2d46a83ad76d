"""Holds: money set aside before it is spent."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agent_factory_site.common.models import Entity

from .budget_period import BudgetPeriod


class Hold(models.Model):
    """``amount`` (nano-units of ``currency``) set aside in every budget that it counts into, or in none.

    It ends once: settled with the cost that came of it, released, or expired. A cost that arrives after
    it expired is recorded all the same, and the hold becomes settled.
    """

    class State(models.TextChoices):
        HELD = "held"
        SETTLED = "settled"
        RELEASED = "released"
        EXPIRED = "expired"

    audit_exempt = "placed and ended by services that record each step"

    id = models.UUIDField(primary_key=True, editable=False)
    owner = models.CharField(max_length=100, help_text="The person or key whose hold it is.")
    idempotency_key = models.CharField(max_length=255, blank=True)
    fingerprint = models.CharField(max_length=64, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.HELD)
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    entities = models.JSONField(help_text="The numbers of all entities that see it.")
    cost_type = models.CharField(max_length=16)
    provider = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=255, blank=True)
    service_tier = models.CharField(max_length=16, blank=True)
    tags = models.JSONField(default=dict)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    event = models.UUIDField(null=True, help_text="The ledger row that it was settled with.")
    settlement = models.CharField(
        max_length=64, blank=True, help_text="A digest of what it was settled with."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"],
                condition=~Q(idempotency_key=""),
                name="financial_hold_once",
            ),
            models.CheckConstraint(condition=Q(amount__gte=0), name="financial_hold_amount"),
            models.CheckConstraint(
                condition=Q(state="held", ended_at__isnull=True) | Q(ended_at__isnull=False),
                name="financial_hold_ended",
            ),
            models.CheckConstraint(
                condition=Q(event__isnull=True) | Q(state="settled"), name="financial_hold_event"
            ),
        ]
        indexes = [
            models.Index(fields=["expires_at"], name="financial_hold_open", condition=Q(state="held")),
            models.Index(fields=["event"], name="financial_hold_by_event", condition=Q(event__isnull=False)),
        ]

    def __str__(self) -> str:
        return str(self.id)


class HoldPart(models.Model):
    """What a hold takes of one period, in nano-units of its budget's currency.

    ``numerator / denominator`` converts the budget's currency to the base currency, fixed when the hold was
    placed. ``provisional`` is what is kept as spent until the price of the call is known.
    """

    audit_exempt = "placed and ended with its hold"

    pk = models.CompositePrimaryKey("hold_id", "period_id")
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="parts", db_index=False)
    period = models.ForeignKey(
        BudgetPeriod, on_delete=models.PROTECT, related_name="parts", db_index=False, db_constraint=False
    )
    amount = models.BigIntegerField()
    numerator = models.BigIntegerField(default=1)
    denominator = models.BigIntegerField(default=1)
    day = models.DateField(null=True)
    provisional = models.BigIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["period", "hold"], name="financial_holdpart_period")]
        constraints = [
            models.CheckConstraint(
                condition=Q(amount__gte=0, provisional__gte=0), name="financial_holdpart_amounts"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hold_id} {self.period_id}"
