"""What the landing page says, read from rollups with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from agent_factory_site.common.models import Entity
from agent_factory_site.common.models.entity import FLEET_TYPE
from financial.models import CostImport
from financial.selectors.breakdown import CostGroup, CostSums, cost_breakdown
from financial.selectors.budget_states import pressed_budgets
from financial.selectors.budgets import BudgetStatus
from financial.selectors.freshness import last_recorded_at

WINDOW: Final = 30
QUARTER_HOUR: Final = timedelta(minutes=15)
ROWS_SHOWN: Final = 8
IMPORTS_SHOWN: Final = 5
TYPES_SHOWN: Final = 6
BUDGETS_SHOWN: Final = 8
STACKS: Final = {"cost_type": "Cost type", "model": "Model", "provider": "Provider"}


@dataclass(frozen=True, slots=True)
class Period:
    """Days from ``first`` to ``last``, both included, UTC."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        return datetime.combine(self.first, time.min, UTC)

    @property
    def end(self) -> datetime:
        return datetime.combine(self.last + timedelta(days=1), time.min, UTC)

    def holds(self, day: str) -> bool:
        return self.first.isoformat() <= day <= self.last.isoformat()


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent in a period; amounts in nano-units of the base currency."""

    period: Period
    amount: int
    events: int
    unpriced: int


@dataclass(frozen=True, slots=True)
class Stack:
    """The amounts of one series of the chart, one per day."""

    name: str
    amounts: list[int]

    @property
    def total(self) -> int:
        return sum(self.amounts)


@dataclass(frozen=True, slots=True)
class Row:
    """A model or an entity with its spend, and that of the period before where it is compared."""

    provider: str
    name: str
    amount: int
    events: int
    unpriced: int
    before: int | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """The page. ``window`` is the last 30 days; ``last_month_to_date`` ends where now is in this month."""

    now: datetime
    recorded_at: datetime | None
    today: Spend
    yesterday: Spend
    month: Spend
    last_month: Spend
    last_month_to_date: int
    window: Spend
    days: list[date]
    stacks: list[Stack]
    models: list[Row]
    entity_type: str
    entity_types: list[str]
    entities: list[Row]
    imports: list[CostImport]
    budgets: list[BudgetStatus]


def read_overview(*, now: datetime, stack_by: str, entity_type: str) -> Overview:
    """Everything the landing page shows at ``now``; ``stack_by`` is one of ``STACKS``."""
    today = now.astimezone(UTC).date()
    month = Period(today.replace(day=1), today)
    last_month_end = month.first - timedelta(days=1)
    last_month = Period(last_month_end.replace(day=1), last_month_end)
    window = Period(today - timedelta(days=WINDOW - 1), today)
    before = Period(window.first - timedelta(days=WINDOW), window.first - timedelta(days=1))
    daily = cost_breakdown(
        start=min(last_month.start, window.start),
        end=window.end,
        group_by=["day", "cost_type", "provider", "model"],
        zone=UTC,
    ).groups
    # To the quarter hour, which rollups know; the seconds beyond it would be read from ledger rows.
    elapsed = (now - month.start) // QUARTER_HOUR * QUARTER_HOUR
    same_span_end = min(last_month.start + elapsed, last_month.end)
    to_date = cost_breakdown(start=last_month.start, end=same_span_end, zone=UTC).total.amount
    types = _entity_types()
    chosen = entity_type if entity_type in types else next(iter(types), "agent")
    return Overview(
        now=now,
        recorded_at=last_recorded_at(),
        today=_spend(daily, Period(today, today)),
        yesterday=_spend(daily, Period(today - timedelta(days=1), today - timedelta(days=1))),
        month=_spend(daily, month),
        last_month=_spend(daily, last_month),
        last_month_to_date=to_date,
        window=_spend(daily, window),
        days=[window.first + timedelta(days=number) for number in range(WINDOW)],
        stacks=_stacks(daily, window, stack_by),
        models=_models(daily, window),
        entity_type=chosen,
        entity_types=types,
        entities=_entities(chosen, window, before),
        imports=list(CostImport.objects.select_related("job").order_by("-id")[:IMPORTS_SHOWN]),
        budgets=pressed_budgets(now=now),
    )


def _spend(daily: Sequence[CostGroup], period: Period) -> Spend:
    amount = events = unpriced = 0
    for group in daily:
        if period.holds(group.key[0] or ""):
            amount += group.sums.amount
            events += group.sums.events
            unpriced += group.sums.unpriced
    return Spend(period, amount, events, unpriced)


def _stacks(daily: Sequence[CostGroup], window: Period, stack_by: str) -> list[Stack]:
    """The series by day, the largest first; an empty name where events have none."""
    place = {"cost_type": 1, "provider": 2, "model": 3}[stack_by]
    by_name: dict[str, list[int]] = {}
    for group in daily:
        day = group.key[0] or ""
        if window.holds(day):
            amounts = by_name.setdefault(group.key[place] or "", [0] * WINDOW)
            amounts[(date.fromisoformat(day) - window.first).days] += group.sums.amount
    return sorted(
        (Stack(name, amounts) for name, amounts in by_name.items() if any(amounts)),
        key=lambda stack: (-stack.total, stack.name),
    )


def _models(daily: Sequence[CostGroup], window: Period) -> list[Row]:
    sums: dict[tuple[str, str], list[int]] = {}
    for group in daily:
        day, _, provider, model = group.key
        if model and window.holds(day or ""):
            row = sums.setdefault((provider or "", model), [0, 0, 0])
            row[0] += group.sums.amount
            row[1] += group.sums.events
            row[2] += group.sums.unpriced
    rows = [Row(provider, model, row[0], row[1], row[2]) for (provider, model), row in sums.items()]
    return sorted(rows, key=lambda row: (-row.amount, row.provider, row.name))[:ROWS_SHOWN]


def _entities(kind: str, window: Period, before: Period) -> list[Row]:
    grouping = [f"entity:{kind}"]
    now_by_key = _by_key(
        cost_breakdown(start=window.start, end=window.end, group_by=grouping, zone=UTC).groups
    )
    then_by_key = _by_key(
        cost_breakdown(start=before.start, end=before.end, group_by=grouping, zone=UTC).groups
    )
    ranked = sorted(now_by_key.items(), key=lambda item: (-item[1].amount, item[0]))[:ROWS_SHOWN]
    labels = dict(
        Entity.objects.filter(type=kind, key__in=[key for key, _ in ranked]).values_list("key", "name")
    )
    return [
        Row(
            provider=kind,
            name=key,
            amount=sums.amount,
            events=sums.events,
            unpriced=sums.unpriced,
            before=then_by_key[key].amount if key in then_by_key else 0,
            label=labels.get(key, ""),
        )
        for key, sums in ranked
    ]


def _by_key(groups: Sequence[CostGroup]) -> dict[str, CostSums]:
    return {group.key[0]: group.sums for group in groups if group.key[0] is not None}


def _entity_types() -> list[str]:
    """The types there are, agents first."""
    found = Entity.objects.exclude(type=FLEET_TYPE).order_by("type").values_list("type", flat=True).distinct()
    types = sorted(found[: TYPES_SHOWN * 4], key=lambda name: (name != "agent", name))
    return types[:TYPES_SHOWN]
