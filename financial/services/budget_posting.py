"""Booking what is in the ledger already into budgets: at their creation, and when what counts changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime

from django.db import connection

from agent_factory_site.common.db.bulk import upsert_add
from financial.domain.budget_rules import BudgetRule, place_of, window_days
from financial.models import BudgetDay, CostEventKey
from financial.selectors.budget_history import Slot, Spent

from .budget_opening import Wanted, open_periods, refresh_periods, refresh_successors
from .budget_periods import Cause, PeriodRow, Traces, lock_periods, write_periods

_COLUMNS = ("settled", "provisional", "held", "overrun")


def lock_ledger() -> None:
    """Wait for writers in the middle of a batch, and hold off the next ones until the transaction ends."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {CostEventKey._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def post(slots: Mapping[Slot, Spent], now: datetime, *, cause: Cause = Cause.WITHOUT_HOLD) -> None:
    """Add sums to their period rows, which are opened where there are none.

    Runs in the caller's transaction, which holds the ledger's writers off.
    """
    wanted = {
        slot: Wanted(slot.rule, slot.entity, slot.place, spent.instant) for slot, spent in slots.items()
    }
    ids = open_periods(list(wanted.values()), now)
    rules: dict[int, BudgetRule] = {}
    sums: dict[int, int] = {}
    days: dict[int, dict[date, list[int]]] = {}
    for slot, spent in slots.items():
        number = ids[wanted[slot].name]
        rules[number] = slot.rule
        if slot.place.day is None:
            sums[number] = sums.get(number, 0) + spent.amount
        else:
            days.setdefault(number, {}).setdefault(slot.place.day, [0, 0, 0, 0])[0] += spent.amount
    by_budget = {rule.id: rule for rule in rules.values()}
    traces = Traces(now)
    rows = lock_periods(rules, now)
    refresh_periods(rows, by_budget, traces)
    for row in rows:
        _add(row, rules[row.id], sums.get(row.id, 0), days.get(row.id, {}), traces, cause)
    write_periods(rows)
    upsert_add(
        connection,
        BudgetDay._meta.db_table,
        ("period_id", "day"),
        _COLUMNS,
        ("bigint", "date", *("bigint",) * len(_COLUMNS)),
        [
            (number, day, *values)
            for number, listed in sorted(days.items())
            for day, values in sorted(listed.items())
            if any(values)
        ],
    )
    refresh_successors(rows, by_budget, traces)
    traces.write(rules)


def _add(
    row: PeriodRow,
    rule: BudgetRule,
    amount: int,
    days: dict[date, list[int]],
    traces: Traces,
    cause: Cause,
) -> None:
    today: date | None = None
    if rule.period.is_rolling:
        today = place_of(rule.period, traces.now).day
        assert today is not None
        first, last = window_days(rule.period, today)
        amount += sum(values[0] for day, values in days.items() if first <= day <= last)
    row.settled += amount
    added = traces.check(row, rule, cause, day=today)
    if added and today is not None:
        days.setdefault(today, [0, 0, 0, 0])[3] += added
