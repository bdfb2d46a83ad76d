"""What the ledger holds for budgets: sums by the period they belong to, from rollups or row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from agent_factory_site.common.errors import Conflict
from agent_factory_site.common.models import Entity
from agent_factory_site.common.periods import floor_period
from agent_factory_site.common.selectors.entities import FLEET, find_entities
from financial.domain.budget_rules import (
    BudgetIndex,
    BudgetRule,
    Match,
    Place,
    Places,
    Subject,
    budget_amount,
    local_day,
)
from financial.domain.exchange import Exchange
from financial.domain.ranges import EARLIEST, LATEST
from financial.models import Budget, CostAttribution, CostEvent

from .archives import archives_of
from .breakdown import cost_breakdown
from .budget_index import rule_of
from .exchange import find_exchanges
from .series import series_by_id

CHUNK: Final = 2000
NO_RATE: Final = "no_exchange_rate"


class Slot(NamedTuple):
    """A period row of a budget, and the local day of a rolling one."""

    rule: BudgetRule
    entity: int
    place: Place


@dataclass(slots=True)
class Spent:
    """What falls into one slot, in nano-units of the budget's currency, and an instant of it."""

    instant: datetime
    amount: int = 0


@dataclass(slots=True)
class History:
    """Sums by slot; ``missing`` are the currencies and days without a rate that rows would have needed."""

    slots: dict[Slot, Spent] = field(default_factory=dict)
    missing: set[tuple[str, date]] = field(default_factory=set)

    def add(self, slot: Slot, instant: datetime, amount: int) -> None:
        """Add ``amount`` to what falls into ``slot``."""
        spent = self.slots.get(slot)
        if spent is None:
            spent = self.slots[slot] = Spent(instant)
        spent.amount += amount


class LedgerRow(NamedTuple):
    """What decides where a ledger row counts, and how much."""

    id: UUID
    subject: Subject
    currency: str
    amount: int
    base_amount: int


def every_rule(changed: Budget | None = None) -> BudgetIndex:
    """All budgets there are, read from the database, with ``changed`` in place of its row."""
    rows = {row.pk: row for row in Budget.objects.all()}
    if changed is not None:
        rows[changed.pk] = changed
    rules: dict[UUID, BudgetRule] = {}
    for row in sorted(rows.values(), key=lambda row: row.pk.int):
        # A parent is always older than its children.
        parent = rules.get(row.parent_id) if row.parent_id else None
        rules[row.pk] = rule_of(row, (parent, *parent.parents) if parent else ())
    return BudgetIndex(list(rules.values()))


def rollups_can_tell(rule: BudgetRule) -> bool:
    """Whether the rollups hold what counts into a budget, leaving its children aside."""
    return rule.currency == settings.BASE_CURRENCY and not rule.tags


def rolled_up(rule: BudgetRule, now: datetime) -> History:
    """What counts into ``rule`` by itself from its current period on, from rollups."""
    history = History()
    for start, end in _stretches(rule, now):
        for entity, amount in spent_by_entity(rule, start, end).items():
            if amount:
                history.add(Slot(rule, entity, Places().find(rule.period, start)), start, amount)
    return history


def spent_by_entity(rule: BudgetRule, start: datetime, end: datetime) -> dict[int, int]:
    """What the rollups hold of ``[start, end)`` by entity, in the base currency."""
    start, end = max(start, rule.counts_from, EARLIEST), min(end, rule.counts_until or LATEST, LATEST)
    if start >= end:
        return {}
    filters = series_filters(rule)
    if rule.entity is None:
        grouping = f"entity:{rule.entity_type}"
        groups = cost_breakdown(start=start, end=end, group_by=[grouping], zone=UTC, filters=filters).groups
        names = {(rule.entity_type, group.key[0]): group.sums.amount for group in groups if group.key[0]}
        numbers = find_entities([(kind, str(key)) for kind, key in names])
        return {numbers[kind, str(key)]: amount for (kind, key), amount in names.items()}
    named = Entity.objects.filter(pk=rule.entity).values_list("type", "key").first()
    total = cost_breakdown(entity=named or FLEET, start=start, end=end, zone=UTC, filters=filters).total
    return {rule.entity: total.amount}


def series_filters(rule: BudgetRule) -> dict[str, Sequence[str]]:
    """The filters of a budget that rollups know."""
    named = {"cost_type": rule.cost_types, "provider": rule.providers, "model": rule.models}
    return {name: sorted(wanted) for name, wanted in named.items() if wanted}


def _stretches(rule: BudgetRule, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The periods (days of a rolling budget) from the first that counts on to the last that has costs."""
    latest = now + settings.COST_MAX_FUTURE + timedelta(hours=1)
    at = max(rule.counts_from, EARLIEST)
    unit, zone = rule.period.unit, rule.period.zone
    if unit == "total":
        yield at, LATEST
        return
    while at <= latest:
        period = floor_period(at, unit, zone)
        yield max(period.start, rule.counts_from), period.end
        at = period.end


def counted_differently(
    before: BudgetIndex,
    after: BudgetIndex,
    *,
    entity: int | None,
    since: datetime,
    places: Places | None = None,
) -> History:
    """What ``after`` counts and ``before`` does not (below 0: the other way round), row by row.

    Reads the rows from ``since`` on, those of ``entity`` alone where given; their details must be there.
    """
    history = History()
    found = places or Places()
    if archived := archives_of(max(since, EARLIEST), None):
        raise Conflict(
            "archived_rows",
            f"The costs of {archived[0].month} are archived, and it takes each of them to tell what counts: "
            "restore the month first, or choose a shorter period.",
        )
    for rows in ledger_rows(entity=entity, since=since):
        changes: list[tuple[LedgerRow, Match, int]] = []
        for row in rows:
            old = {(match.rule.id, match.entity): match for match in before.matches(row.subject)}
            new = {(match.rule.id, match.entity): match for match in after.matches(row.subject)}
            changes += [(row, match, 1) for name, match in new.items() if name not in old]
            changes += [(row, match, -1) for name, match in old.items() if name not in new]
        rates = rates_for((match.rule.currency, row) for row, match, _ in changes)
        for row, match, sign in changes:
            amount = amount_in(match.rule.currency, row, rates, history)
            if amount:
                place = found.find(match.rule.period, row.subject.occurred_at)
                history.add(Slot(match.rule, match.entity, place), row.subject.occurred_at, sign * amount)
    return history


def rates_for(wanted: Iterator[tuple[str, LedgerRow]]) -> Mapping[tuple[str, date], Exchange]:
    """The exchanges that rows need to count in other currencies than their own and the base one."""
    base = settings.BASE_CURRENCY
    needed = {
        (currency, local_day(row.subject.occurred_at))
        for currency, row in wanted
        if currency not in (base, row.currency)
    }
    return find_exchanges(needed)


def amount_in(
    currency: str, row: LedgerRow, rates: Mapping[tuple[str, date], Exchange], history: History
) -> int:
    """What a row is worth in ``currency`` by its day's rate; 0 and noted in ``history`` where there is none."""
    base = settings.BASE_CURRENCY
    exchange = rates.get((currency, local_day(row.subject.occurred_at)))
    if exchange is None and currency not in (base, row.currency):
        history.missing.add((currency, local_day(row.subject.occurred_at)))
        return 0
    return budget_amount(currency, base, (row.currency, row.amount), row.base_amount, exchange)


def ledger_rows(
    *,
    entity: int | None = None,
    since: datetime | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Iterator[list[LedgerRow]]:
    """The ledger by time in chunks; with ``entity``, only what that entity sees."""
    fleet = find_entities([FLEET]).get(FLEET, 0)
    kinds: dict[int, str] = {}
    done = 0
    for ids in _ids(entity, since):
        events = CostEvent.objects.filter(pk__in=ids).order_by("occurred_at", "id")
        values = list(events.values_list("id", "occurred_at", "series_id", "amount", "base_amount", "tags"))
        seen: dict[UUID, list[int]] = {}
        for event, number in CostAttribution.objects.filter(event__in=ids).values_list("event", "entity_id"):
            seen.setdefault(event, []).append(number)
        unknown = {number for numbers in seen.values() for number in numbers} - set(kinds)
        for first in range(0, len(unknown), 5000):
            few = sorted(unknown)[first : first + 5000]
            kinds.update(Entity.objects.filter(pk__in=few).values_list("pk", "type"))
        series = series_by_id({value[2] for value in values})
        yield [
            LedgerRow(
                event,
                Subject(
                    occurred_at=at,
                    entities={kinds[number]: number for number in seen.get(event, ()) if number in kinds},
                    fleet=fleet,
                    cost_type=series[number_of_series].cost_type,
                    provider=series[number_of_series].provider,
                    model=series[number_of_series].model,
                    tags=tags,
                ),
                series[number_of_series].currency,
                amount,
                base_amount,
            )
            for event, at, number_of_series, amount, base_amount, tags in values
        ]
        done += len(values)
        progress(done)


def _ids(entity: int | None, since: datetime | None) -> Iterator[list[UUID]]:
    """Ids of ledger rows by time, a chunk at a time."""
    rows: QuerySet[Any]
    if entity is None:
        rows, name = CostEvent.objects.order_by("occurred_at", "id"), "id"
    else:
        rows, name = CostAttribution.objects.filter(entity=entity).order_by("occurred_at", "event"), "event"
    if since is not None:
        rows = rows.filter(occurred_at__gte=max(since, EARLIEST))
    chunk = list(rows.values_list("occurred_at", name)[:CHUNK])
    while chunk:
        yield [event for _, event in chunk]
        if len(chunk) < CHUNK:
            return
        at, last = chunk[-1]
        beyond = rows.filter(Q(occurred_at__gt=at) | Q(**{f"{name}__gt": last}), occurred_at__gte=at)
        chunk = list(beyond.values_list("occurred_at", name)[:CHUNK])
