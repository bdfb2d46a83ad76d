"""Burn conditions: whether a rule of an SLO holds, and since when."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agent_factory_site.common.ids import uuid7

from .slo import Slo, SloSeries


class SloCondition(models.Model):
    """The state of one burn rule of one series, as the last evaluation found it.

    ``held`` is a rule whose condition holds while a more urgent one fires; ``unknown`` one without data.
    """

    class State(models.TextChoices):
        OK = "ok"
        FIRING = "firing"
        HELD = "held"
        UNKNOWN = "unknown"

    audit_exempt = "worked out from buckets at every evaluation; changes go to the outbox"

    slo = models.ForeignKey(Slo, on_delete=models.PROTECT, related_name="conditions", db_index=False)
    series = models.ForeignKey(SloSeries, on_delete=models.PROTECT, related_name="conditions", db_index=False)
    rule = models.CharField(max_length=100)
    state = models.CharField(max_length=7, choices=State.choices)
    since = models.DateTimeField()
    long_burn = models.FloatField(null=True)
    short_burn = models.FloatField(null=True)
    evaluated_at = models.DateTimeField()

    class Meta:
        verbose_name = "burn condition"
        ordering = ["slo", "series", "rule"]
        constraints = [
            models.UniqueConstraint(fields=["series", "rule"], name="operations_slocondition_rule"),
            models.CheckConstraint(
                condition=Q(state__in=["ok", "firing", "held", "unknown"]),
                name="operations_slocondition_state",
            ),
        ]
        indexes = [
            models.Index(fields=["slo", "state"], name="operations_slocondition_slo"),
            models.Index(
                fields=["state"],
                condition=Q(state__in=["firing", "held"]),
                name="operations_slocondition_burn",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slo_id} {self.rule} {self.state}"


class SloConditionChange(models.Model):
    """A change of a burn condition, kept for timelines and reports."""

    audit_exempt = "append-only; worked out from buckets by evaluations"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slo = models.ForeignKey(Slo, on_delete=models.PROTECT, related_name="condition_changes", db_index=False)
    series = models.ForeignKey(SloSeries, on_delete=models.PROTECT, related_name="+", db_index=False)
    rule = models.CharField(max_length=100)
    severity = models.CharField(max_length=6, blank=True)
    before = models.CharField(max_length=7, blank=True)
    state = models.CharField(max_length=7, choices=SloCondition.State.choices)
    at = models.DateTimeField()

    class Meta:
        verbose_name = "change of a burn condition"
        verbose_name_plural = "changes of burn conditions"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["slo", "at"], name="operations_slochange_at"),
            models.Index(fields=["series", "rule", "at"], name="operations_slochange_series"),
        ]

    def __str__(self) -> str:
        return f"{self.slo_id} {self.rule} {self.before} -> {self.state}"
