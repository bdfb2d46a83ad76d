"""The budgets in use, kept in memory for as long as none of them changes."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import connection, transaction

from agent_factory_site.common.periods import parse_zone
from financial.domain.budget_input import day_begins
from financial.domain.budget_rules import BudgetIndex, BudgetRule, parse_period
from financial.models import Budget

_EMPTY: Final = BudgetIndex([])


class _Memory:
    """The budgets as of one revision; not ``fresh`` while they were never read."""

    def __init__(self, token: Hashable, index: BudgetIndex, fresh: bool = True) -> None:
        self.token = token
        self.index = index
        self.fresh = fresh


_memory = _Memory(None, _EMPTY, fresh=False)


def budget_revision() -> Hashable:
    """A token that differs whenever any budget was written in between; None while there never was one."""
    # Asked once per hold: a plain statement takes a tenth of a queryset's time.
    with connection.cursor() as cursor:
        cursor.execute("SELECT token FROM financial_budgetrevision")
        row = cursor.fetchone()
    return row[0] if row else None


def budget_index() -> BudgetIndex:
    """Every budget as of now; see :func:`index_at`."""
    return index_at(budget_revision())


def remembered_index() -> BudgetIndex:
    """Every budget as this process saw it last, without asking: for looking ahead, never for deciding."""
    return _memory.index if _memory.fresh else budget_index()


def forget_index() -> None:
    """Read the budgets afresh next time."""
    global _memory
    _memory = _Memory(None, _EMPTY, fresh=False)


def index_at(token: Hashable) -> BudgetIndex:
    """Every budget as of the revision ``token``.

    Archived ones count what happened before they were archived, however late it arrives. With a token that
    was read after the transaction's first write to the ledger it misses none: whoever creates a budget waits
    for writers that have not seen it.
    """
    if _memory.fresh and _memory.token == token:
        return _memory.index
    memory = _Memory(token, BudgetIndex(_rules()) if token is not None else _EMPTY)

    def remember() -> None:
        global _memory
        _memory = memory

    # What this transaction has written itself may still be rolled back.
    transaction.on_commit(remember)
    return memory.index


def rule_of(budget: Budget, parents: tuple[BudgetRule, ...] = ()) -> BudgetRule:
    """A budget's row as a rule."""
    zone = parse_zone(budget.timezone)
    until = None
    if budget.ends_on is not None:
        until = day_begins(budget.ends_on + timedelta(days=1), zone)
    if budget.archived_at is not None:
        until = budget.archived_at if until is None else min(until, budget.archived_at)
    filters = budget.filters
    return BudgetRule(
        id=budget.pk,
        entity_type=budget.entity_type,
        entity=budget.entity_id,
        currency=budget.currency,
        period=parse_period(budget.period, zone),
        limit=budget.limit,
        hard=budget.enforcement == Budget.Enforcement.HARD,
        thresholds=tuple(Decimal(str(each)) for each in budget.thresholds),
        counts_from=budget.counts_from,
        counts_until=until,
        rollover=budget.rollover,
        rollover_cap=budget.rollover_cap,
        cost_types=frozenset(filters.get("cost_type", ())),
        providers=frozenset(filters.get("provider", ())),
        models=frozenset(filters.get("model", ())),
        tags=tuple(sorted(filters.get("tags", {}).items())),
        parents=parents,
    )


def _rules() -> list[BudgetRule]:
    rows: dict[UUID, Budget] = {row.pk: row for row in Budget.objects.all()}
    rules: dict[UUID, BudgetRule] = {}

    def build(row: Budget, below: frozenset[UUID]) -> BudgetRule:
        known = rules.get(row.pk)
        if known is not None:
            return known
        above: tuple[BudgetRule, ...] = ()
        if row.parent_id is not None and row.parent_id not in below:
            parent = build(rows[row.parent_id], below | {row.pk})
            above = (parent, *parent.parents)
        rules[row.pk] = rule_of(row, above)
        return rules[row.pk]

    return [build(row, frozenset()) for row in rows.values()]
