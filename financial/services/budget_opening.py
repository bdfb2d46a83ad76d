"""Opening the period rows of budgets, and keeping their limits and windows those of now."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Sum

from agent_factory_site.common.db.retry import retry_conflicts
from financial.domain.budget_rules import BudgetRule, Place, place_of, span_of, window_days
from financial.domain.budget_state import crossed, next_alert
from financial.models import Budget, BudgetDay, BudgetPeriod
from financial.selectors.budget_index import rule_of
from financial.selectors.budget_limits import carried_into, raised_by_overrides

from .budget_periods import Cause, PeriodName, PeriodRow, Traces, known_periods, lock_periods


class Wanted(NamedTuple):
    """A period row that is needed: of ``entity`` under ``rule``, holding ``instant``."""

    rule: BudgetRule
    entity: int
    place: Place
    instant: datetime

    @property
    def name(self) -> PeriodName:
        return PeriodName(self.rule.id, self.entity, self.place.key)


def open_periods(wanted: Collection[Wanted], now: datetime) -> dict[PeriodName, int]:
    """The row numbers of ``wanted``, opened where they do not exist yet.

    Runs in the caller's transaction or one of its own. Budgets are locked against changes of their
    limits until it ends, in sorted order, before any period row.
    """
    by_name = {item.name: item for item in wanted}
    found = known_periods(list(by_name))
    missing = [item for name, item in by_name.items() if name not in found]
    if not missing:
        return found
    names = [item.name for item in missing]

    def insert() -> None:
        with transaction.atomic():
            budgets = _locked_budgets({item.rule.id for item in missing})
            ordered = sorted(missing, key=lambda item: (item.rule.id.int, item.entity, item.instant))
            rows = [_new_row(budgets[item.rule.id], item, now) for item in ordered]
            BudgetPeriod.objects.bulk_create(rows, ignore_conflicts=True)

    retry_conflicts(insert)
    found.update(known_periods(names))
    return found


def _locked_budgets(ids: Collection[UUID]) -> dict[UUID, Budget]:
    if connection.vendor == "postgresql":
        # Shared: any number may open rows at once, nobody changes a limit meanwhile.
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM financial_budget WHERE id = ANY(%s) ORDER BY id FOR SHARE", [sorted(ids)]
            )
    return {budget.pk: budget for budget in Budget.objects.filter(pk__in=ids)}


def _new_row(budget: Budget, item: Wanted, now: datetime) -> BudgetPeriod:
    rule = rule_of(budget)
    start, end = span_of(rule.period, now if rule.period.is_rolling else item.instant)
    carried = carried_into(rule, item.entity, start)
    raised, until = raised_by_overrides(rule.id, item.entity, now, end, start)
    limit = rule.limit + carried + raised
    if rule.period.is_rolling:
        until = end if until is None else min(until, end or until)
    return BudgetPeriod(
        budget_id=rule.id,
        entity_id=item.entity,
        key=item.place.key,
        starts_at=start,
        ends_at=end,
        limit=limit,
        carried=carried,
        raised=raised,
        hard=rule.hard,
        good_until=until,
        alert_at=next_alert(rule.thresholds, (), limit),
        opened_at=now,
    )


def refresh_periods(rows: Sequence[PeriodRow], rules: Mapping[UUID, BudgetRule], traces: Traces) -> None:
    """Bring the stale ones of locked ``rows`` up to date, in place and in the database."""
    for row in rows:
        if row.stale:
            refresh_period(row, rules[row.budget], traces, cause=None)


def refresh_period(row: PeriodRow, rule: BudgetRule, traces: Traces, cause: Cause | None) -> None:
    """Work out limit, carry, overrides and window of a locked row anew, as of ``traces.now``.

    ``cause`` names an overrun that this brings; if None, it is the end of an override or the window's move.
    """
    now = traces.now
    stored = BudgetPeriod.objects.get(pk=row.id)
    start, end = stored.starts_at, stored.ends_at
    day: date | None = None
    before = cause or Cause.OVERRIDE_ENDED
    if rule.period.is_rolling:
        start, end = span_of(rule.period, now)
        day = place_of(rule.period, now).day
        assert day is not None
        if start != stored.starts_at:
            before = cause or Cause.WINDOW_MOVED
            first, last = window_days(rule.period, day)
            sums = BudgetDay.objects.filter(period=row.id, day__gte=first, day__lte=last).aggregate(
                settled=Sum("settled"),
                provisional=Sum("provisional"),
                held=Sum("held"),
                overrun=Sum("overrun"),
            )
            row.settled, row.provisional, row.held, row.overrun = (
                int(sums[name] or 0) for name in ("settled", "provisional", "held", "overrun")
            )
    carried = carried_into(rule, row.entity, start)
    raised, until = raised_by_overrides(rule.id, row.entity, now, end, start)
    if rule.period.is_rolling and end is not None:
        until = end if until is None else min(until, end)
    row.limit = rule.limit + carried + raised
    row.hard = rule.hard
    row.stale = False
    if rule.period.is_rolling:
        # Told before and still reached; what the window has let go of may be reached again.
        reached = crossed(rule.thresholds, row.limit, row.settled + row.held)
        known = set(reached) & set(crossed(rule.thresholds, stored.limit, stored.settled + stored.held))
    else:
        known = set(stored.crossings.values_list("threshold", flat=True))
    row.alert_at = next_alert(rule.thresholds, known, row.limit)
    # The sums first in memory, so that no state in between meets the table's check.
    added = traces.check(row, rule, before, day=day)
    if added and day is not None:
        BudgetDay.objects.bulk_create([BudgetDay(period_id=row.id, day=day)], ignore_conflicts=True)
        today = BudgetDay.objects.get(period=row.id, day=day)
        BudgetDay.objects.filter(period=row.id, day=day).update(overrun=today.overrun + added)
    BudgetPeriod.objects.filter(pk=row.id).update(
        starts_at=start,
        ends_at=end,
        limit=row.limit,
        carried=carried,
        raised=raised,
        hard=row.hard,
        good_until=until,
        alert_at=row.alert_at,
        settled=row.settled,
        provisional=row.provisional,
        held=row.held,
        overrun=row.overrun,
    )


def refresh_successors(rows: Sequence[PeriodRow], rules: Mapping[UUID, BudgetRule], traces: Traces) -> None:
    """Carry what changed in locked, written ``rows`` into the periods after them, where money rolls over."""
    for row in rows:
        rule = rules[row.budget]
        if rule.rollover == "none":
            continue
        at = BudgetPeriod.objects.values_list("starts_at", flat=True).get(pk=row.id)
        later = BudgetPeriod.objects.filter(budget=row.budget, entity=row.entity, starts_at__gt=at)
        for following in lock_periods(later.values_list("pk", flat=True), traces.now):
            refresh_period(following, rule, traces, cause=Cause.LATE_EVENT)


def refresh_due(now: datetime) -> int:
    """Bring up to date whatever period row is stale at ``now``; how many there were."""
    done = 0
    due = list(
        BudgetPeriod.objects.filter(good_until__lte=now)
        .order_by("good_until")
        .values_list("pk", flat=True)[:1000]
    )
    for pk in due:

        def refresh() -> int:
            with transaction.atomic():
                traces = Traces(now)
                rows = [row for row in lock_periods([pk], now) if row.stale]  # noqa: B023
                rules = {row.budget: rule_of(Budget.objects.get(pk=row.budget)) for row in rows}
                refresh_periods(rows, rules, traces)
                traces.write({row.id: rules[row.budget] for row in rows})
                return len(rows)

        done += retry_conflicts(refresh)
    return done
