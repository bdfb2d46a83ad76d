"""One table with a column for each field that a cost is sent with."""

from __future__ import annotations

from django.db import models


class SentCost(models.Model):
    """A cost as it was sent."""

    source = models.CharField(max_length=255)
    event_id = models.CharField(max_length=255)
    occurred_at = models.DateTimeField()
    entity_type = models.CharField(max_length=100)
    entity_id = models.CharField(max_length=255)
    entities = models.JSONField()
    cost_type = models.CharField(max_length=16)
    provider = models.CharField(max_length=100)
    model = models.CharField(max_length=255)
    usage = models.JSONField()
    run_id = models.CharField(max_length=255)
    tags = models.JSONField()

    class Meta:
        app_label = "bare"

    def __str__(self) -> str:
        return self.event_id


class KnownUnit(models.Model):
    """A unit and what it is served."""

    unit = models.CharField(max_length=255, unique=True)
    variant = models.CharField(max_length=100)

    class Meta:
        app_label = "bare"

    def __str__(self) -> str:
        return self.unit
