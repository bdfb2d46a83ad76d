"""Period rows as they are now: computed where a row has not been refreshed since an override or a day ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import BigIntegerField, Case, Count, F, Q, QuerySet, Sum, Value, When

from financial.domain.budget_rules import BudgetRule, place_of, span_of, window_days
from financial.domain.budget_state import Standing, threshold_amount
from financial.models import BudgetDay, BudgetOverride, BudgetPeriod

from .budget_limits import active_overrides, carried_into

_SUMS: Final = ("settled", "provisional", "held", "overrun")
_SCALE: Final = 10_000


@dataclass(frozen=True, slots=True)
class PresentPeriod:
    """A period as of now; ``row`` is None where it was not opened yet. Amounts in nano-units."""

    row: int | None
    budget: UUID
    entity: int
    key: str
    start: datetime
    end: datetime | None
    standing: Standing
    carried: int = 0
    raised: int = 0


def present_periods(
    rows: Sequence[BudgetPeriod], rules: Mapping[UUID, BudgetRule], now: datetime
) -> list[PresentPeriod]:
    """``rows`` as of ``now``, in two queries at most."""
    stale = [row for row in rows if row.good_until is not None and row.good_until <= now]
    raised = _raised({row.budget_id for row in stale}, now)
    windows = _windows([row for row in stale if rules[row.budget_id].period.is_rolling], rules, now)
    refreshed = {row.pk for row in stale}
    return [
        _as_of_now(row, rules[row.budget_id], raised, windows, now)
        if row.pk in refreshed
        else _as_stored(row)
        for row in rows
    ]


def unopened_period(
    wanted: Sequence[tuple[BudgetRule, int]], instants: Mapping[tuple[UUID, int], datetime], now: datetime
) -> dict[tuple[UUID, int], PresentPeriod]:
    """What the periods of budgets and entities would be that hold ``instants`` and were not opened yet.

    One query, and one more for each budget whose money rolls over.
    """
    raised = _raised({rule.id for rule, _ in wanted}, now)
    found = {}
    for rule, entity in wanted:
        instant = instants[rule.id, entity]
        start, end = span_of(rule.period, instant)
        carried = carried_into(rule, entity, start)
        more = _raised_for(raised, rule.id, entity, end)
        found[rule.id, entity] = PresentPeriod(
            row=None,
            budget=rule.id,
            entity=entity,
            key=place_of(rule.period, instant).key,
            start=start,
            end=end,
            standing=Standing(rule.limit + carried + more, 0),
            carried=carried,
            raised=more,
        )
    return found


def _as_stored(row: BudgetPeriod) -> PresentPeriod:
    standing = Standing(row.limit, row.settled, row.provisional, row.held, row.overrun)
    return PresentPeriod(
        row.pk,
        row.budget_id,
        row.entity_id,
        row.key,
        row.starts_at,
        row.ends_at,
        standing,
        row.carried,
        row.raised,
    )


def _as_of_now(
    row: BudgetPeriod,
    rule: BudgetRule,
    raised: Mapping[UUID, Sequence[BudgetOverride]],
    windows: Mapping[int, Sequence[int]],
    now: datetime,
) -> PresentPeriod:
    start, end = row.starts_at, row.ends_at
    sums: Sequence[int] = (row.settled, row.provisional, row.held, row.overrun)
    if rule.period.is_rolling:
        start, end = span_of(rule.period, now)
        sums = windows.get(row.pk, (0, 0, 0, 0))
    over = end is not None and end <= now
    more = row.raised if over else _raised_for(raised, rule.id, row.entity_id, end)
    limit = rule.limit + row.carried + more if rule.period.is_rolling else row.limit - row.raised + more
    settled, provisional, held, overrun = sums
    excess = Standing(limit, settled, provisional, held, overrun).excess(row.hard)
    standing = Standing(limit, settled, provisional, held, overrun + excess)
    return PresentPeriod(
        row.pk, row.budget_id, row.entity_id, row.key, start, end, standing, row.carried, more
    )


def _raised(budgets: set[UUID], now: datetime) -> dict[UUID, list[BudgetOverride]]:
    found: dict[UUID, list[BudgetOverride]] = {}
    if budgets:
        for override in BudgetOverride.objects.filter(active_overrides(now), budget__in=budgets):
            found.setdefault(override.budget_id, []).append(override)
    return found


def _raised_for(
    raised: Mapping[UUID, Sequence[BudgetOverride]], budget: UUID, entity: int, end: datetime | None
) -> int:
    return sum(
        override.amount
        for override in raised.get(budget, ())
        if override.entity_id in (None, entity)
        and (end is None or (override.approved_at is not None and override.approved_at < end))
    )


def _windows(
    rows: Sequence[BudgetPeriod], rules: Mapping[UUID, BudgetRule], now: datetime
) -> dict[int, list[int]]:
    """The sums of rolling rows over the windows of now."""
    windows: dict[tuple[Any, Any], list[int]] = {}
    for row in rows:
        rule = rules[row.budget_id]
        today = place_of(rule.period, now).day
        assert today is not None
        windows.setdefault(window_days(rule.period, today), []).append(row.pk)
    if not windows:
        return {}
    within = Q()
    for (first, last), numbers in windows.items():
        within |= Q(period__in=numbers, day__gte=first, day__lte=last)
    sums = BudgetDay.objects.filter(within).order_by().values("period_id")
    listed = sums.annotate(**{f"sum_{name}": Sum(name) for name in _SUMS}).values_list(
        "period_id", *(f"sum_{name}" for name in _SUMS)
    )
    return {number: [int(value or 0) for value in values] for number, *values in listed}


def judged_groups(
    rows: QuerySet[BudgetPeriod], rules: Mapping[UUID, BudgetRule]
) -> list[tuple[UUID, str, tuple[int, ...]]]:
    """Budget, key, and (rows, exceeded, warning, settled, provisional, held, overrun) of fresh ``rows``.

    What reaches the first threshold is told in whole numbers: ``ceil(limit * t)`` is
    ``limit / 10000 * n + ceil(limit % 10000 * n / 10000)`` for ``t = n / 10000`` up to 1.
    """
    shares = {id: rule.thresholds[0] for id, rule in rules.items() if rule.thresholds}
    below = {id: int(share * _SCALE) for id, share in shares.items() if share <= 1}
    used = F("settled") + F("held")
    share = Case(
        *(When(budget=id, then=Value(number)) for id, number in below.items()),
        default=Value(-1),
        output_field=BigIntegerField(),
    )
    reached = F("limit") / _SCALE * F("share") + (F("limit") % _SCALE * F("share") + (_SCALE - 1)) / _SCALE
    warns = Q(settled__lt=F("limit"), share__gt=0, used__gte=F("reached"), used__gt=0)
    grouped = (
        rows.order_by()
        .annotate(share=share, used=used)
        .annotate(reached=reached)
        .values("budget_id", "key")
        .annotate(
            rows=Count("pk"),
            exceeded=Count("pk", filter=Q(settled__gte=F("limit"))),
            warning=Count("pk", filter=warns),
            **{f"sum_{name}": Sum(name) for name in _SUMS},
        )
        .values_list("budget_id", "key", "rows", "exceeded", "warning", *(f"sum_{name}" for name in _SUMS))
    )
    late = _late_warnings(rows, {id: share for id, share in shares.items() if share > 1})
    return [
        (budget, key, (count, exceeded, warning + late.get((budget, key), 0), *map(int, sums)))
        for budget, key, count, exceeded, warning, *sums in grouped
    ]


def _late_warnings(
    rows: QuerySet[BudgetPeriod], shares: Mapping[UUID, Decimal]
) -> dict[tuple[UUID, str], int]:
    """Rows that reach a first threshold beyond the limit by what is held: few, and judged one by one."""
    found: dict[tuple[UUID, str], int] = {}
    if shares:
        near = rows.filter(budget__in=list(shares), settled__lt=F("limit"), held__gt=0)
        for budget, key, limit, settled, held in near.values_list(
            "budget_id", "key", "limit", "settled", "held"
        ):
            if settled + held >= threshold_amount(shares[budget], limit):
                found[budget, key] = found.get((budget, key), 0) + 1
    return found
