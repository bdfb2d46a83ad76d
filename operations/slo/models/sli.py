"""Service level indicators: what is measured, and what makes one event good."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from agent_factory_site.common.models import AuditedModel


class Sli(AuditedModel):
    """One thing that is measured event by event.

    A ``ratio`` counts good of total events; the other kinds may do so too, or compare a value with
    ``threshold``: a latency or any value, seconds of age (freshness), a judge's score (quality), the price of a
    run (cost). ``slice_target`` is the share of good events from which a minute is a good slice.
    ``source_filter`` says which of the source's events are meant. ``key`` never changes.
    """

    class Kind(models.TextChoices):
        RATIO = "ratio"
        THRESHOLD = "threshold"
        TIMESLICE = "timeslice"
        FRESHNESS = "freshness"
        QUALITY = "quality"
        COST = "cost"

    class Source(models.TextChoices):
        SAMPLES = "samples", "samples sent to the API"
        HTTP = "http", "this service's own HTTP requests"
        HEALTH = "health", "health probes"
        RUNS = "runs", "agent runs"

    class Op(models.TextChoices):
        LTE = "lte", "at most"
        LT = "lt", "below"
        GTE = "gte", "at least"
        GT = "gt", "above"

    # Renewed with every change, and by it alone.
    audit_ignored: ClassVar[frozenset[str]] = frozenset({"version", "updated_at"})

    id = models.AutoField(primary_key=True, editable=False)
    key = models.CharField(max_length=100, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=9, choices=Kind.choices)
    source = models.CharField(max_length=7, choices=Source.choices, default=Source.SAMPLES.value)
    source_filter = models.JSONField(default=dict, blank=True)
    unit = models.CharField(max_length=50, blank=True, help_text="Of the values, such as seconds or USD.")
    threshold = models.DecimalField(
        max_digits=24, decimal_places=9, null=True, blank=True, help_text="What a good value is held against."
    )
    op = models.CharField(max_length=3, choices=Op.choices, default=Op.LTE.value)
    slice_target = models.DecimalField(
        max_digits=10,
        decimal_places=9,
        null=True,
        blank=True,
        help_text="The share of good in a good minute.",
    )
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = "SLI"
        verbose_name_plural = "SLIs"
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(condition=~Q(key="") & ~Q(key__contains="/"), name="operations_sli_key"),
            models.CheckConstraint(
                condition=Q(slice_target__isnull=True) | Q(slice_target__gt=0, slice_target__lte=1),
                name="operations_sli_slice_target",
            ),
        ]
        indexes = [models.Index(fields=["source", "archived_at"], name="operations_sli_source")]

    def __str__(self) -> str:
        return self.name or self.key
