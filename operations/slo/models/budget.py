"""What people do to an error budget and write on its timeline."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel

from .slo import Slo


class BudgetAdjustment(AuditedModel):
    """Budget given back (above 0) or taken away (below 0) by somebody, with a reason; never changed.

    In events or in minutes, as the SLO budgets. It counts in the windows that hold ``at``, for the series that
    bears exactly these ``labels``.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slo = models.ForeignKey(Slo, on_delete=models.PROTECT, related_name="adjustments", db_index=False)
    labels = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField()
    events = models.BigIntegerField(null=True, blank=True)
    minutes = models.DecimalField(max_digits=15, decimal_places=3, null=True, blank=True)
    reason = models.TextField()
    actor_kind = models.CharField(max_length=16, editable=False)
    actor_id = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(events__isnull=False, minutes__isnull=True) & ~Q(events=0)
                | Q(events__isnull=True, minutes__isnull=False) & ~Q(minutes=0),
                name="operations_budgetadjustment_amount",
            ),
            models.CheckConstraint(condition=~Q(reason=""), name="operations_budgetadjustment_reason"),
        ]
        indexes = [models.Index(fields=["slo", "at"], name="operations_budgetadjustment_at")]

    def __str__(self) -> str:
        amount = f"{self.minutes:+} minutes" if self.events is None else f"{self.events:+} events"
        return f"{amount}: {self.reason}"


class SloAnnotation(AuditedModel):
    """A remark on an SLO's timeline, at a time or over a stretch of it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slo = models.ForeignKey(Slo, on_delete=models.PROTECT, related_name="annotations", db_index=False)
    at = models.DateTimeField()
    until = models.DateTimeField(null=True, blank=True)
    text = models.TextField()
    actor_kind = models.CharField(max_length=16, editable=False)
    actor_id = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "annotation"
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(text="") & (Q(until__isnull=True) | Q(until__gt=F("at"))),
                name="operations_sloannotation_sane",
            ),
        ]
        indexes = [models.Index(fields=["slo", "at"], name="operations_sloannotation_at")]

    def __str__(self) -> str:
        return self.text
