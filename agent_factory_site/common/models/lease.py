"""Leases: at most one holder of a name at a time."""

from __future__ import annotations

from django.db import models


class Lease(models.Model):
    """A named right that one process holds until ``expires_at``, renewed while it lives."""

    audit_exempt = "renewed every few seconds by whoever runs the schedule"

    name = models.CharField(primary_key=True, max_length=100)
    holder = models.CharField(max_length=200)
    expires_at = models.DateTimeField()
    renewed_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} held by {self.holder}"
