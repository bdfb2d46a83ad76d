"""Budgets: how much an entity may spend in a period, and whether more is refused or only told."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.db import models

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel, Entity

ROLLING: Final = "rolling:"


class Budget(AuditedModel):
    """A limit in nano-units of ``currency`` on what ``entity`` spends in each ``period``.

    Without an ``entity`` every entity of ``entity_type`` has an allowance of its own. Empty filters let
    everything through. Costs count from ``counts_from`` on; what decides which costs count never changes
    after creation.
    """

    class Enforcement(models.TextChoices):
        HARD = "hard"
        SOFT = "soft"

    class Rollover(models.TextChoices):
        NONE = "none"
        ALL = "all"
        CAPPED = "capped"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    entity_type = models.CharField(max_length=100)
    entity = models.ForeignKey(Entity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    limit = models.BigIntegerField(help_text="In nano-units of the currency.")
    currency = models.CharField(max_length=3)
    period = models.CharField(max_length=16, help_text="A unit of the calendar, or rolling:<days>d.")
    timezone = models.CharField(max_length=64, default="UTC")
    enforcement = models.CharField(max_length=4, choices=Enforcement.choices, default=Enforcement.SOFT.value)
    thresholds = models.JSONField(default=list, help_text="Shares of the limit, ascending.")
    rollover = models.CharField(max_length=6, choices=Rollover.choices, default=Rollover.NONE.value)
    rollover_cap = models.BigIntegerField(null=True, blank=True)
    filters = models.JSONField(
        default=dict, blank=True, help_text="Lists of cost_type, provider and model, and a map of tags."
    )
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    starts_on = models.DateField(null=True, blank=True)
    ends_on = models.DateField(null=True, blank=True, help_text="The last day on which costs count.")
    counts_from = models.DateTimeField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="financial_budget_limit"),
            models.CheckConstraint(
                condition=models.Q(rollover="capped", rollover_cap__gte=0)
                | models.Q(rollover__in=["none", "all"], rollover_cap__isnull=True),
                name="financial_budget_rollover",
            ),
            models.CheckConstraint(
                condition=models.Q(starts_on__isnull=True)
                | models.Q(ends_on__isnull=True)
                | models.Q(ends_on__gte=models.F("starts_on")),
                name="financial_budget_dates",
            ),
            models.CheckConstraint(
                condition=models.Q(parent__isnull=True) | ~models.Q(parent=models.F("id")),
                name="financial_budget_parent",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class BudgetRevision(models.Model):
    """One row whose ``token`` is replaced with every change of any budget.

    Processes keep the budgets in memory for as long as it stays the same. Random rather than counted, so
    that a rolled-back change leaves no token that a later one could bear again.
    """

    audit_exempt = "renewed with every write of a budget, which is recorded itself"

    id = models.SmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="financial_budget_revision_single"),
        ]

    def __str__(self) -> str:
        return str(self.token)


class BudgetOverride(AuditedModel):
    """More money for a budget until a moment, asked for by one person and approved by another."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="overrides")
    entity = models.ForeignKey(
        Entity,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Whose allowance is raised, where every entity of a type has one.",
    )
    amount = models.BigIntegerField(help_text="In nano-units of the budget's currency.")
    until = models.DateTimeField()
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_as = models.CharField(max_length=100, help_text="The actor that asked.")
    requested_at = models.DateTimeField(auto_now_add=True)
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="When the allowance was lowered again, or the request withdrawn."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(amount__gt=0), name="financial_override_amount"),
            models.CheckConstraint(
                condition=models.Q(approved_at__isnull=True, approved_by__isnull=True)
                | models.Q(approved_at__isnull=False, approved_by__isnull=False),
                name="financial_override_approval",
            ),
            models.CheckConstraint(
                condition=models.Q(approved_by__isnull=True)
                | models.Q(requested_by__isnull=True)
                | ~models.Q(approved_by=models.F("requested_by")),
                name="financial_override_two_people",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget} until {self.until:%Y-%m-%d %H:%M}"
