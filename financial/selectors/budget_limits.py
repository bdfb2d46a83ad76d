"""What a period's limit is made of besides the budget's own: money carried over, and overrides."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Q

from agent_factory_site.common.money import MAX_NANO
from agent_factory_site.common.periods import floor_period
from financial.domain.budget_rules import BudgetRule
from financial.domain.budget_state import carry_over
from financial.models import BudgetOverride, BudgetPeriod

MAX_CARRIED: Final = MAX_NANO // 4
_MOST_SKIPPED: Final = 20_000
_TICK: Final = timedelta(microseconds=1)


def carried_into(rule: BudgetRule, entity: int, start: datetime) -> int:
    """What the period that begins at ``start`` gets from those before it, in nano-units."""
    if rule.rollover == "none" or rule.period.is_rolling or rule.period.unit == "total":
        return 0
    previous = (
        BudgetPeriod.objects.filter(budget=rule.id, entity=entity, starts_at__lt=start)
        .order_by("-starts_at")
        .first()
    )
    if previous is None:
        carried, at = 0, rule.counts_from
    else:
        assert previous.ends_at is not None
        left = previous.limit - previous.raised - previous.settled - previous.held
        carried, at = carry_over(rule.rollover, rule.rollover_cap, left), previous.ends_at
    # Periods in which nothing happened have no row: all of their limit is left.
    for _ in range(_MOST_SKIPPED):
        period = floor_period(at, rule.period.unit, rule.period.zone)
        if period.start >= start:
            break
        carried = min(MAX_CARRIED, carry_over(rule.rollover, rule.rollover_cap, carried + rule.limit))
        at = period.end
    return carried


def active_overrides(at: datetime) -> Q:
    """The approved overrides that are in force at an instant."""
    return Q(approved_at__isnull=False, until__gt=at) & (Q(ended_at__isnull=True) | Q(ended_at__gt=at))


def raised_by_overrides(
    budget: UUID, entity: int, now: datetime, end: datetime | None, start: datetime | None = None
) -> tuple[int, datetime | None]:
    """What approved overrides add to a period's limit now, and when the next of them ends.

    A period that is over keeps what was in force at its end.
    """
    over = end is not None and end <= now
    at = end - _TICK if over and end is not None else now
    active = BudgetOverride.objects.filter(
        active_overrides(at), Q(entity__isnull=True) | Q(entity=entity), budget=budget
    )
    if end is not None:
        active = active.filter(approved_at__lt=end)
    if start is not None:
        active = active.filter(until__gt=start)
    rows = list(active.values_list("amount", "until"))
    ends = [until for _, until in rows if end is None or until < end]
    return sum(amount for amount, _ in rows), min(ends, default=None)
