"""Feature flags: values that are switched and targeted while programs run."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel

from .experiment import Experiment


class FeatureFlag(AuditedModel):
    """One of several ``variants`` (key to value), chosen by rules, by an experiment or by default.

    ``rules`` are asked in order: the first whose targeting holds and, where it splits, whose share holds the
    unit decides. After them comes the linked experiment's assignment, then the default variant. ``key`` and
    ``kind`` never change: programs rely on them.
    """

    class Kind(models.TextChoices):
        BOOLEAN = "boolean"
        STRING = "string"
        NUMBER = "number"
        OBJECT = "object"

    # Renewed with every change, and by it alone.
    audit_ignored: ClassVar[frozenset[str]] = frozenset({"version", "updated_at"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=100, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=7, choices=Kind.choices)
    variants = models.JSONField(help_text="Key to value.")
    default_variant = models.CharField(max_length=100)
    enabled = models.BooleanField(default=False)
    unit = models.CharField(max_length=100, help_text="The type of the entities that splits divide.")
    salt = models.CharField(
        max_length=255, blank=True, help_text="What splits hash units with; empty: the key."
    )
    rules = models.JSONField(default=list, help_text="Asked in order.")
    experiment = models.ForeignKey(
        Experiment, null=True, blank=True, on_delete=models.PROTECT, related_name="flags"
    )
    experiment_field = models.CharField(
        max_length=100, blank=True, help_text="The field of the payload that is the value; empty: all of it."
    )
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(key="") & ~Q(key__contains="/"), name="research_featureflag_key"
            ),
            models.CheckConstraint(
                condition=~Q(default_variant="") & ~Q(unit=""), name="research_featureflag_named"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["boolean", "string", "number", "object"]),
                name="research_featureflag_kind",
            ),
            models.CheckConstraint(
                condition=Q(experiment__isnull=False) | Q(experiment_field=""),
                name="research_featureflag_field",
            ),
            models.CheckConstraint(
                condition=Q(archived_at__isnull=True) | Q(enabled=False),
                name="research_featureflag_archived",
            ),
        ]

    def __str__(self) -> str:
        return self.key
