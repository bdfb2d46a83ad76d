"""Service level objectives, and the versions of what they count."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel, Entity, Team

from .sli import Sli


class Slo(AuditedModel):
    """A promise: which share of an indicator's events is good within a window.

    The window is either rolling or of the calendar. ``group_by`` names the labels whose combinations are
    judged by themselves, ``min_traffic`` the events a window needs before a condition may fire.
    ``key`` never changes.
    """

    class Calendar(models.TextChoices):
        WEEK = "week"
        MONTH = "month"
        QUARTER = "quarter"
        YEAR = "year"

    class Budgeting(models.TextChoices):
        OCCURRENCES = "occurrences"
        TIMESLICES = "timeslices"

    # Renewed with every change, and by it alone.
    audit_ignored: ClassVar[frozenset[str]] = frozenset({"version", "updated_at"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=100, unique=True, editable=False)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    sli = models.ForeignKey(Sli, on_delete=models.PROTECT, related_name="slos")
    target = models.DecimalField(max_digits=10, decimal_places=9, help_text="Between 0 and 1.")
    rolling_seconds = models.BigIntegerField(null=True, blank=True)
    calendar = models.CharField(max_length=7, choices=Calendar.choices, null=True, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    budgeting = models.CharField(
        max_length=11, choices=Budgeting.choices, default=Budgeting.OCCURRENCES.value
    )
    group_by = models.JSONField(default=list, blank=True)
    min_traffic = models.BigIntegerField(default=0)
    burn_alerts = models.JSONField(default=list, blank=True)
    owner = models.ForeignKey(Entity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "SLO"
        verbose_name_plural = "SLOs"
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(condition=~Q(key="") & ~Q(key__contains="/"), name="operations_slo_key"),
            models.CheckConstraint(condition=Q(target__gt=0, target__lt=1), name="operations_slo_target"),
            models.CheckConstraint(
                condition=Q(rolling_seconds__gt=0, calendar__isnull=True)
                | Q(rolling_seconds__isnull=True, calendar__isnull=False),
                name="operations_slo_window",
            ),
            models.CheckConstraint(condition=Q(min_traffic__gte=0), name="operations_slo_min_traffic"),
        ]

    def __str__(self) -> str:
        return self.name or self.key

    @property
    def state(self) -> str:
        """``active`` or ``archived``."""
        return "active" if self.archived_at is None else "archived"


class SloObjective(models.Model):
    """What one SLO counts and how, from ``started_at`` to ``ended_at``; the open one is being written.

    A changed threshold, operator, slice target, grouping or indicator ends it and starts another, with series
    of its own, into which the samples still kept are counted: ``counted_to`` is the key of the last sample that was
    (none: all are counted). ``series_count`` series belong to it; from ``capped_at`` on further
    combinations of labels are counted in the series of all alone.
    """

    audit_exempt = "a copy of the SLO's definition, opened and ended with changes of it"

    slo = models.ForeignKey(Slo, on_delete=models.PROTECT, related_name="objectives")
    sli = models.ForeignKey(Sli, on_delete=models.PROTECT, related_name="objectives")
    number = models.IntegerField()
    threshold = models.DecimalField(max_digits=24, decimal_places=9, null=True)
    op = models.CharField(max_length=3, choices=Sli.Op.choices)
    slice_target = models.DecimalField(max_digits=10, decimal_places=9, null=True)
    group_by = models.JSONField(default=list)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    counted_to = models.UUIDField(null=True)
    series_count = models.IntegerField(default=0)
    capped_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "objective"
        ordering = ["slo", "number"]
        constraints = [
            models.UniqueConstraint(fields=["slo", "number"], name="operations_sloobjective_number"),
            models.UniqueConstraint(
                fields=["slo"], condition=Q(ended_at__isnull=True), name="operations_sloobjective_open"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="operations_sloobjective_times",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.slo_id} {self.number}"


class SloSeries(models.Model):
    """One run of buckets of an objective: of all events (no labels), or of one combination of labels.

    ``first_minute`` and ``last_minute`` are the minutes since 1970 that have data.
    """

    audit_exempt = "registered by the first sample of its labels"

    id = models.AutoField(primary_key=True, editable=False)
    objective = models.ForeignKey(
        SloObjective, on_delete=models.PROTECT, related_name="series", db_index=False
    )
    labels = models.JSONField(default=dict)
    labels_hash = models.UUIDField()
    first_minute = models.IntegerField(null=True)
    last_minute = models.IntegerField(null=True)

    class Meta:
        verbose_name = "series"
        verbose_name_plural = "series"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["objective", "labels_hash"], name="operations_sloseries_labels"),
        ]

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in sorted(self.labels.items())) or "all"
