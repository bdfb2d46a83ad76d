"""Agents and tools: registered when first seen, claimed, switched, renamed and merged by people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel, Entity, Team
from agent_factory_site.common.models.audited import AuditedManager


class SightedManager(AuditedManager):
    """Adds the registration on sight."""

    def bulk_register(self, rows: Sequence[models.Model]) -> None:
        """Insert those that do not exist yet; the caller audits the registration as one event."""
        plain: models.QuerySet[models.Model] = models.QuerySet(self.model, using=self.db)
        plain.bulk_create(rows, ignore_conflicts=True)


class Agent(AuditedModel):
    """An agent, by whatever name its runs come in.

    Costs are booked on ``entity``, which stays the same when the agent is renamed, so that its budgets do
    too. ``state`` is the switch: a paused agent starts no runs until it is resumed, a killed one no more.
    An agent that was merged is archived and points to the one that its names lead to now.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"
        KILLED = "killed"

    class CostsFrom(models.TextChoices):
        EITHER = "", "spans where they come, else the API"
        SPANS = "spans", "spans"
        API = "api", "the API"

    audit_ignored: ClassVar[frozenset[str]] = frozenset({"version", "updated_at", "last_seen_at"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=255, unique=True)
    name = models.CharField(max_length=255, blank=True)
    entity = models.OneToOneField(Entity, on_delete=models.PROTECT, related_name="+", editable=False)
    owner = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="agents")
    owner_note = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=6, choices=State.choices, default=State.ACTIVE.value, editable=False)
    state_reason = models.CharField(max_length=500, blank=True, editable=False)
    state_since = models.DateTimeField(null=True, editable=False)
    costs_from = models.CharField(
        max_length=5, choices=CostsFrom.choices, default=CostsFrom.EITHER.value, blank=True
    )
    keep_content = models.BooleanField(default=False, help_text="Store prompts and completions, redacted.")
    content_days = models.PositiveSmallIntegerField(
        default=30, help_text="For how many days they are stored."
    )
    seen_by = models.CharField(max_length=100, blank=True, editable=False, help_text="What first named it.")
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, editable=False, help_text="To the minute.")
    merged_into = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, related_name="merged", editable=False
    )
    archived_at = models.DateTimeField(null=True, editable=False)
    version = models.BigIntegerField(default=1, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[SightedManager] = SightedManager()

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(condition=~Q(key=""), name="operations_agent_named"),
            models.CheckConstraint(
                condition=Q(content_days__gte=1, content_days__lte=3650), name="operations_agent_content_days"
            ),
            models.CheckConstraint(
                condition=Q(merged_into__isnull=True)
                | (Q(archived_at__isnull=False) & ~Q(merged_into=F("id"))),
                name="operations_agent_merged",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.key


class AgentAlias(AuditedModel):
    """A name that leads to an agent: its own, and every other that it went by or took over.

    ``entity`` is the one of that name: costs may have been booked on it, and are shown with the agent's.
    """

    key = models.CharField(max_length=255, primary_key=True)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="aliases")
    entity = models.OneToOneField(Entity, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[SightedManager] = SightedManager()

    class Meta:
        verbose_name = "name of an agent"
        verbose_name_plural = "names of agents"
        ordering = ["key"]

    def __str__(self) -> str:
        return self.key


class Tool(AuditedModel):
    """A tool that agents call."""

    audit_ignored: ClassVar[frozenset[str]] = frozenset({"last_seen_at"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=255, unique=True, editable=False)
    name = models.CharField(max_length=255, blank=True)
    entity = models.OneToOneField(Entity, on_delete=models.PROTECT, related_name="+", editable=False)
    owner = models.ForeignKey(Team, on_delete=models.PROTECT, null=True, blank=True, related_name="tools")
    first_seen_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, editable=False, help_text="To the minute.")
    archived_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[SightedManager] = SightedManager()

    class Meta:
        ordering = ["key"]
        constraints = [models.CheckConstraint(condition=~Q(key=""), name="operations_tool_named")]

    def __str__(self) -> str:
        return self.name or self.key
