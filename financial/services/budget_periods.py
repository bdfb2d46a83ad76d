"""The rows that admit or refuse: opening them, locking them in order, and writing what moved.

Whoever changes sums locks the rows first, in the order of budget, entity and start, works out the new
sums, and writes them once. A hold alone does not read before it writes: its check is part of its UPDATE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from agent_factory_site.common.caching import CommittedCache
from agent_factory_site.common.db.bulk import insert_ignore_returning, insert_rows
from agent_factory_site.common.errors import Conflict
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.money import MAX_NANO, format_amount
from agent_factory_site.common.outbox import publish
from financial.domain.budget_rules import BudgetRule
from financial.domain.budget_state import Standing, crossed, next_alert, threshold_amount
from financial.events import BudgetOverran, BudgetThresholdCrossed
from financial.models import BudgetCrossing, BudgetOverrun, BudgetPeriod

Cause = BudgetOverrun.Cause
TABLE: Final = BudgetPeriod._meta.db_table


class PeriodName(NamedTuple):
    """What makes a period row the only one of its kind."""

    budget: UUID
    entity: int
    key: str


_ids: CommittedCache[PeriodName, int] = CommittedCache()


def known_periods(names: Collection[PeriodName]) -> dict[PeriodName, int]:
    """The row numbers of ``names`` that exist, from memory or the database."""
    found = _ids.get_many(names)
    missing = [name for name in names if name not in found]
    if missing:
        stored: dict[PeriodName, int] = {}
        wanted = set(missing)
        for start in range(0, len(missing), 500):
            chunk = missing[start : start + 500]
            rows = BudgetPeriod.objects.filter(
                budget__in={name.budget for name in chunk},
                entity__in={name.entity for name in chunk},
                key__in={name.key for name in chunk},
            ).values_list("pk", "budget_id", "entity_id", "key")
            for pk, budget, entity, key in rows:
                name = PeriodName(budget, entity, key)
                if name in wanted:
                    stored[name] = pk
        _ids.put_on_commit(stored)
        found.update(stored)
    return found


@dataclass(slots=True)
class PeriodRow:
    """One locked row, to be changed here and written by :func:`write_periods`.

    ``stale``: its limit or its window is no longer that of now, and is brought up to date first.
    """

    id: int
    budget: UUID
    entity: int
    limit: int
    settled: int
    provisional: int
    held: int
    overrun: int
    hard: bool
    alert_at: int | None
    stale: bool

    @property
    def standing(self) -> Standing:
        """Its sums."""
        return Standing(self.limit, self.settled, self.provisional, self.held, self.overrun)


_LOCK: Final = (
    f'SELECT id, budget_id, entity_id, "limit", settled, provisional, held, overrun, hard, alert_at, '  # noqa: S608
    f"(good_until IS NOT NULL AND good_until <= %s) FROM {TABLE} WHERE id IN (%s) "
    "ORDER BY budget_id, entity_id, starts_at"
)


def lock_periods(ids: Iterable[int], now: datetime) -> list[PeriodRow]:
    """The rows ``ids``, locked until the transaction ends."""
    listed = sorted(set(ids))
    if not listed:
        return []
    tail = " FOR UPDATE" if connection.features.has_select_for_update else ""
    sql = _LOCK % ("%s", ", ".join(map(str, listed))) + tail
    with connection.cursor() as cursor:
        cursor.execute(sql, [connection.ops.adapt_datetimefield_value(now)])
        rows = cursor.fetchall()
    return [
        PeriodRow(
            id=row[0],
            budget=row[1] if isinstance(row[1], UUID) else UUID(row[1]),
            entity=row[2],
            limit=row[3],
            settled=row[4],
            provisional=row[5],
            held=row[6],
            overrun=row[7],
            hard=bool(row[8]),
            alert_at=row[9],
            stale=bool(row[10]),
        )
        for row in rows
    ]


def write_periods(rows: Sequence[PeriodRow]) -> None:
    """Write the sums of ``rows``, whose sums must fit their 64 bits: else :class:`Conflict`."""
    if not rows:
        return
    values = []
    for row in rows:
        numbers = (row.settled, row.provisional, row.held, row.overrun)
        if any(abs(number) > MAX_NANO for number in numbers):
            raise Conflict(
                "sum_out_of_range",
                "The sum of a budget's period would pass 64 bits: nothing of this was recorded.",
            )
        alert = "NULL" if row.alert_at is None else str(row.alert_at)
        values.append(f"({row.id}, {', '.join(map(str, numbers))}, {alert})")
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {TABLE} SET settled = v.column2, provisional = v.column3, held = v.column4, "  # noqa: S608
            f"overrun = v.column5, alert_at = CAST(v.column6 AS bigint) "
            f"FROM (VALUES {', '.join(values)}) v WHERE {TABLE}.id = v.column1"
        )


@dataclass(slots=True)
class Traces:
    """Overruns and crossings found while rows moved, written and told together."""

    now: datetime = field(default_factory=timezone.now)
    overruns: list[tuple[Any, ...]] = field(default_factory=list)
    crossings: list[tuple[Any, ...]] = field(default_factory=list)

    def check(
        self,
        row: PeriodRow,
        rule: BudgetRule,
        cause: Cause,
        event: UUID | None = None,
        hold: UUID | None = None,
        day: date | None = None,
    ) -> int:
        """Account for what ``row`` is beyond its limit, and note thresholds it has reached.

        Returns the overrun that was added, in nano-units.
        """
        excess = row.standing.excess(row.hard)
        if excess:
            row.overrun += excess
            self.overruns.append((uuid7(), row.id, self.now, excess, cause.value, event, hold, day))
        self.note_crossings(row, rule, day)
        return excess

    def note_crossings(self, row: PeriodRow, rule: BudgetRule, day: date | None = None) -> None:
        """Note the thresholds that the used amount of ``row`` has reached, and move its ``alert_at`` on."""
        used = row.settled + row.held
        if row.alert_at is None or used < row.alert_at:
            return
        reached = crossed(rule.thresholds, row.limit, used)
        for threshold in reached:
            if threshold_amount(threshold, row.limit) >= row.alert_at:
                self.crossings.append((uuid7(), row.id, threshold, self.now, used, row.limit, day))
        row.alert_at = next_alert(rule.thresholds, reached, row.limit)

    def write(self, rules: Mapping[int, BudgetRule]) -> None:
        """Write what was found, each crossing once, and publish it; ``rules`` by period row."""
        if self.overruns:
            insert_rows(
                connection,
                BudgetOverrun._meta.db_table,
                ("id", "period_id", "at", "amount", "cause", "event", "hold", "day"),
                self.overruns,
            )
        new: set[UUID] = set()
        if self.crossings:
            new = insert_ignore_returning(
                connection,
                BudgetCrossing._meta.db_table,
                ("id", "period_id", "threshold", "at", "used", "limit", "day"),
                ("uuid", "bigint", "numeric", "timestamptz", "bigint", "bigint", "date"),
                [(row[0], row[1], _stored_threshold(row[2]), *row[3:]) for row in self.crossings],
                "id",
            )
        if self.overruns or new:
            self._publish(rules, new)

    def _publish(self, rules: Mapping[int, BudgetRule], new: Collection[UUID]) -> None:
        crossings = [row for row in self.crossings if row[0] in new]
        ids = {row[1] for row in (*self.overruns, *crossings)}
        named = {
            pk: (budget, key, kind, name)
            for pk, budget, key, kind, name in BudgetPeriod.objects.filter(pk__in=ids).values_list(
                "pk", "budget_id", "key", "entity__type", "entity__key"
            )
        }
        for pk, period, threshold, _, used, limit, day in crossings:
            budget, key, kind, name = named[period]
            publish(
                BudgetThresholdCrossed(
                    crossing=str(pk),
                    budget=str(budget),
                    entity_type=kind,
                    entity_id=name,
                    period=str(day or key),
                    threshold=f"{threshold:f}",
                    used=format_amount(used),
                    limit=format_amount(limit),
                    currency=rules[period].currency,
                )
            )
        for pk, period, _, amount, cause, _, _, day in self.overruns:
            budget, key, kind, name = named[period]
            publish(
                BudgetOverran(
                    overrun=str(pk),
                    budget=str(budget),
                    entity_type=kind,
                    entity_id=name,
                    period=str(day or key),
                    amount=format_amount(amount),
                    currency=rules[period].currency,
                    cause=cause,
                )
            )


def _stored_threshold(threshold: Decimal) -> Any:
    return str(threshold.quantize(Decimal("0.0001")))
