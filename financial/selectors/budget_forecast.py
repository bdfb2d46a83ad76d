"""What a budget will have spent when its period ends, from what came in each day or hour before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from django.conf import settings
from django.utils import timezone

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.forecasting import NoForecast, TotalForecast, forecast_total
from agent_factory_site.common.money import NANO
from agent_factory_site.common.periods import Period, floor_period
from financial.domain.budget_rules import BudgetRule
from financial.domain.ranges import EARLIEST
from financial.models import Budget

from .breakdown import cost_breakdown
from .budget_history import series_filters
from .budget_index import rule_of
from .budgets import PeriodStatus, budget_status, is_closed

HOURS_BACK: Final = timedelta(days=35)
DAYS_BACK: Final = timedelta(days=400)
SEASONS: Final = {"hour": 24, "day": 7}
LONGEST: Final = 4000
"""Buckets that are forecast at most: some ten years of days."""
Bucket = Literal["hour", "day"]


@dataclass(frozen=True, slots=True)
class ForecastPoint:
    """The expected spend of the period up to an instant, in nano-units of the budget's currency."""

    at: datetime
    expected: int


@dataclass(frozen=True, slots=True)
class BudgetForecast:
    """The spend at the end of the period, in nano-units: never below what is settled.

    ``low`` and ``high`` hold it with a probability of 95 %, ``low_80`` and ``high_80`` of 80 %.
    ``exhausts_at`` is when the expected spend reaches the limit, None where it does not before the end.
    """

    expected: int
    low: int
    high: int
    low_80: int
    high_80: int
    exhausts_at: datetime | None
    path: tuple[ForecastPoint, ...]


def budget_forecast(
    budget: Budget, *, entity_id: str | None = None, now: datetime | None = None
) -> BudgetForecast | NoForecast:
    """Where a budget's current period is heading; a reason where that cannot be told.

    From days in the budget's zone, or hours where its period is an hour or a day. ``entity_id`` picks the
    allowance where every entity of a type has one. Tags are followed as far as a breakdown by tag is.
    """
    moment = now or timezone.now()
    rule = rule_of(budget)
    if is_closed(rule, moment) or rule.counts_from > moment:
        return NoForecast("The budget does not count at present.")
    if rule.period.is_rolling:
        return NoForecast("A rolling window has no end to forecast to.")
    period = budget_status(budget.pk, entity_id=entity_id, now=moment).period
    if period is None:
        return NoForecast("Every entity has an allowance of its own: choose one.")
    end = min((each for each in (period.end, rule.counts_until) if each is not None), default=None)
    if end is None:
        return NoForecast("The period has no end.")
    unit: Bucket = "hour" if rule.period.unit in ("hour", "day") else "day"
    try:
        spent = _spent_by_bucket(rule, period, unit, moment)
    except Invalid as error:
        return NoForecast(error.detail)
    scale = _scale(rule, period, spent, unit)
    if isinstance(scale, NoForecast):
        return scale
    ahead = _buckets(moment, end, rule, unit)
    if ahead is None:
        return NoForecast("The period ends too far from now.")
    return _forecast(rule, period, unit, moment, end, spent, scale, ahead)


def _forecast(
    rule: BudgetRule,
    period: PeriodStatus,
    unit: Bucket,
    now: datetime,
    end: datetime,
    spent: dict[str, int],
    scale: float,
    ahead: list[Period],
) -> BudgetForecast | NoForecast:
    current, *later = ahead
    closes = min(current.end, end)
    elapsed = (now - current.start) / (closes - current.start)
    history = [spent.get(each.key, 0) * scale / NANO for each in _past(spent, current, rule, unit)]
    found = forecast_total(
        history,
        period=SEASONS[unit],
        spent=period.settled / NANO,
        current=spent.get(current.key, 0) * scale / NANO,
        elapsed=elapsed,
        remaining=len(later),
        limit=period.limit / NANO,
    )
    if isinstance(found, NoForecast):
        return found
    intervals = {interval.level: interval for interval in found.intervals}
    return BudgetForecast(
        expected=_nano(found.expected, period.settled),
        low=_nano(intervals[0.95].low, period.settled),
        high=_nano(intervals[0.95].high, period.settled),
        low_80=_nano(intervals[0.8].low, period.settled),
        high_80=_nano(intervals[0.8].high, period.settled),
        exhausts_at=_exhausts_at(found, ahead, elapsed, now, end),
        path=tuple(
            ForecastPoint(min(bucket.end, end), _nano(value, period.settled))
            for bucket, value in zip(ahead, found.path, strict=True)
        ),
    )


def _nano(amount: float, least: int) -> int:
    return max(least, round(amount * NANO))


def _spent_by_bucket(rule: BudgetRule, period: PeriodStatus, unit: Bucket, now: datetime) -> dict[str, int]:
    """Base-currency sums by local day or hour, further back than the period."""
    back = HOURS_BACK if unit == "hour" else DAYS_BACK
    first = floor_period(max(EARLIEST + timedelta(days=2), now - back), unit, rule.period.zone).start
    if rule.currency != settings.BASE_CURRENCY:
        # All of the period, whose sums in both currencies are compared.
        first = min(first, max(period.start, rule.counts_from, EARLIEST))
    filters = series_filters(rule) | {f"tag:{key}": [value] for key, value in rule.tags}
    groups = cost_breakdown(
        entity=(period.entity_type, period.entity_id),
        start=first,
        end=floor_period(now, unit, rule.period.zone).end,
        group_by=[unit],
        zone=rule.period.zone,
        filters=filters,
    ).groups
    return {str(group.key[0]): group.sums.amount for group in groups}


def _scale(rule: BudgetRule, period: PeriodStatus, spent: dict[str, int], unit: Bucket) -> float | NoForecast:
    """What a nano-unit of the base currency is worth in the budget's, as the period's own costs have it."""
    if rule.currency == settings.BASE_CURRENCY:
        return 1.0
    first = floor_period(max(period.start, rule.counts_from, EARLIEST), unit, rule.period.zone).key
    base = sum(amount for key, amount in spent.items() if key >= first)
    settled = period.settled - period.provisional
    if base <= 0 or settled <= 0:
        return NoForecast(
            f"Nothing was spent in this period yet that tells what costs come to in {rule.currency}."
        )
    return settled / base


def _past(spent: dict[str, int], current: Period, rule: BudgetRule, unit: Bucket) -> Iterator[Period]:
    """The whole buckets from the first with costs up to the current one."""
    zone = rule.period.zone
    starts = [datetime.fromisoformat(key) for key in spent]
    if not starts:
        return
    # The key of a day is a date, of an hour an instant.
    first = min(each if each.tzinfo else each.replace(tzinfo=zone) for each in starts)
    period = floor_period(first, unit, zone)
    while period.start < current.start:
        yield period
        period = floor_period(period.end, unit, zone)


def _buckets(now: datetime, end: datetime, rule: BudgetRule, unit: Bucket) -> list[Period] | None:
    """The bucket of now and those after it until ``end``; None where they are too many."""
    found = [floor_period(now, unit, rule.period.zone)]
    while found[-1].end < end:
        if len(found) > LONGEST:
            return None
        found.append(floor_period(found[-1].end, unit, rule.period.zone))
    return found


def _exhausts_at(
    found: TotalForecast, ahead: list[Period], elapsed: float, now: datetime, end: datetime
) -> datetime | None:
    if found.exhausts is None:
        return None
    rest = 1 - elapsed
    closes = min(ahead[0].end, end)
    if found.exhausts <= rest or len(ahead) == 1:
        return min(closes, now + (closes - now) * (found.exhausts / rest if rest else 0))
    place, share = divmod(found.exhausts - rest, 1)
    if place + 1 >= len(ahead):
        return end
    bucket = ahead[int(place) + 1]
    return bucket.start + (min(bucket.end, end) - bucket.start) * share
