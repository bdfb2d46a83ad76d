"""Which budgets a cost counts into, in which of their periods, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from agent_factory_site.common.money import divide_half_even
from agent_factory_site.common.periods import END, UNITS, Unit, floor_period, rolling_days

from .exchange import Exchange

ROLLING: Final = "rolling:"
MAX_ROLLING_DAYS: Final = 366


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """How a budget divides time: by a unit of the calendar, or a window of ``days`` that moves at midnight."""

    unit: Unit
    zone: tzinfo
    days: int = 0

    @property
    def is_rolling(self) -> bool:
        return self.days > 0


def parse_period(text: str, zone: tzinfo) -> PeriodRule:
    """The rule of ``month`` or ``rolling:30d`` in ``zone``; ``ValueError`` for anything else."""
    if text in UNITS:
        return PeriodRule(text, zone)
    number = text.removeprefix(ROLLING).removesuffix("d")
    if text == f"{ROLLING}{number}d" and number.isascii() and number.isdecimal() and number[0] != "0":
        days = int(number)
        if days <= MAX_ROLLING_DAYS:
            return PeriodRule("day", zone, days)
    raise ValueError(
        f"a period is one of {', '.join(UNITS)}, or rolling:<days>d with 1 to {MAX_ROLLING_DAYS} days"
    )


class Place(NamedTuple):
    """Where in a budget an instant falls: the key of its period row, and the local day of a rolling one."""

    key: str
    day: date | None


class Span(NamedTuple):
    """The instants of a period row: ``end`` is None where it never ends."""

    start: datetime
    end: datetime | None


def place_of(rule: PeriodRule, instant: datetime) -> Place:
    """The period row that ``instant`` counts into."""
    period = floor_period(instant, rule.unit, rule.zone)
    if rule.is_rolling:
        return Place(f"{ROLLING}{rule.days}d", date.fromisoformat(period.key))
    return Place(period.key, None)


def span_of(rule: PeriodRule, instant: datetime) -> Span:
    """The instants of the period row that holds ``instant``; of a rolling one the window as of then."""
    if rule.is_rolling:
        window = rolling_days(rule.days, instant, rule.zone)
        return Span(window.start, window.end)
    period = floor_period(instant, rule.unit, rule.zone)
    return Span(period.start, None if period.end >= END else period.end)


def window_days(rule: PeriodRule, today: date) -> tuple[date, date]:
    """The first and the last local day of a rolling budget's window."""
    return today - timedelta(days=rule.days - 1), today


class Places:
    """:func:`place_of`, worked out once per rule and quarter hour: no period begins within one."""

    def __init__(self) -> None:
        self._known: dict[tuple[PeriodRule, int], Place] = {}

    def find(self, rule: PeriodRule, instant: datetime) -> Place:
        """The period row that ``instant`` counts into."""
        key = (rule, int(instant.timestamp()) // 900)
        place = self._known.get(key)
        if place is None:
            place = self._known[key] = place_of(rule, instant)
        return place


@dataclass(frozen=True, slots=True)
class Subject:
    """What decides whether a cost counts: names as recorded, and the numbers of all entities that see it.

    ``entities`` maps each entity's type to its number; ``fleet`` is the number of the whole fleet.
    """

    occurred_at: datetime
    entities: Mapping[str, int]
    fleet: int
    cost_type: str
    provider: str
    model: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class BudgetRule:
    """A budget as kept in memory. Amounts in nano-units of ``currency``.

    ``entity`` is None where every entity of ``entity_type`` has its own allowance. Costs count over
    ``[counts_from, counts_until)``. ``parents`` are the budgets above it, nearest first.
    """

    id: UUID
    entity_type: str
    entity: int | None
    currency: str
    period: PeriodRule
    limit: int
    hard: bool
    thresholds: tuple[Decimal, ...]
    counts_from: datetime
    counts_until: datetime | None = None
    rollover: str = "none"
    rollover_cap: int | None = None
    cost_types: frozenset[str] = frozenset()
    providers: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    tags: tuple[tuple[str, str], ...] = ()
    parents: tuple[BudgetRule, ...] = field(default=(), repr=False)

    def lets_through(self, subject: Subject) -> bool:
        """Whether the filters and dates let a cost through, whoever caused it."""
        at = subject.occurred_at
        if at < self.counts_from or (self.counts_until is not None and at >= self.counts_until):
            return False
        if self.cost_types and subject.cost_type not in self.cost_types:
            return False
        if self.providers and subject.provider not in self.providers:
            return False
        if self.models and subject.model not in self.models:
            return False
        return all(subject.tags.get(key) == value for key, value in self.tags)


class Match(NamedTuple):
    """A budget that a cost counts into, and the entity whose allowance it uses."""

    rule: BudgetRule
    entity: int


class BudgetIndex:
    """All budgets in use, found by the entities of a cost instead of one by one."""

    def __init__(self, rules: Sequence[BudgetRule]) -> None:
        self._by_entity: dict[int, list[BudgetRule]] = {}
        self._by_type: dict[str, list[BudgetRule]] = {}
        self.rules: dict[UUID, BudgetRule] = {rule.id: rule for rule in rules}
        for rule in rules:
            if rule.entity is None:
                self._by_type.setdefault(rule.entity_type, []).append(rule)
            else:
                self._by_entity.setdefault(rule.entity, []).append(rule)

    def __bool__(self) -> bool:
        return bool(self.rules)

    @property
    def currencies(self) -> set[str]:
        """The currencies of the budgets."""
        return {rule.currency for rule in self.rules.values()}

    def matches(self, subject: Subject) -> list[Match]:
        """Every budget that the cost counts into, each once.

        A cost counts into a budget when one of its entities is the budget's and the filters let it
        through, and then into the budgets above that one whose filters let it through as well.
        """
        found: dict[tuple[UUID, int], Match] = {}
        for rule, entity in self._candidates(subject):
            if not rule.lets_through(subject):
                continue
            found.setdefault((rule.id, entity), Match(rule, entity))
            for parent in rule.parents:
                # A parent is the budget of one entity; only children are per entity.
                if parent.entity is not None and parent.lets_through(subject):
                    found.setdefault((parent.id, parent.entity), Match(parent, parent.entity))
        return list(found.values())

    def _candidates(self, subject: Subject) -> Iterator[tuple[BudgetRule, int]]:
        by_entity, by_type = self._by_entity, self._by_type
        for rule in by_entity.get(subject.fleet, ()):
            yield rule, subject.fleet
        for kind, number in subject.entities.items():
            for rule in by_entity.get(number, ()):
                yield rule, number
            for rule in by_type.get(kind, ()):
                yield rule, number


def budget_amount(
    currency: str, base: str, own: tuple[str, int], base_amount: int, exchange: Exchange | None
) -> int:
    """What a cost is worth in a budget's ``currency``, in nano-units, rounded half-even.

    ``own`` is the cost's currency and amount, ``exchange`` converts the budget's currency to the base one
    on the day of the cost; it is needed unless the budget is in either of the two.
    """
    if currency == base:
        return base_amount
    if currency == own[0]:
        return own[1]
    assert exchange is not None
    return divide_half_even(base_amount * exchange.denominator, exchange.numerator)


def local_day(instant: datetime) -> date:
    """The UTC day whose exchange rate converts a cost."""
    return instant.astimezone(UTC).date()
