"""Who sends telemetry, and what became of it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class TelemetrySource(models.Model):
    """One service that sends spans under one API key with one SDK, counted by what became of its spans.

    ``ignored_by`` counts ignored spans, logs and metrics by reason. ``remark`` says what somebody should know,
    such as that it named more agents than there may be. ``key`` is the API key's prefix. ``refused`` are requests
    whose body was refused as a whole: nothing in them tells of a service, so that they count on the key alone.
    """

    audit_exempt = "counts of what programs sent, no business data"

    id = models.AutoField(primary_key=True, editable=False)
    key = models.CharField(max_length=100, blank=True)
    service = models.CharField(max_length=255, blank=True)
    sdk = models.CharField(max_length=100, blank=True)
    sdk_version = models.CharField(max_length=50, blank=True)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField()
    requests = models.BigIntegerField(default=0)
    accepted = models.BigIntegerField(default=0)
    rejected = models.BigIntegerField(default=0)
    ignored = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    refused = models.BigIntegerField(default=0, db_default=0)
    ignored_by = models.JSONField(default=dict)
    remark = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["key", "service", "sdk", "sdk_version"], name="operations_source_once"
            ),
            models.CheckConstraint(
                condition=Q(requests__gte=0, accepted__gte=0, rejected__gte=0, ignored__gte=0),
                name="operations_source_counts",
            ),
        ]

    def __str__(self) -> str:
        return self.service or self.sdk or self.key
