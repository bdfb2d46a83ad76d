"""How the spending of a budget's period has grown: its sum at the end of each day or hour so far."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.periods import Interval, Period, floor_period, iter_periods
from financial.domain.budget_rules import BudgetRule
from financial.domain.ranges import EARLIEST
from financial.models import BudgetDay

from .breakdown import cost_breakdown
from .budget_history import series_filters
from .budgets import PeriodStatus

MOST: Final = 400
"""Buckets that are told at most: the latest ones of a longer period."""
Bucket = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class BurnPoint:
    """What had been spent of the period when ``[start, end)`` ended, or now where it has not."""

    start: datetime
    end: datetime
    settled: int


@dataclass(frozen=True, slots=True)
class BurnUp:
    """The points of a period up to now; amounts in nano-units of the budget's currency.

    ``apportioned``: its settled sum was divided over the buckets as the costs of the entity itself lie,
    because it is in another currency, or costs count that came through budgets below or have no price yet.
    """

    unit: Bucket
    points: tuple[BurnPoint, ...]
    apportioned: bool


def budget_burn_up(rule: BudgetRule, period: PeriodStatus, now: datetime) -> BurnUp | str:
    """The burn-up of ``period``; a sentence why not where it cannot be told."""
    unit: Bucket = "hour" if not rule.period.is_rolling and rule.period.unit in ("hour", "day") else "day"
    start = (
        max(period.start, EARLIEST)
        if rule.period.is_rolling
        else max(period.start, rule.counts_from, EARLIEST)
    )
    end = min(each for each in (now, period.end, rule.counts_until) if each is not None)
    if end <= start:
        return "The period has not begun yet."
    if rule.period.is_rolling:
        amounts = _by_day(rule, period)
    else:
        try:
            amounts = _by_bucket(rule, period, unit, start, end)
        except Invalid as error:
            return error.detail
    buckets = _buckets(rule, unit, start, end, amounts)
    total = sum(amounts.values())
    exact = total == period.settled
    if not exact and total <= 0:
        return "What was spent came through budgets below, and their days are not kept apart."
    points = []
    shown = {bucket.key for bucket in buckets}
    sum_so_far = sum(amount for key, amount in amounts.items() if key not in shown)
    for bucket in buckets:
        sum_so_far += amounts.get(bucket.key, 0)
        settled = sum_so_far if exact else sum_so_far * period.settled // total
        points.append(BurnPoint(bucket.start, bucket.end, settled))
    return BurnUp(unit, tuple(points), apportioned=not exact)


def _by_day(rule: BudgetRule, period: PeriodStatus) -> dict[str, int]:
    """A rolling budget's own days, exactly."""
    # Days stay behind when the window has moved on.
    first = floor_period(period.start, "day", rule.period.zone).key
    rows = BudgetDay.objects.filter(period=period.row, day__gte=date.fromisoformat(first))
    return {day.isoformat(): settled for day, settled in rows.values_list("day", "settled")}


def _by_bucket(
    rule: BudgetRule, period: PeriodStatus, unit: Bucket, start: datetime, end: datetime
) -> dict[str, int]:
    filters = series_filters(rule) | {f"tag:{key}": [value] for key, value in rule.tags}
    # To the end of the last bucket, which rollups know as a whole; nothing lies beyond now but clock skew.
    groups = cost_breakdown(
        entity=(period.entity_type, period.entity_id),
        start=start,
        end=floor_period(end, unit, rule.period.zone).end,
        group_by=[unit],
        zone=rule.period.zone,
        filters=filters,
    ).groups
    return {str(group.key[0]): group.sums.amount for group in groups}


def _buckets(
    rule: BudgetRule, unit: Bucket, start: datetime, end: datetime, amounts: dict[str, int]
) -> list[Period]:
    zone = rule.period.zone
    if rule.period.unit == "total" and amounts:
        # A budget without periods begins where its first cost lies.
        first = datetime.fromisoformat(min(amounts))
        start = max(start, first if first.tzinfo else first.replace(tzinfo=zone).astimezone(UTC))
    elif rule.period.unit == "total":
        start = floor_period(end, unit, zone).start
    found = list(iter_periods(Interval(start, end), unit, zone))
    return found[-MOST:]
