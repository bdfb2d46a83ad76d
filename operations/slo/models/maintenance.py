"""Maintenance windows: time that counts as excluded."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel

from .slo import Slo


class MaintenanceWindow(AuditedModel):
    """A stretch of time, once or by an RFC 5545 rule, whose minutes count as excluded for some or all SLOs.

    ``starts_at`` is the first occurrence; the rule recurs by the clock of ``timezone``.
    """

    class Kind(models.TextChoices):
        ANNOUNCED = "announced"
        AD_HOC = "ad_hoc", "ad hoc"

    # Renewed with every change, and by it alone.
    audit_ignored: ClassVar[frozenset[str]] = frozenset({"version", "updated_at"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    starts_at = models.DateTimeField()
    duration_seconds = models.BigIntegerField()
    rrule = models.CharField(max_length=500, null=True, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    kind = models.CharField(max_length=9, choices=Kind.choices, default=Kind.ANNOUNCED.value)
    all_slos = models.BooleanField(default=False)
    slos = models.ManyToManyField(Slo, blank=True, related_name="maintenance_windows")
    reason = models.TextField(blank=True)
    actor_kind = models.CharField(max_length=16, editable=False)
    actor_id = models.CharField(max_length=255, editable=False)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(name="") & Q(duration_seconds__gt=0), name="operations_maintenancewindow_sane"
            ),
        ]

    def __str__(self) -> str:
        return self.name
