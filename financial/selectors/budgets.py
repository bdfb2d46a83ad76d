"""Budgets as they stand: what is spent, held and left of the current period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils import timezone

from agent_factory_site.common.errors import Invalid, NotFound
from agent_factory_site.common.models import Entity
from agent_factory_site.common.pagination import Ordering, page_of
from agent_factory_site.common.selectors.entities import find_entities
from financial.domain.budget_input import EVERY, FLEET_TYPE
from financial.domain.budget_rules import BudgetRule, place_of, span_of
from financial.domain.budget_state import State, burn_rate, state_of
from financial.models import Budget, BudgetCrossing, BudgetOverride, BudgetOverrun, BudgetPeriod

from .budget_index import rule_of
from .budget_present import PresentPeriod, judged_groups, present_periods, unopened_period

_ENTITIES = Ordering.of(BudgetPeriod, ["-id"])


@dataclass(frozen=True, slots=True)
class PeriodStatus:
    """One allowance in one period. Amounts in nano-units of the budget's currency.

    ``row`` is None where nothing was spent or held yet. Of a rolling budget ``start`` and ``end`` are the
    window's. ``state`` and ``burn_rate`` are as of now.
    """

    row: int | None
    entity_type: str
    entity_id: str
    entity_name: str
    key: str
    start: datetime
    end: datetime | None
    state: State
    limit: int
    carried: int
    raised: int
    settled: int
    provisional: int
    held: int
    remaining: int
    utilisation: float | None
    burn_rate: float | None
    thresholds_crossed: tuple[Decimal, ...]
    overrun: int


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """A budget and its current period.

    Where every entity of a type has an allowance, ``period`` is None unless one was asked for, and ``total``
    says how all of them stand together: ``entities`` of them have a period, ``state`` is the worst.
    """

    budget: Budget
    state: State
    period: PeriodStatus | None
    total: AllowancesStatus | None = None


@dataclass(frozen=True, slots=True)
class AllowancesStatus:
    """The allowances of all entities that have spent or held something in the current period, together."""

    key: str
    start: datetime
    end: datetime | None
    entities: int
    exceeded: int
    warning: int
    settled: int
    provisional: int
    held: int
    overrun: int


@dataclass(frozen=True, slots=True)
class EntitiesPage:
    """Some allowances of a budget, the latest opened first, and the cursors of the pages around."""

    entities: list[PeriodStatus]
    next: str | None
    previous: str | None


def get_budget(budget_id: UUID | str, *, pointer: str = "") -> Budget:
    """One budget, archived or not; :class:`NotFound` when there is none, :class:`Invalid` at ``pointer``."""
    try:
        row: Budget = Budget.objects.select_related("entity", "parent").get(pk=budget_id)
    except (Budget.DoesNotExist, ValidationError, ValueError):
        if pointer:
            raise Invalid.field_error(pointer, "unknown_budget", "There is no such budget.") from None
        raise NotFound("not_found", "There is no such budget.") from None
    return row


def list_budgets(
    *,
    entity_type: str = "",
    entity_id: str = "",
    parent: UUID | str | None = None,
    enforcement: str = "",
    currency: str = "",
    period: str = "",
    archived: bool = False,
) -> QuerySet[Budget]:
    """Budgets, the newest first; archived ones are left out unless ``archived``."""
    rows: QuerySet[Budget] = Budget.objects.select_related("entity", "parent").order_by("-id")
    if entity_type:
        rows = rows.filter(entity_type=entity_type)
    if entity_id == EVERY and entity_type != FLEET_TYPE:
        rows = rows.filter(entity=None)
    elif entity_id:
        rows = rows.filter(entity__key=entity_id)
    if parent is not None:
        try:
            rows = rows.filter(parent_id=UUID(str(parent)))
        except ValueError:
            rows = rows.none()
    if enforcement:
        rows = rows.filter(enforcement=enforcement)
    if currency:
        rows = rows.filter(currency=currency)
    if period:
        rows = rows.filter(period=period)
    return rows if archived else rows.filter(archived_at=None)


def budget_status(
    budget_id: UUID | str, *, entity_id: str | None = None, now: datetime | None = None
) -> BudgetStatus:
    """One budget as it stands; ``entity_id`` picks one allowance where every entity of a type has one."""
    budget = get_budget(budget_id)
    moment = now or timezone.now()
    if entity_id is None or entity_id == EVERY:
        return budget_statuses([budget], now=moment)[budget.pk]
    if budget.entity is not None:
        if budget.entity.key != entity_id:
            raise NotFound("not_found", "This budget is another entity's.")
        return budget_statuses([budget], now=moment)[budget.pk]
    name = (budget.entity_type, entity_id)
    number = find_entities([name]).get(name)
    if number is None:
        raise NotFound("not_found", f"No such {budget.entity_type} is known.")
    rule = rule_of(budget)
    rows = _current_rows([(rule, number)], moment)
    period = _statuses([(budget, rule, number)], rows, moment)[budget.pk, number]
    return BudgetStatus(budget, period.state, period)


def budget_statuses(budgets: Sequence[Budget], *, now: datetime | None = None) -> dict[UUID, BudgetStatus]:
    """Each of ``budgets`` as it stands, in a fixed number of queries however many they are."""
    moment = now or timezone.now()
    rules = {budget.pk: rule_of(budget) for budget in budgets}
    single = [(budget, rules[budget.pk], budget.entity_id) for budget in budgets if budget.entity_id]
    rows = _current_rows([(rule, number) for _, rule, number in single], moment)
    periods = _statuses(single, rows, moment)
    totals = _totals([budget for budget in budgets if not budget.entity_id], rules, moment)
    found: dict[UUID, BudgetStatus] = {}
    for budget in budgets:
        if budget.entity_id:
            period = periods[budget.pk, budget.entity_id]
            found[budget.pk] = BudgetStatus(budget, period.state, period)
        else:
            total = totals[budget.pk]
            state: State = "exceeded" if total.exceeded else "warning" if total.warning else "ok"
            if is_closed(rules[budget.pk], moment):
                state = "closed"
            found[budget.pk] = BudgetStatus(budget, state, None, total)
    return found


def is_closed(rule: BudgetRule, now: datetime) -> bool:
    """Whether a budget is archived or past its last day."""
    return rule.counts_until is not None and rule.counts_until <= now


def _current_key(rule: BudgetRule, now: datetime) -> str:
    return place_of(rule.period, _instant(rule, now)).key


def _instant(rule: BudgetRule, now: datetime) -> datetime:
    """Within the current period; of a budget that is still to begin, within its first one."""
    return max(now, rule.counts_from)


def _current_rows(
    wanted: Sequence[tuple[BudgetRule, int]], now: datetime
) -> dict[tuple[UUID, int], BudgetPeriod]:
    if not wanted:
        return {}
    keys = {(rule.id, number): _current_key(rule, now) for rule, number in wanted}
    rows = BudgetPeriod.objects.filter(
        budget__in={rule.id for rule, _ in wanted},
        entity__in={number for _, number in wanted},
        key__in=set(keys.values()),
    )
    return {
        (row.budget_id, row.entity_id): row
        for row in rows
        if keys.get((row.budget_id, row.entity_id)) == row.key
    }


def _statuses(
    wanted: Sequence[tuple[Budget, BudgetRule, int]],
    rows: Mapping[tuple[UUID, int], BudgetPeriod],
    now: datetime,
) -> dict[tuple[UUID, int], PeriodStatus]:
    rules = {rule.id: rule for _, rule, _ in wanted}
    present = {period.row: period for period in present_periods(list(rows.values()), rules, now)}
    without = [(rule, number) for _, rule, number in wanted if (rule.id, number) not in rows]
    fresh = unopened_period(without, {(rule.id, n): _instant(rule, now) for rule, n in without}, now)
    names = _names({number for _, _, number in wanted})
    crossings = _crossings(list(present.values()), rules, now)
    found = {}
    for budget, rule, number in wanted:
        row = rows.get((rule.id, number))
        period = present[row.pk] if row is not None else fresh[rule.id, number]
        found[budget.pk, number] = status_of(
            period, rule, names.get(number, ("", "", "")), crossings.get(period.row or 0, ()), now
        )
    return found


def _names(numbers: set[int]) -> dict[int, tuple[str, str, str]]:
    rows = Entity.objects.filter(pk__in=numbers).values_list("pk", "type", "key", "name")
    return {pk: (kind, key, name) for pk, kind, key, name in rows}


def _crossings(
    periods: Sequence[PresentPeriod], rules: Mapping[UUID, BudgetRule], now: datetime
) -> dict[int, tuple[Decimal, ...]]:
    """Thresholds crossed by period row; of a rolling one, those of its current window."""
    by_id = {period.row: period for period in periods if period.row is not None}
    found: dict[int, set[Decimal]] = {}
    rows = BudgetCrossing.objects.filter(period__in=list(by_id))
    for number, threshold, at in rows.values_list("period_id", "threshold", "at"):
        period = by_id[number]
        if not rules[period.budget].period.is_rolling or at >= period.start:
            found.setdefault(number, set()).add(threshold.normalize())
    return {number: tuple(sorted(thresholds)) for number, thresholds in found.items()}


def status_of(
    period: PresentPeriod,
    rule: BudgetRule,
    name: tuple[str, str, str],
    thresholds: Sequence[Decimal],
    now: datetime,
) -> PeriodStatus:
    """What a period says."""
    standing = period.standing
    return PeriodStatus(
        row=period.row,
        entity_type=name[0],
        entity_id=name[1],
        entity_name=name[2],
        key=period.key,
        start=period.start,
        end=period.end,
        state=state_of(standing, rule.thresholds, is_closed(rule, now)),
        limit=standing.limit,
        carried=period.carried,
        raised=period.raised,
        settled=standing.settled,
        provisional=standing.provisional,
        held=standing.held,
        remaining=standing.remaining,
        utilisation=standing.utilisation,
        burn_rate=burn_rate(standing, max(period.start, rule.counts_from), period.end, now),
        thresholds_crossed=tuple(thresholds),
        overrun=standing.overrun,
    )


def _totals(
    budgets: Sequence[Budget], rules: Mapping[UUID, BudgetRule], now: datetime
) -> dict[UUID, AllowancesStatus]:
    """All allowances of each budget together: rows of one limit are judged at once, stale ones one by one."""
    if not budgets:
        return {}
    keys = {budget.pk: _current_key(rules[budget.pk], now) for budget in budgets}
    rows = BudgetPeriod.objects.filter(budget__in=list(keys), key__in=set(keys.values()))
    sums: dict[UUID, list[int]] = {budget.pk: [0] * 7 for budget in budgets}
    fresh = rows.filter(Q(good_until=None) | Q(good_until__gt=now))
    for group in judged_groups(fresh, {budget.pk: rules[budget.pk] for budget in budgets}):
        if keys[group[0]] == group[1]:
            _add_to(sums[group[0]], group[2])
    stale = [row for row in rows.filter(good_until__lte=now) if keys[row.budget_id] == row.key]
    for period in present_periods(stale, rules, now):
        state = state_of(period.standing, rules[period.budget].thresholds, closed=False)
        standing = period.standing
        values = (standing.settled, standing.provisional, standing.held, standing.overrun)
        _add_to(sums[period.budget], (1, int(state == "exceeded"), int(state == "warning"), *values))
    found = {}
    for budget in budgets:
        rule = rules[budget.pk]
        span = span_of(rule.period, _instant(rule, now))
        found[budget.pk] = AllowancesStatus(keys[budget.pk], span.start, span.end, *sums[budget.pk])
    return found


def _add_to(sums: list[int], values: Sequence[int]) -> None:
    for place, value in enumerate(values):
        sums[place] += value


def budget_entities(
    budget: Budget,
    *,
    cursor: str | None = None,
    limit: int = 50,
    entity_id: str | None = None,
    now: datetime | None = None,
) -> EntitiesPage:
    """The allowances that have a period now, the latest opened first; ``entity_id`` leaves one of them."""
    moment = now or timezone.now()
    rule = rule_of(budget)
    rows = BudgetPeriod.objects.filter(budget=budget, key=_current_key(rule, moment)).select_related("entity")
    if not rule.period.is_rolling:
        rows = rows.filter(starts_at=span_of(rule.period, _instant(rule, moment)).start)
    if entity_id is not None:
        rows = rows.filter(entity__type=budget.entity_type, entity__key=entity_id)
    page = page_of(rows, _ENTITIES, limit, cursor)
    listed = period_statuses(budget, page.rows, now=moment)
    return EntitiesPage(listed, page.next, page.previous)


def period_statuses(
    budget: Budget, rows: Sequence[BudgetPeriod], *, now: datetime | None = None
) -> list[PeriodStatus]:
    """Period rows of one budget, with their entities, as they stand; past ones as they ended."""
    moment = now or timezone.now()
    rules = {budget.pk: rule_of(budget)}
    periods = present_periods(rows, rules, moment)
    crossings = _crossings(periods, rules, moment)
    return [
        status_of(
            period,
            rules[budget.pk],
            (row.entity.type, row.entity.key, row.entity.name),
            crossings.get(row.pk, ()),
            moment,
        )
        for row, period in zip(rows, periods, strict=True)
    ]


def budget_periods(budget: Budget, *, entity_id: str | None = None) -> QuerySet[BudgetPeriod]:
    """The history of a budget's periods with their entities, the latest first (see :func:`period_statuses`).

    Ordered by ``-starts_at``, ``-id``, which pages by keyset.
    """
    rows: QuerySet[BudgetPeriod] = BudgetPeriod.objects.filter(budget=budget).select_related("entity")
    if entity_id is not None:
        rows = rows.filter(entity__key=entity_id)
    return rows.order_by("-starts_at", "-id")


def budget_overruns(budget: Budget, *, entity_id: str | None = None) -> QuerySet[BudgetOverrun]:
    """The overruns of a budget with their periods and entities, the latest first."""
    rows: QuerySet[BudgetOverrun] = BudgetOverrun.objects.filter(period__budget=budget)
    if entity_id is not None:
        rows = rows.filter(period__entity__key=entity_id)
    return rows.select_related("period__entity").order_by("-id")


def budget_crossings(budget: Budget, *, entity_id: str | None = None) -> QuerySet[BudgetCrossing]:
    """The thresholds that were crossed, with their periods and entities, the latest first."""
    rows: QuerySet[BudgetCrossing] = BudgetCrossing.objects.filter(period__budget=budget)
    if entity_id is not None:
        rows = rows.filter(period__entity__key=entity_id)
    return rows.select_related("period__entity").order_by("-id")


def budget_overrides(budget: Budget) -> QuerySet[BudgetOverride]:
    """The overrides of a budget with who asked and who approved, the latest first."""
    rows: QuerySet[BudgetOverride] = BudgetOverride.objects.filter(budget=budget)
    return rows.select_related("entity", "requested_by", "approved_by").order_by("-id")


def get_override(override_id: UUID | str) -> BudgetOverride:
    """One override; :class:`NotFound` when there is none."""
    try:
        row: BudgetOverride = BudgetOverride.objects.select_related("budget", "entity").get(pk=override_id)
    except (BudgetOverride.DoesNotExist, ValidationError, ValueError):
        raise NotFound("not_found", "There is no such override.") from None
    return row
