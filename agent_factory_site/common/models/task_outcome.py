"""How background tasks end."""

from __future__ import annotations

from django.db import models


class TaskOutcome(models.Model):
    """When a task last succeeded and failed; ``failures`` counts those since the last success."""

    audit_exempt = "a measurement of work that is recorded itself"

    task = models.CharField(primary_key=True, max_length=200)
    succeeded_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    failures = models.IntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return self.task
