"""Do budgets agree with the ledger? Every row worked out again from the ledger, one by one, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from agent_factory_site.common.models import Entity
from agent_factory_site.common.periods import floor_period
from financial.models import (
    Budget,
    BudgetDay,
    BudgetOverrun,
    BudgetPeriod,
    CostAttribution,
    CostEvent,
    Hold,
    HoldPart,
)

Where = tuple[Any, int, str]


def spent_by_brute_force() -> tuple[dict[Where, int], dict[tuple[Any, int, Any], int]]:
    """Sums of the ledger by (budget, entity, key), and by local day of rolling budgets; base currency alone."""
    fleet = Entity.objects.get(type="*", key="*").pk
    budgets = {budget.pk: budget for budget in Budget.objects.all()}
    types = dict(Entity.objects.values_list("pk", "type"))
    seen_by = defaultdict(list)
    for event, entity in CostAttribution.objects.values_list("event", "entity_id"):
        seen_by[event].append(entity)
    periods: dict[Where, int] = defaultdict(int)
    days: dict[tuple[Any, int, Any], int] = defaultdict(int)
    for event in CostEvent.objects.select_related("series"):
        counted = set()
        for budget in budgets.values():
            for entity in (*seen_by[event.id], fleet):
                own = budget.entity_id == entity or (
                    budget.entity_id is None and budget.entity_type == types[entity] and entity != fleet
                )
                if not own or not _passes(budget, event):
                    continue
                counted.add((budget.pk, entity))
                above = budget.parent_id
                while above is not None:
                    parent = budgets[above]
                    if _passes(parent, event):
                        counted.add((parent.pk, parent.entity_id))
                    above = parent.parent_id
        for pk, entity in counted:
            budget = budgets[pk]
            zone = ZoneInfo(budget.timezone)
            if budget.period.startswith("rolling:"):
                days[pk, entity, event.occurred_at.astimezone(zone).date()] += event.base_amount
                periods[pk, entity, budget.period] += 0
            else:
                key = floor_period(event.occurred_at, budget.period, zone).key
                periods[pk, entity, key] += event.base_amount
    return periods, days


def _passes(budget: Budget, event: CostEvent) -> bool:
    if event.occurred_at < budget.counts_from:
        return False
    if budget.archived_at is not None and event.occurred_at >= budget.archived_at:
        return False
    day = event.occurred_at.astimezone(ZoneInfo(budget.timezone)).date()
    if budget.ends_on is not None and day > budget.ends_on:
        return False
    filters = budget.filters
    for name in ("cost_type", "provider", "model"):
        if filters.get(name) and getattr(event.series, name) not in filters[name]:
            return False
    return all(event.tags.get(key) == value for key, value in filters.get("tags", {}).items())


def assert_budgets_agree() -> None:
    """sum(ledger) + provisional = settled in every period, held is that of open holds, overruns are whole."""
    periods, days = spent_by_brute_force()
    provisional: dict[int, int] = defaultdict(int)
    held: dict[int, int] = defaultdict(int)
    by_day: dict[tuple[int, Any], list[int]] = defaultdict(lambda: [0, 0])
    for part in HoldPart.objects.select_related("hold"):
        kept, open_amount = part.provisional, part.amount if part.hold.state == Hold.State.HELD else 0
        provisional[part.period_id] += kept
        held[part.period_id] += open_amount
        by_day[part.period_id, part.day][0] += kept
        by_day[part.period_id, part.day][1] += open_amount
    overruns: dict[int, int] = defaultdict(int)
    for period, amount in BudgetOverrun.objects.values_list("period_id", "amount"):
        overruns[period] += amount
    stored = {}
    for row in BudgetPeriod.objects.select_related("budget"):
        where = (row.budget_id, row.entity_id, row.key)
        stored[where] = row
        if row.budget.period.startswith("rolling:"):
            _assert_rolling(row, days, by_day)
        else:
            assert row.settled == periods.get(where, 0) + provisional[row.pk], (row, row.settled)
            assert (row.provisional, row.held) == (provisional[row.pk], held[row.pk])
            assert row.overrun == overruns[row.pk]
        if row.hard:
            assert row.settled - row.overrun + row.held <= row.limit
    for where, amount in periods.items():
        assert where in stored or amount == 0, (where, amount)


def _assert_rolling(row: BudgetPeriod, days: dict[Any, int], by_day: dict[Any, list[int]]) -> None:
    zone = ZoneInfo(row.budget.timezone)
    first, last = row.starts_at.astimezone(zone).date(), (row.ends_at - timedelta(microseconds=1))
    last_day = last.astimezone(zone).date()
    stored = {each.day: each for each in BudgetDay.objects.filter(period=row)}
    for (budget, entity, day), amount in days.items():
        if (budget, entity) == (row.budget_id, row.entity_id) and amount:
            assert stored[day].settled == amount + by_day[row.pk, day][0]
    window = [each for day, each in stored.items() if first <= day <= last_day]
    for name in ("settled", "provisional", "held", "overrun"):
        assert getattr(row, name) == sum(getattr(each, name) for each in window), name
