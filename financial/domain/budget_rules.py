"""Which budgets a cost counts into, in which of their periods, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from agent_factory_site.common.money import divide_half_even
from agent_factory_site.common.periods import END, UNITS, Unit, floor_period, rolling_days

from .exchange import Exchange

ROLLING: Final = "rolling:"
MAX_ROLLING_DAYS: Final = 366


# Compared by identity, which parse_period keeps: asked for with every cost and budget.
@dataclass(frozen=True, slots=True, eq=False)
class PeriodRule:
    """How a budget divides time: by a unit of the calendar, or a window of ``days`` that moves at midnight.

    Made by :func:`parse_period`, which returns the same one for the same text and zone.
    """

    unit: Unit
    zone: tzinfo
    days: int = 0

    @property
    def is_rolling(self) -> bool:
        return self.days > 0


@lru_cache(maxsize=4096)
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

    def find(self, rule: PeriodRule, instant: datetime, quarter: int | None = None) -> Place:
        """The period row that ``instant``, in the quarter hour of that number, counts into."""
        if quarter is None:
            quarter = quarter_of(instant)
        place = self._known.get((rule, quarter))
        if place is None:
            place = self._known[rule, quarter] = place_of(rule, instant)
        return place


def quarter_of(instant: datetime) -> int:
    """The number of the quarter hour that ``instant`` lies in."""
    return int(instant.timestamp()) // 900


class Subject(NamedTuple):
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
    filtered: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        filters = (self.cost_types, self.providers, self.models, self.tags)
        object.__setattr__(self, "filtered", self.counts_until is not None or any(filters))

    def lets_through(self, subject: Subject) -> bool:
        """Whether the filters and dates let a cost through, whoever caused it."""
        at = subject.occurred_at
        if at < self.counts_from:
            return False
        if not self.filtered:
            return True
        if self.counts_until is not None and at >= self.counts_until:
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
        found: list[Match] = []
        above: list[BudgetRule] = []
        by_entity, by_type = self._by_entity, self._by_type
        for kind, number in (*subject.entities.items(), ("", subject.fleet)):
            for rule in (*by_entity.get(number, ()), *by_type.get(kind, ())):
                if rule.lets_through(subject):
                    found.append(Match(rule, number))
                    above += rule.parents
        for parent in above:
            # A parent is the budget of one entity; only children are per entity.
            if parent.entity is not None and parent.lets_through(subject):
                match = Match(parent, parent.entity)
                if match not in found:
                    found.append(match)
        return found


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
