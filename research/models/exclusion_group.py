"""Exclusion groups: a unit takes part in at most one of a group's experiments."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel


class ExclusionGroup(AuditedModel):
    """Units are hashed into the group by its key; each running experiment has a range of it to itself."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=100, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(condition=~Q(key=""), name="research_exclusiongroup_named"),
        ]

    def __str__(self) -> str:
        return self.name or self.key
