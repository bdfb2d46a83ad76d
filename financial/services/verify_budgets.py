"""Proving budgets: every period against the ledger rows, holds and overruns behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.db.snapshot import snapshot
from financial.domain.budget_rules import BudgetIndex, BudgetRule, Place, Places, local_day, window_days
from financial.domain.exchange import Exchange
from financial.domain.ranges import EARLIEST, LATEST
from financial.models import BudgetDay, BudgetOverrun, BudgetPeriod, Hold, HoldPart, LedgerArchive
from financial.selectors.archives import archives_of
from financial.selectors.budget_history import (
    History,
    LedgerRow,
    Slot,
    Spent,
    amount_in,
    every_rule,
    ledger_rows,
    rates_for,
    rollups_can_tell,
    spent_by_entity,
)

from .budget_periods import Cause, PeriodRow, Traces, lock_periods, write_periods
from .budget_posting import lock_ledger, post

FIELDS: Final = ("settled", "provisional", "held", "overrun")
Sums = list[int]
"""settled, provisional, held and overrun, in nano-units of the budget's currency."""


@dataclass(frozen=True, slots=True)
class BudgetDifference:
    """One figure that is not what the books behind it come to; ``period`` is its key, or the local day."""

    budget: UUID
    entity: int
    period: str
    figure: str
    stored: int | None
    expected: int


@dataclass(slots=True)
class VerifiedBudgets:
    """The outcome; ``skipped`` periods have costs that are archived, or a rate that is gone."""

    budgets: int = 0
    periods: int = 0
    rows: int = 0
    differences: list[BudgetDifference] = field(default_factory=list)
    skipped: int = 0
    repaired: int | None = None

    @property
    def agrees(self) -> bool:
        """Whether nothing differs, or what did was repaired."""
        return not self.differences or self.repaired is not None

    @property
    def counts(self) -> Counter[str]:
        """How often each figure differs."""
        return Counter(each.figure for each in self.differences)


@dataclass(slots=True)
class _Books:
    """What the books say, by the names of periods and by the days of rolling ones."""

    index: BudgetIndex
    history: History
    ledger: dict[tuple[UUID, int, str], int] = field(default_factory=dict)
    days: dict[tuple[UUID, int, str], dict[date, int]] = field(default_factory=dict)
    held: dict[tuple[int, date | None], Sums] = field(default_factory=dict)
    instants: dict[tuple[UUID, int, str], datetime] = field(default_factory=dict)
    rows: int = 0


def verify_budgets(
    *, repair: bool = False, progress: Callable[[int], None] = lambda rows: None
) -> VerifiedBudgets:
    """Recompute every period of every budget from the ledger, the holds and the overruns.

    Read as it was at one moment, so that writers go on meanwhile. With ``repair`` what differs is written
    anew in one transaction that holds writers off, and audited.
    """
    with snapshot():
        outcome = _compare(_read(progress))
    if repair and outcome.differences:
        outcome.repaired = _repair()
    return outcome


def _read(progress: Callable[[int], None]) -> _Books:
    books = _Books(every_rule(), History())
    places = Places()
    since = min((rule.counts_from for rule in books.index.rules.values()), default=None)
    for rows in ledger_rows(since=since, progress=progress) if since is not None else ():
        books.rows += len(rows)
        fixed = _fixed_exchanges([row.id for row in rows])
        matched = [(row, match) for row in rows for match in books.index.matches(row.subject)]
        rates = rates_for((match.rule.currency, row) for row, match in matched)
        for row, match in matched:
            amount = _amount(match.rule, row, fixed.get((row.id, match.rule.id)), rates, books.history)
            place = places.find(match.rule.period, row.subject.occurred_at)
            name = (match.rule.id, match.entity, place.key)
            books.ledger[name] = books.ledger.get(name, 0) + amount
            books.instants[name] = row.subject.occurred_at
            if place.day is not None:
                days = books.days.setdefault(name, {})
                days[place.day] = days.get(place.day, 0) + amount
    _read_holds(books)
    return books


def _amount(
    rule: BudgetRule,
    row: LedgerRow,
    fixed: Exchange | None,
    rates: Mapping[tuple[str, date], Exchange],
    history: History,
) -> int:
    """What a row counts: at the exchange that its hold fixed, or else at that of its day."""
    if fixed is None:
        return amount_in(rule.currency, row, rates, history)
    day = local_day(row.subject.occurred_at)
    return amount_in(rule.currency, row, {(rule.currency, day): fixed}, history)


def _fixed_exchanges(events: list[UUID]) -> dict[tuple[UUID, UUID], Exchange]:
    parts = HoldPart.objects.filter(hold__event__in=events)
    return {
        (event, budget): Exchange(numerator, denominator)
        for event, budget, numerator, denominator in parts.values_list(
            "hold__event", "period__budget_id", "numerator", "denominator"
        )
        if event is not None
    }


def _read_holds(books: _Books) -> None:
    kept = HoldPart.objects.filter(provisional__gt=0).order_by().values_list("period_id", "day")
    for period, day, amount in kept.annotate(amount=Sum("provisional")):
        sums = books.held.setdefault((period, day), [0, 0, 0, 0])
        sums[0] += int(amount)
        sums[1] += int(amount)
    held = HoldPart.objects.filter(hold__state=Hold.State.HELD).order_by().values_list("period_id", "day")
    for period, day, amount in held.annotate(sum=Sum("amount")):
        books.held.setdefault((period, day), [0, 0, 0, 0])[2] += int(amount)
    overruns = BudgetOverrun.objects.order_by().values_list("period_id", "day")
    for period, day, amount in overruns.annotate(sum=Sum("amount")):
        books.held.setdefault((period, day), [0, 0, 0, 0])[3] += int(amount)


def _compare(books: _Books) -> VerifiedBudgets:
    outcome = VerifiedBudgets(budgets=len(books.index.rules), rows=books.rows)
    archives = archives_of(None, None)
    without_rate = {currency for currency, _ in books.history.missing}
    seen: set[tuple[UUID, int, str]] = set()
    days: dict[int, dict[date, Sums]] = {}
    for period, day, *sums in BudgetDay.objects.values_list("period_id", "day", *FIELDS):
        days.setdefault(period, {})[day] = sums
    held: dict[int, dict[date | None, Sums]] = {}
    for (period, day), sums in books.held.items():
        held.setdefault(period, {})[day] = sums
    for row in BudgetPeriod.objects.order_by("budget_id", "entity_id", "starts_at").iterator(2000):
        name = (row.budget_id, row.entity_id, row.key)
        seen.add(name)
        outcome.periods += 1
        rule = books.index.rules[row.budget_id]
        archived = _is_archived(row, rule, archives) and not _rollups_tell(books, row, rule)
        if archived or rule.currency in without_rate:
            outcome.skipped += 1
        elif rule.period.is_rolling:
            ledger = books.days.get(name, {})
            _compare_days(row, rule, ledger, held.get(row.pk, {}), days.get(row.pk, {}), outcome)
        else:
            expected = [sum(column) for column in zip([0] * 4, *held.get(row.pk, {}).values())]
            expected[0] += books.ledger.get(name, 0)
            _note(row, row.key, [getattr(row, figure) for figure in FIELDS], expected, outcome)
    for (budget, entity, key), amount in books.ledger.items():
        rule = books.index.rules[budget]
        if amount and (budget, entity, key) not in seen and rule.currency not in without_rate:
            outcome.differences.append(BudgetDifference(budget, entity, key, "settled", None, amount))
    return outcome


def _is_archived(row: BudgetPeriod, rule: BudgetRule, archives: list[LedgerArchive]) -> bool:
    """Whether costs that count into a period are archived; of a rolling one, any since it began to count."""
    start = rule.counts_from if rule.period.is_rolling else max(row.starts_at, rule.counts_from)
    end = None if rule.period.is_rolling else row.ends_at
    return any(archive.end > start and (end is None or archive.start < end) for archive in archives)


def _rollups_tell(books: _Books, row: BudgetPeriod, rule: BudgetRule) -> bool:
    """Take the sums of a period from the rollups, where they hold them."""
    through = any(rule in other.parents for other in books.index.rules.values())
    if rule.period.is_rolling or through or not rollups_can_tell(rule):
        return False
    found = spent_by_entity(rule, max(row.starts_at, EARLIEST), row.ends_at or LATEST)
    books.ledger[row.budget_id, row.entity_id, row.key] = found.get(row.entity_id, 0)
    return True


def _compare_days(
    row: BudgetPeriod,
    rule: BudgetRule,
    ledger: Mapping[date, int],
    held: Mapping[date | None, Sums],
    stored: Mapping[date, Sums],
    outcome: VerifiedBudgets,
) -> None:
    for day, expected in sorted(_expected_days(ledger, held, stored).items()):
        _note(row, day.isoformat(), stored.get(day, [0, 0, 0, 0]), expected, outcome)
    expected = _window_sums(row, rule, stored)
    _note(row, row.key, [getattr(row, figure) for figure in FIELDS], expected, outcome)


def _expected_days(
    ledger: Mapping[date, int], held: Mapping[date | None, Sums], stored: Mapping[date, Sums]
) -> dict[date, Sums]:
    expected = {}
    for day in {*ledger, *stored, *(day for day in held if day is not None)}:
        sums = list(held.get(day, [0, 0, 0, 0]))
        sums[0] += ledger.get(day, 0)
        expected[day] = sums
    return expected


def _window_sums(row: BudgetPeriod, rule: BudgetRule, days: Mapping[date, Sums]) -> Sums:
    """The sums over the window that a row was last written for."""
    assert row.ends_at is not None
    last = (row.ends_at - timedelta(microseconds=1)).astimezone(rule.period.zone).date()
    first, last = window_days(rule.period, last)
    return [
        sum(column) for column in zip([0] * 4, *(sums for day, sums in days.items() if first <= day <= last))
    ]


def _note(row: BudgetPeriod, period: str, stored: Sums, expected: Sums, outcome: VerifiedBudgets) -> None:
    for figure, had, should in zip(FIELDS, stored, expected, strict=True):
        if had != should:
            outcome.differences.append(
                BudgetDifference(row.budget_id, row.entity_id, period, figure, had, should)
            )


def _repair() -> int:
    """Write what differs anew; how many figures there were."""
    now = timezone.now()

    def store() -> int:
        with transaction.atomic():
            lock_ledger()
            ordered = BudgetPeriod.objects.order_by("budget_id", "entity_id", "starts_at")
            ids = list(ordered.values_list("pk", flat=True))
            locked = [
                row
                for first in range(0, len(ids), 500)
                for row in lock_periods(ids[first : first + 500], now)
            ]
            books = _read(lambda rows: None)
            differences = _compare(books).differences
            rows = _correct(locked, books, {(each.budget, each.entity) for each in differences}, now)
            _open_missing([each for each in differences if each.stored is None], books, now)
            record_audit(
                action="repair_budgets",
                target_type="financial.BudgetPeriod",
                changes={"figures": len(differences), "periods": rows},
            )
            return len(differences)

    return retry_conflicts(store)


def _correct(
    locked: list[PeriodRow], books: _Books, wrong: set[tuple[UUID, int]], now: datetime
) -> list[int]:
    """Write the rows of the budgets and entities in ``wrong`` anew, where they can be told; their numbers."""
    changed = [row for row in locked if (row.budget, row.entity) in wrong]
    stored = {row.pk: row for row in BudgetPeriod.objects.filter(pk__in=[row.id for row in changed])}
    archives = archives_of(None, None)
    missing = {currency for currency, _ in books.history.missing}
    traces = Traces(now)
    written: list[PeriodRow] = []
    for row in changed:
        rule = books.index.rules[row.budget]
        period = stored[row.id]
        if rule.currency in missing:
            continue
        if _is_archived(period, rule, archives) and not _rollups_tell(books, period, rule):
            continue
        held = {day: sums for (number, day), sums in books.held.items() if number == row.id}
        name = (row.budget, row.entity, period.key)
        day: date | None = None
        if rule.period.is_rolling:
            day, sums = _correct_days(period, rule, books.days.get(name, {}), held)
        else:
            sums = [sum(column) for column in zip([0] * 4, *held.values())]
            sums[0] += books.ledger.get(name, 0)
        row.settled, row.provisional, row.held, row.overrun = sums
        added = traces.check(row, rule, Cause.WITHOUT_HOLD, day=day)
        if added and day is not None:
            today, _ = BudgetDay.objects.get_or_create(period=period, day=day)
            BudgetDay.objects.filter(period=period, day=day).update(overrun=today.overrun + added)
        written.append(row)
    write_periods(written)
    traces.write({row.id: books.index.rules[row.budget] for row in written})
    return [row.id for row in written]


def _correct_days(
    period: BudgetPeriod, rule: BudgetRule, ledger: Mapping[date, int], held: Mapping[date | None, Sums]
) -> tuple[date, Sums]:
    """Write the days of a rolling budget anew: the last of its window, and the sums of the window."""
    values = BudgetDay.objects.filter(period=period).values_list("day", *FIELDS)
    expected = _expected_days(ledger, held, {day: sums for day, *sums in values})
    for day, sums in expected.items():
        figures = dict(zip(FIELDS, sums, strict=True))
        if not BudgetDay.objects.filter(period=period, day=day).update(**figures):
            BudgetDay.objects.create(period=period, day=day, **figures)
    assert period.ends_at is not None
    last = (period.ends_at - timedelta(microseconds=1)).astimezone(rule.period.zone).date()
    return last, _window_sums(period, rule, expected)


def _open_missing(differences: list[BudgetDifference], books: _Books, now: datetime) -> None:
    slots: dict[Slot, Spent] = {}
    for each in differences:
        rule = books.index.rules[each.budget]
        name = (each.budget, each.entity, each.period)
        instant = books.instants[name]
        if rule.period.is_rolling:
            for day, amount in books.days[name].items():
                slots[Slot(rule, each.entity, Place(each.period, day))] = Spent(instant, amount)
        else:
            slots[Slot(rule, each.entity, Place(each.period, None))] = Spent(instant, each.expected)
    if slots:
        post(slots, now)
