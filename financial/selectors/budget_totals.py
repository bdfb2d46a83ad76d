"""What is published of all budgets: their current periods, and what went beyond limits and thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, F
from django.utils import timezone

from financial.domain.budget_rules import place_of
from financial.domain.budget_state import Standing
from financial.models import Budget, BudgetCrossing, BudgetOverrun, BudgetPeriod

from .budget_index import rule_of
from .budget_present import present_periods


@dataclass(frozen=True, slots=True)
class PublishedPeriod:
    """A current period with its names."""

    budget: str
    name: str
    entity_type: str
    entity_id: str
    key: str
    currency: str
    standing: Standing


def current_periods(most: int, *, now: datetime | None = None) -> list[PublishedPeriod]:
    """The current periods of the budgets in use, as many as ``most``: where most is spent and held first."""
    moment = now or timezone.now()
    budgets = {budget.pk: budget for budget in Budget.objects.filter(archived_at=None)}
    rules = {pk: rule_of(budget) for pk, budget in budgets.items()}
    keys = {pk: place_of(rule.period, moment).key for pk, rule in rules.items() if rule.counts_from <= moment}
    rows = BudgetPeriod.objects.filter(budget__archived_at=None, key__in=set(keys.values()))
    used = (F("settled") + F("held")).desc()
    # A key such as 2026-11-22 is that of the one zone's day and not yet of the other's: few are left out.
    found = [
        row
        for row in rows.select_related("entity").order_by(used)[: 2 * most]
        if keys.get(row.budget_id) == row.key
    ][:most]
    return [
        PublishedPeriod(
            str(row.budget_id),
            budgets[row.budget_id].name,
            row.entity.type,
            row.entity.key,
            row.key,
            budgets[row.budget_id].currency,
            period.standing,
        )
        for row, period in zip(found, present_periods(found, rules, moment), strict=True)
    ]


def overruns_by_cause() -> dict[tuple[str, str], int]:
    """How many overruns there were, by budget and cause."""
    rows = BudgetOverrun.objects.order_by().values_list("period__budget_id", "cause")
    return {(str(budget), cause): count for budget, cause, count in rows.annotate(count=Count("pk"))}


def crossings_by_threshold() -> dict[tuple[str, Decimal], int]:
    """How often thresholds were crossed, by budget and threshold."""
    rows = BudgetCrossing.objects.order_by().values_list("period__budget_id", "threshold")
    return {(str(budget), threshold): count for budget, threshold, count in rows.annotate(count=Count("pk"))}
