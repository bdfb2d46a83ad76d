"""A budget's period as it went: what had been spent at each instant, and which limit held then.

Spent is what had occurred, as the books have it today, from the ledger's rollups; what is kept for calls without a
price counts from when they were made. The limit is the budget's own, as the audit trail knows it, with what was
carried over and the overrides in force. What rollups cannot tell apart has a sentence that says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.selectors.entities import FLEET
from financial.domain.budget_rules import BudgetRule, span_of
from financial.domain.ranges import EARLIEST
from financial.models import Budget, BudgetOverride, BudgetPeriod, HoldPart

from .breakdown import cost_breakdown
from .budget_history import rollups_can_tell, series_filters
from .budget_index import rule_of


@dataclass(frozen=True, slots=True)
class PastPeriod:
    """The row of one allowance in one period, by the names that it is published under."""

    budget: Budget
    rule: BudgetRule
    entity: tuple[str, str]
    row: BudgetPeriod

    def lasts(self, at: datetime) -> bool:
        """Whether it was the present one at ``at``, of a budget in use."""
        ended = self.row.ends_at is not None and not self.rule.period.is_rolling and at >= self.row.ends_at
        archived = self.budget.archived_at is not None and at >= self.budget.archived_at
        begun = at >= self.rule.counts_from and (self.rule.period.is_rolling or at >= self.row.starts_at)
        return begun and not ended and not archived and at <= timezone.now()

    def window_start(self, at: datetime) -> datetime:
        """From when on costs count at ``at``."""
        start = span_of(self.rule.period, at).start if self.rule.period.is_rolling else self.row.starts_at
        return max(start, self.rule.counts_from, EARLIEST)


def find_past(budget: str, entity: tuple[str, str], key: str) -> PastPeriod | None:
    """The period ``key`` of an entity's allowance; None where there is none."""
    try:
        number = UUID(budget)
    except ValueError:
        return None
    row = (
        BudgetPeriod.objects.filter(budget=number, entity__type=entity[0], entity__key=entity[1], key=key)
        .select_related("budget")
        .first()
    )
    return None if row is None else PastPeriod(row.budget, rule_of(row.budget), entity, row)


def untold(past: PastPeriod) -> str:
    """Why rollups cannot tell what was spent of it; nothing where they can."""
    if past.rule.currency != settings.BASE_CURRENCY:
        return f"Rollups are in {settings.BASE_CURRENCY}, and this budget counts each cost by the rate of its day."
    if not rollups_can_tell(past.rule):
        return "This budget counts by tags, which rollups do not keep."
    if past.entity != FLEET and Budget.objects.filter(parent=past.budget).exists():
        return "This budget counts what comes through budgets below it, which rollups do not keep apart."
    return ""


def spent_at(past: PastPeriod, instants: Sequence[datetime]) -> list[int | None]:
    """What had been spent at each instant, in nano-units; None where the period was not the present one."""
    within = [at for at in instants if past.lasts(at)]
    if not within:
        return [None] * len(instants)
    ends = {at: min(at, past.rule.counts_until or at) for at in within}
    starts = {at: min(past.window_start(at), ends[at]) for at in within}
    known = _running(past, sorted({*ends.values(), *starts.values()}))
    found = {at: known[ends[at]] - known[starts[at]] for at in within}
    for made, amount in _provisional(past, min(starts.values())):
        for at in within:
            if starts[at] <= made < at:
                found[at] += amount
    return [found.get(at) for at in instants]


def _running(past: PastPeriod, edges: Sequence[datetime]) -> dict[datetime, int]:
    """What had been spent from the first edge to each of them."""
    filters = series_filters(past.rule)
    total, since = 0, edges[0]
    known: dict[datetime, int] = {}
    for edge in edges:
        if edge > since:
            read = cost_breakdown(entity=past.entity, start=since, end=edge, zone=UTC, filters=filters)
            total, since = total + read.total.amount, edge
        known[edge] = total
    return known


def _provisional(past: PastPeriod, since: datetime) -> list[tuple[datetime, int]]:
    """When calls were made that have no price yet, and what is kept for each."""
    # The days of a rolling row know it for the time before its present window too.
    days = past.row.days.filter(provisional__gt=0)
    if not (days.exists() if past.rule.period.is_rolling else past.row.provisional):
        return []
    parts = HoldPart.objects.filter(period=past.row, provisional__gt=0, hold__created_at__gte=since)
    return list(parts.values_list("hold__created_at", "provisional"))


def limits_at(past: PastPeriod, instants: Sequence[datetime]) -> list[int | None]:
    """The limit that held at each instant, in nano-units; None where the period was not the present one."""
    within = [at for at in instants if past.lasts(at) and at >= past.budget.created_at]
    if not within:
        return [None] * len(instants)
    changes = _limit_changes(past)
    raises = list(
        BudgetOverride.objects.filter(
            Q(entity__isnull=True) | Q(entity=past.row.entity_id),
            budget=past.budget,
            approved_at__isnull=False,
            until__gt=min(within),
        )
    )
    found: dict[datetime, int] = {}
    for at in within:
        own = next((before for changed, before in changes if changed > at), past.budget.limit)
        raised = sum(one.amount for one in raises if _in_force(one, at))
        found[at] = own + past.row.carried + raised
    return [found.get(at) for at in instants]


def _limit_changes(past: PastPeriod) -> list[tuple[datetime, int]]:
    """When the budget's own limit was changed and what it was before, the first change first."""
    events = AuditEvent.objects.filter(target_type="financial.Budget", target_id=str(past.budget.pk))
    rows: Any = events.order_by("at", "id").values_list("at", "changes")
    return [
        (at, int(changes["limit"][0]))
        for at, changes in rows
        if (changes.get("limit") or [None])[0] is not None
    ]


def _in_force(override: BudgetOverride, at: datetime) -> bool:
    ended = override.ended_at is not None and override.ended_at <= at
    return override.approved_at is not None and override.approved_at <= at < override.until and not ended
