"""Period reports, frozen when their period ended."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from agent_factory_site.common.ids import uuid7

from .slo import Slo, SloSeries


class SloReport(models.Model):
    """What one series of an SLO came to in ``[start, end)``; never changed.

    What corrections make of it later stands in its amendments.
    """

    class Period(models.TextChoices):
        WEEK = "week"
        MONTH = "month"
        QUARTER = "quarter"
        YEAR = "year"
        ROLLING = "rolling"

    audit_exempt = "append-only; worked out from buckets at the end of each period"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slo = models.ForeignKey(Slo, on_delete=models.PROTECT, related_name="reports", db_index=False)
    series = models.ForeignKey(SloSeries, on_delete=models.PROTECT, related_name="reports", db_index=False)
    period = models.CharField(max_length=7, choices=Period.choices)
    start = models.DateTimeField()
    end = models.DateTimeField()
    figures = models.JSONField()
    groups = models.JSONField(null=True, help_text="The names of the labels, and what each group came to.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "report"
        ordering = ["-end", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["series", "period", "start", "end"], name="operations_sloreport_once"
            ),
            models.CheckConstraint(condition=Q(end__gt=F("start")), name="operations_sloreport_period"),
        ]
        indexes = [models.Index(fields=["slo", "-end"], name="operations_sloreport_latest")]

    def __str__(self) -> str:
        return f"{self.slo_id} {self.period} {self.start:%Y-%m-%d}"


class SloReportAmendment(models.Model):
    """What a report's figures are after later corrections, and why they differ; never changed."""

    audit_exempt = "append-only; worked out from buckets after corrections"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    report = models.ForeignKey(SloReport, on_delete=models.PROTECT, related_name="amendments", db_index=False)
    number = models.IntegerField()
    figures = models.JSONField()
    groups = models.JSONField(null=True, help_text="The names of the labels, and what each group came to.")
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "amendment"
        ordering = ["report", "number"]
        constraints = [
            models.UniqueConstraint(fields=["report", "number"], name="operations_sloreportamendment_number"),
            models.CheckConstraint(condition=Q(number__gte=1), name="operations_sloreportamendment_from_1"),
        ]

    def __str__(self) -> str:
        return f"{self.report_id} {self.number}"
