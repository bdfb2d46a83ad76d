"""Counting recorded costs into budgets, in the transaction that appends them to the ledger."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings
from django.db import connection

from agent_factory_site.common.db.bulk import upsert_add
from agent_factory_site.common.errors import Conflict, FieldError
from agent_factory_site.common.selectors.entities import FLEET, EntityName, find_entities
from financial.domain.budget_rules import (
    BudgetIndex,
    BudgetRule,
    Place,
    Places,
    Subject,
    budget_amount,
    local_day,
    quarter_of,
    window_days,
)
from financial.domain.exchange import Exchange
from financial.models import Budget, BudgetDay, HoldPart
from financial.selectors.budget_index import (
    budget_index,
    forget_index,
    index_at,
    remembered_index,
    rule_of,
)
from financial.selectors.exchange import find_exchanges
from financial.selectors.holds import HeldPart

from .budget_opening import Wanted, open_periods, refresh_periods, refresh_successors
from .budget_periods import Cause, PeriodRow, Traces, lock_periods, write_periods

if TYPE_CHECKING:
    from .append import Appended
    from .entries import Entry

DAY_SUMS: Final = ("settled", "provisional", "held", "overrun")
NO_RATE: Final = "no_exchange_rate"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The hold that one cost settles; its parts still hold their money only while it is ``open``."""

    hold: UUID
    parts: Sequence[HeldPart]
    open: bool


@dataclass(slots=True)
class _Move:
    """What happens to one period row; ``days`` are the same sums by local day, for rolling budgets.

    ``late`` tells that the period was over when its costs came, ``costs`` what each ledger row came to.
    """

    rule: BudgetRule
    late: bool = False
    hold: UUID | None = None
    settled: int = 0
    released: int = 0
    provisional: int = 0
    days: dict[date, list[int]] = field(default_factory=dict)
    costs: list[tuple[UUID, int]] = field(default_factory=list)

    def add(self, day: date | None, *, settled: int = 0, released: int = 0, provisional: int = 0) -> None:
        """Add to the sums, and to those of ``day``."""
        self.settled += settled
        self.released += released
        self.provisional += provisional
        if day is not None:
            self._add_to_day(day, [settled, provisional, -released, 0])

    def absorb(self, other: _Move) -> None:
        """Add what else happens to the same row."""
        self.late = self.late or other.late
        self.add(None, settled=other.settled, released=other.released, provisional=other.provisional)
        for day, sums in other.days.items():
            self._add_to_day(day, sums)
        self.costs += other.costs

    def add_overrun(self, day: date, amount: int) -> None:
        """Note on ``day`` what went beyond the limit."""
        self._add_to_day(day, [0, 0, 0, amount])

    def within(self, first: date, last: date) -> tuple[int, int, int]:
        """settled, released and provisional of the days from ``first`` to ``last``."""
        inside = [sums for day, sums in self.days.items() if first <= day <= last]
        settled, provisional, held = (sum(sums[place] for sums in inside) for place in range(3))
        return settled, -held, provisional

    def event_beyond(self, excess: int) -> UUID | None:
        """The ledger row that went beyond the limit, by ``excess`` at the end."""
        for event, amount in reversed(self.costs):
            excess -= max(0, amount)
            if excess <= 0:
                return event
        return self.costs[0][0] if self.costs else None

    def _add_to_day(self, day: date, addends: Sequence[int]) -> None:
        sums = self.days.setdefault(day, [0, 0, 0, 0])
        for place, addend in enumerate(addends):
            sums[place] += addend


def missing_rates(entries: Sequence[Entry]) -> dict[int, FieldError]:
    """The entries, by place, that a budget in another currency cannot be charged with for want of a rate.

    Asked before the transaction, so that one such event does not take its batch down.
    """
    index = remembered_index()
    base = settings.BASE_CURRENCY
    if index.currencies <= {base}:
        return {}
    needed: dict[tuple[str, date], list[int]] = {}
    for place, entry in enumerate(entries):
        # Whom an entry concerns is known by number only later: the day's rate is wanted for any of them.
        for currency in index.currencies - {base, entry.series[3]}:
            needed.setdefault((currency, local_day(entry.occurred_at)), []).append(place)
    found = find_exchanges(needed)
    refused: dict[int, FieldError] = {}
    for (currency, day), places in needed.items():
        if (currency, day) in found:
            continue
        numbers = find_entities({FLEET, *(name for place in places for name in entries[place].entities)})
        for place in places:
            subject = subject_of(entries[place], numbers)
            if any(match.rule.currency == currency for match in index.matches(subject)):
                refused[place] = FieldError(
                    "/occurred_at",
                    NO_RATE,
                    f"A budget in {currency} counts this cost, and there is no {currency} to {base} rate for {day}.",
                )
    return refused


def subject_of(entry: Entry, numbers: Mapping[EntityName, int]) -> Subject:
    """What decides which budgets an entry counts into; entities without a number have no budget either."""
    cost_type, provider, model, _ = entry.series
    return Subject(
        occurred_at=entry.occurred_at,
        entities={name[0]: numbers[name] for name in entry.entities if name in numbers},
        fleet=numbers.get(FLEET, 0),
        cost_type=cost_type,
        provider=provider,
        model=model,
        tags=entry.tags,
    )


def spend_budgets(
    appended: Sequence[Appended],
    entities: Mapping[EntityName, int],
    token: Hashable,
    settlement: Settlement | None = None,
) -> None:
    """Count ledger rows that were just appended into every budget they belong to.

    ``token`` is the budgets' revision, read after the first write of the transaction, so that a budget created
    meanwhile is seen. Runs last in the transaction, because the budgets' rows are shared with other writers and
    locked until the commit. With ``settlement`` the only row is the cost of that hold, whose money is released
    in the same step.
    """
    index = index_at(token)
    if not index and settlement is None:
        return
    moves = _Moves(index, appended[0].recorded_at)
    moves.add_costs(appended, entities, settlement)
    if settlement is not None:
        moves.settle(settlement, unpriced=any(event.entry.unpriced for event in appended))
    moves.replace_provisional(appended)
    moves.carry_out()


def settle_without_cost(settlement: Settlement, now: datetime) -> None:
    """Give back the money of a hold whose cost was in the ledger before."""
    if settlement.open:
        return_held(settlement.parts, now)


def return_held(parts: Sequence[HeldPart], now: datetime) -> None:
    """Give the money of holds that ended without a cost back to their periods."""
    moves = _Moves(budget_index(), now)
    for part in parts:
        moves.of_period(part.period, part.budget).add(part.day, released=part.amount)
    moves.carry_out()


class _Moves:
    """Everything that happens to period rows in one transaction, collected, then carried out in order."""

    def __init__(self, index: BudgetIndex, now: datetime) -> None:
        self._index = index
        self._now = now
        self._places = Places()
        self._wanted: dict[Wanted, _Move] = {}
        self._by_id: dict[int, _Move] = {}

    def of_period(self, period: int, budget: UUID) -> _Move:
        """The move of a row that is known by number."""
        move = self._by_id.get(period)
        if move is None:
            # One that is not in the index is archived, and its holds still end.
            rule = self._index.rules.get(budget) or rule_of(Budget.objects.get(pk=budget))
            move = self._by_id[period] = _Move(rule)
        return move

    def add_costs(
        self, appended: Sequence[Appended], entities: Mapping[EntityName, int], settlement: Settlement | None
    ) -> None:
        """Each cost into each budget it matches, in that budget's currency."""
        base: str = settings.BASE_CURRENCY
        rates = self._rates(appended)
        fixed = {part.budget: part.exchange for part in settlement.parts} if settlement else {}
        index, places = self._index, self._places
        found: dict[tuple[BudgetRule, int, Place], _Move] = {}
        for event in appended:
            entry = event.entry
            if not entry.base_amount and not entry.amount:
                continue
            at = entry.occurred_at
            quarter = quarter_of(at)
            for rule, entity in index.matches(subject_of(entry, entities)):
                amount = entry.base_amount
                if rule.currency != base:
                    exchange = fixed.get(rule.id) or self._exchange(rates, rule, entry)
                    own = entry.series[3], entry.amount
                    amount = budget_amount(rule.currency, base, own, amount, exchange)
                place = places.find(rule.period, at, quarter)
                move = found.get((rule, entity, place))
                if move is None:
                    late = at < self._now and place != places.find(rule.period, self._now)
                    move = found[rule, entity, place] = _Move(rule, late and not rule.period.is_rolling)
                    self._wanted[Wanted(rule, entity, place, at)] = move
                move.costs.append((event.id, amount))
                if place.day is None:
                    move.settled += amount
                else:
                    move.add(place.day, settled=amount)

    def _rates(self, appended: Sequence[Appended]) -> dict[tuple[str, date], Exchange]:
        foreign = self._index.currencies - {settings.BASE_CURRENCY}
        days = {local_day(event.entry.occurred_at) for event in appended} if foreign else ()
        return find_exchanges({(currency, day) for currency in foreign for day in days})

    def _exchange(
        self, rates: Mapping[tuple[str, date], Exchange], rule: BudgetRule, entry: Entry
    ) -> Exchange | None:
        base, day = settings.BASE_CURRENCY, local_day(entry.occurred_at)
        exchange = rates.get((rule.currency, day))
        if exchange is None and rule.currency not in (base, entry.series[3]):
            # Somebody made the budget since this process looked ahead: a repeat refuses this event alone.
            forget_index()
            raise Conflict(
                NO_RATE,
                f"There is no {rule.currency} to {base} rate for {day}, which a budget needs: "
                "nothing of this batch was recorded.",
            )
        return exchange

    def settle(self, settlement: Settlement, *, unpriced: bool) -> None:
        """Release the money of the hold; of a call without a price, keep as much as spent."""
        for part in settlement.parts:
            move = self.of_period(part.period, part.budget)
            move.hold = settlement.hold
            if settlement.open:
                move.add(part.day, released=part.amount)
            if unpriced:
                move.add(part.day, settled=part.amount, provisional=part.amount)

    def replace_provisional(self, appended: Sequence[Appended]) -> None:
        """Drop what was kept for calls that these rows have priced."""
        priced = [event.entry.corrects for event in appended if event.entry.unpriced < 0]
        if not priced:
            return
        parts = HoldPart.objects.filter(hold__event__in=priced, provisional__gt=0)
        for part in parts.select_related("period").order_by("hold_id", "period_id"):
            move = self.of_period(part.period_id, part.period.budget_id)
            move.add(part.day, settled=-part.provisional, provisional=-part.provisional)
            HoldPart.objects.filter(hold=part.hold_id, period=part.period_id).update(provisional=0)

    def carry_out(self) -> None:
        """Open, lock, move and write the rows; then the days, the periods after, and what is to be told."""
        if self._wanted:
            ids = open_periods(self._wanted, self._now)
            for wanted, move in self._wanted.items():
                self.of_period(ids[wanted.name], wanted.rule.id).absorb(move)
        if not self._by_id:
            return
        traces = Traces(self._now)
        by_budget = {move.rule.id: move.rule for move in self._by_id.values()}
        rows = lock_periods(self._by_id, self._now)
        refresh_periods(rows, by_budget, traces)
        for row in rows:
            self._move(row, self._by_id[row.id], traces)
        write_periods(rows)
        self._write_days()
        refresh_successors(rows, by_budget, traces)
        traces.write({number: move.rule for number, move in self._by_id.items()})

    def _move(self, row: PeriodRow, move: _Move, traces: Traces) -> None:
        settled, released, provisional = move.settled, move.released, move.provisional
        today: date | None = None
        if move.rule.period.is_rolling:
            today = self._places.find(move.rule.period, self._now).day
            assert today is not None
            settled, released, provisional = move.within(*window_days(move.rule.period, today))
        row.settled += settled
        row.held -= released
        row.provisional += provisional
        cause = Cause.LATE_EVENT if move.late else Cause.ABOVE_HOLD if released else Cause.WITHOUT_HOLD
        event = move.event_beyond(row.standing.excess(row.hard))
        added = traces.check(row, move.rule, cause, event, move.hold, today)
        if added and today is not None:
            move.add_overrun(today, added)

    def _write_days(self) -> None:
        rows = [
            (number, day, *sums)
            for number, move in sorted(self._by_id.items())
            for day, sums in sorted(move.days.items())
            if any(sums)
        ]
        upsert_add(
            connection,
            BudgetDay._meta.db_table,
            ("period_id", "day"),
            DAY_SUMS,
            ("bigint", "date", *("bigint",) * len(DAY_SUMS)),
            rows,
        )
