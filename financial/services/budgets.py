"""Creating, changing and archiving budgets.

Locks are taken in one order: the ledger's writers (where what counts changes), budgets by id, period rows by
budget, entity and start; the row of the revision comes with the write of the budget, which is why a change
writes that last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone as clock

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.periods import parse_zone
from agent_factory_site.common.selectors.entities import FLEET
from agent_factory_site.common.services.entities import resolve_entities
from financial.domain.budget_input import (
    DEFAULT_THRESHOLDS,
    EVERY,
    FLEET_TYPE,
    MAX_NAME,
    Schedule,
    currency_errors,
    day_begins,
    day_errors,
    enforcement_errors,
    entity_errors,
    parse_filters,
    parse_limit,
    parse_rollover,
    parse_schedule,
    parse_thresholds,
    text_errors,
)
from financial.domain.budget_rules import BudgetIndex, BudgetRule, Place, place_of, span_of
from financial.models import Budget, BudgetPeriod
from financial.selectors.budget_history import (
    NO_RATE,
    History,
    Slot,
    Spent,
    counted_differently,
    every_rule,
    rolled_up,
    rollups_can_tell,
)
from financial.selectors.budget_index import rule_of
from financial.selectors.budgets import get_budget

from .budget_opening import Wanted, open_periods, refresh_period
from .budget_periods import Cause, Traces, lock_periods
from .budget_posting import lock_ledger, post
from .price_overrides import KEEP, Keep

MAX_DEPTH: Final = 10
BATCH: Final = 500
FIXED: Final = ("entity_type", "entity_id", "currency", "period", "timezone", "filters", "starts_on")
"""What decides which costs count, and never changes."""


def create_budget(
    *,
    name: str,
    entity_type: str,
    entity_id: str | None = None,
    limit: object,
    currency: str,
    period: str,
    timezone: str = "UTC",
    enforcement: str = "soft",
    thresholds: Sequence[object] = DEFAULT_THRESHOLDS,
    rollover: str = "none",
    rollover_cap: object = None,
    filters: Mapping[str, object] | None = None,
    parent: UUID | str | None = None,
    starts_on: date | None = None,
    ends_on: date | None = None,
) -> Budget:
    """Set a budget, and count what was spent in its current period already, in the same transaction.

    ``entity_type`` ``"*"`` is the whole fleet, ``entity_id`` ``"*"`` gives every entity of the type an
    allowance of its own. ``limit`` and ``rollover_cap`` are decimal strings of ``currency``; ``thresholds``
    shares of the limit. Recording costs waits meanwhile on PostgreSQL, so that none is missed.

    Raises :class:`Invalid` with every bad field; :class:`Conflict` where costs would have to be read one by one
    that are archived.
    """
    errors = text_errors("/name", name, MAX_NAME) + entity_errors(entity_type, entity_id)
    errors += currency_errors(currency) + enforcement_errors(enforcement)
    amount = parse_limit(limit, errors)
    shares = parse_thresholds(thresholds, errors)
    cap = parse_rollover(rollover, rollover_cap, errors)
    schedule = parse_schedule(period, timezone, rollover, starts_on, ends_on, errors)
    wanted = parse_filters(filters, errors)
    now = clock.now()
    if schedule is not None and ends_on is not None and ends_on < _today(schedule, now):
        errors.append(FieldError("/ends_on", "in_the_past", "Lies in the past."))
    if errors or schedule is None:
        raise Invalid.fields(*errors)
    fleet = resolve_entities([FLEET])[FLEET]
    number: int | None = fleet
    if entity_type != FLEET_TYPE:
        owner = (entity_type, str(entity_id))
        number = None if entity_id == EVERY else resolve_entities([owner])[owner]

    def store() -> Budget:
        with transaction.atomic():
            lock_ledger()
            now = clock.now()
            above = _ancestors(parent, currency, amount)
            budget = Budget(
                name=name.strip(),
                entity_type=entity_type,
                entity_id=number,
                limit=amount,
                currency=currency,
                period=period,
                timezone=timezone,
                enforcement=enforcement,
                thresholds=[_plain(share) for share in shares],
                rollover=rollover,
                rollover_cap=cap,
                filters=wanted,
                parent=above[0] if above else None,
                starts_on=starts_on,
                ends_on=ends_on,
                counts_from=_counts_from(schedule, now),
            )
            before = every_rule()
            rule = rule_of(budget, tuple(before.rules[each.pk] for each in above))
            history = _history(before, rule, fleet, now)
            budget.save(force_insert=True)
            post(history.slots, now)
        return budget

    return retry_conflicts(store)


def _today(schedule: Schedule, now: datetime) -> date:
    return now.astimezone(schedule.rule.zone).date()


def _counts_from(schedule: Schedule, now: datetime) -> datetime:
    start = span_of(schedule.rule, now).start
    if schedule.starts_on is None:
        return start
    return max(start, day_begins(schedule.starts_on, schedule.rule.zone))


def _plain(share: Decimal) -> float | int:
    return int(share) if share == share.to_integral_value() else float(share)


def _ancestors(parent: UUID | str | None, currency: str, limit: int) -> list[Budget]:
    """The budgets above, nearest first, locked; :class:`Invalid` where the first cannot be a parent."""
    if parent is None:
        return []
    row = get_budget(parent, pointer="/parent")
    if row.archived_at is not None:
        raise Invalid.field_error("/parent", "archived", "This budget is archived.")
    if row.entity_id is None:
        raise Invalid.field_error(
            "/parent", "not_one_entity", "A parent is the budget of one entity or of the whole fleet."
        )
    if row.currency != currency:
        raise Invalid.field_error("/parent", "other_currency", f"The parent is in {row.currency}.")
    ids = [row.pk]
    while row.parent is not None:
        row = row.parent
        ids.append(row.pk)
    if len(ids) >= MAX_DEPTH:
        raise Invalid.field_error(
            "/parent", "too_deep", f"At most {MAX_DEPTH} budgets stand above each other."
        )
    locked = _lock(ids)
    nearest = locked[ids[0]]
    if nearest.archived_at is not None:
        raise Invalid.field_error("/parent", "archived", "This budget is archived.")
    if limit > nearest.limit:
        raise _above_parent()
    return [locked[pk] for pk in ids]


def _above_parent() -> Invalid:
    return Invalid.field_error("/limit", "above_parent", "Is more than the limit of its parent.")


def _lock(ids: Collection[UUID]) -> dict[UUID, Budget]:
    rows = Budget.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    return {row.pk: row for row in rows}


def _history(before: BudgetIndex, rule: BudgetRule, fleet: int, now: datetime) -> History:
    """What the new ``rule``, and through it the budgets above, count of the ledger as it is."""
    # The budget of the fleet sees everything itself; another one gets to know its child's costs.
    through = [parent for parent in rule.parents if parent.entity != fleet]
    if rollups_can_tell(rule) and not through:
        history = rolled_up(rule, now)
    else:
        entity = rule.entity if rule.entity != fleet else None
        after = BudgetIndex([*before.rules.values(), rule])
        history = counted_differently(before, after, entity=entity, since=rule.counts_from)
        _refuse_missing(history)
    if rule.entity is not None and rule.counts_from <= now:
        place = place_of(rule.period, now)
        if not any(slot.rule is rule and _same_row(slot.place, place) for slot in history.slots):
            history.slots[Slot(rule, rule.entity, place)] = Spent(now)
    return history


def _same_row(one: Place, other: Place) -> bool:
    return one.key == other.key


def _refuse_missing(history: History) -> None:
    if not history.missing:
        return
    currency, day = min(history.missing, key=lambda each: (each[1], each[0]))
    raise Invalid.field_error(
        "/currency",
        NO_RATE,
        f"There is no {currency} to {settings.BASE_CURRENCY} rate for {day}, when costs were recorded that "
        "this budget counts.",
    )


def change_budget(
    *,
    budget_id: UUID | str,
    check: Callable[[Budget], None] | None = None,
    name: str | Keep = KEEP,
    limit: object = KEEP,
    enforcement: str | Keep = KEEP,
    thresholds: Sequence[object] | Keep = KEEP,
    rollover: str | Keep = KEEP,
    rollover_cap: object = KEEP,
    ends_on: date | None | Keep = KEEP,
    parent: UUID | str | None | Keep = KEEP,
    fixed: Collection[str] = (),
) -> Budget:
    """Change what is named; present and future periods move with the limit, past ones keep theirs.

    What decides which costs count never changes: ``fixed`` names such fields that somebody asked to change,
    and another ``parent`` is refused too, since costs count into it through its children. A period that has
    more spent and held than its new limit gets an overrun row. ``check`` is called with the locked row, and
    may raise to refuse. Raises :class:`Invalid` with every bad field, :class:`Conflict` for an archived or
    ended budget.
    """

    def store() -> Budget:
        with transaction.atomic():
            if ends_on is not KEEP:
                lock_ledger()
            found = get_budget(budget_id)
            locked = _lock([pk for pk in (found.pk, found.parent_id) if pk is not None])
            budget = locked[found.pk]
            if check is not None:
                check(budget)
            if budget.archived_at is not None:
                raise Conflict("archived", "This budget is archived.")
            now = clock.now()
            old = rule_of(budget)
            errors = [
                FieldError(f"/{field}", "fixed", "Never changes: archive this budget and create another.")
                for field in fixed
            ]
            errors += _parent_errors(budget, parent)
            changes = _changes(
                budget, name, limit, enforcement, thresholds, rollover, rollover_cap, ends_on, now, errors
            )
            _check_family(budget, locked.get(budget.parent_id) if budget.parent_id else None, changes, errors)
            if errors:
                raise Invalid.fields(*errors)
            changes = {field: value for field, value in changes.items() if getattr(budget, field) != value}
            if changes:
                _carry_out(budget, old, changes, now)
        return budget

    return retry_conflicts(store)


def _parent_errors(budget: Budget, parent: UUID | str | None | Keep) -> list[FieldError]:
    if parent is KEEP or str(parent or "") == str(budget.parent_id or ""):
        return []
    above = get_budget(parent, pointer="/parent") if parent else None
    while above is not None:
        if above.pk == budget.pk:
            return [FieldError("/parent", "circle", "A budget cannot stand above itself.")]
        above = above.parent
    return [FieldError("/parent", "fixed", "Never changes: archive this budget and create another.")]


def _changes(
    budget: Budget,
    name: str | Keep,
    limit: object,
    enforcement: str | Keep,
    thresholds: Sequence[object] | Keep,
    rollover: str | Keep,
    rollover_cap: object,
    ends_on: date | None | Keep,
    now: datetime,
    errors: list[FieldError],
) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if name is not KEEP:
        errors += text_errors("/name", name, MAX_NAME)
        changes["name"] = str(name).strip()
    if limit is not KEEP:
        changes["limit"] = parse_limit(limit, errors)
    if enforcement is not KEEP:
        errors += enforcement_errors(enforcement)
        changes["enforcement"] = enforcement
    if thresholds is not KEEP:
        changes["thresholds"] = [_plain(share) for share in parse_thresholds(thresholds, errors)]
    if rollover is not KEEP or rollover_cap is not KEEP:
        changes.update(_rollover(budget, rollover, rollover_cap, errors))
    if ends_on is not KEEP and ends_on != budget.ends_on:
        errors += day_errors("/ends_on", ends_on)
        today = now.astimezone(parse_zone(budget.timezone)).date()
        if budget.ends_on is not None and budget.ends_on < today:
            raise Conflict("ended", "This budget has ended: create another.")
        if ends_on is not None and ends_on < max(today, budget.starts_on or today):
            errors.append(FieldError("/ends_on", "in_the_past", "Lies in the past, or before starts_on."))
        changes["ends_on"] = ends_on
    return changes


def _rollover(
    budget: Budget, rollover: str | Keep, rollover_cap: object, errors: list[FieldError]
) -> dict[str, Any]:
    kind: object = budget.rollover if rollover is KEEP else rollover
    if rollover_cap is KEEP and kind == "capped" and budget.rollover_cap is not None:
        cap: int | None = budget.rollover_cap
    else:
        cap = parse_rollover(kind, None if rollover_cap is KEEP else rollover_cap, errors)
    parse_schedule(budget.period, budget.timezone, kind, None, None, errors)
    return {"rollover": kind, "rollover_cap": cap}


def _check_family(
    budget: Budget, parent: Budget | None, changes: Mapping[str, Any], errors: list[FieldError]
) -> None:
    limit = changes.get("limit", budget.limit)
    if limit == budget.limit or any(error.pointer == "/limit" for error in errors):
        return
    if parent is not None and limit > parent.limit:
        errors.extend(_above_parent().errors)
    children = Budget.objects.filter(parent=budget, archived_at=None, limit__gt=limit)
    if child := children.order_by("-limit").first():
        errors.append(FieldError("/limit", "below_child", f"Is less than the limit of {child.name}."))


def _carry_out(budget: Budget, old: BudgetRule, changes: Mapping[str, Any], now: datetime) -> None:
    for field, value in changes.items():
        setattr(budget, field, value)
    new = rule_of(budget)
    if old.rollover != "none" and {"limit", "rollover", "rollover_cap"} & set(changes):
        _open_past(old, now)
    recount = _recount(budget, old, new) if "ends_on" in changes else None
    if {"limit", "enforcement", "thresholds", "rollover", "rollover_cap"} & set(changes):
        _move_periods(new, now)
    if recount is not None:
        post(recount.slots, now)
    budget.save(update_fields=sorted(changes))


def _open_past(rule: BudgetRule, now: datetime) -> None:
    """Give every allowance a row for the period before the current one, by the limit it had then."""
    current = span_of(rule.period, now).start
    if current <= rule.counts_from:
        return
    instant = current - timedelta(microseconds=1)
    place = place_of(rule.period, instant)
    entities = BudgetPeriod.objects.filter(budget=rule.id).values_list("entity_id", flat=True).distinct()
    open_periods([Wanted(rule, entity, place, instant) for entity in sorted(entities)], now)


def _move_periods(rule: BudgetRule, now: datetime) -> None:
    """Bring the rows of the present and future periods to the limit of ``rule``."""
    rows = BudgetPeriod.objects.filter(budget=rule.id).exclude(ends_at__lte=now)
    if rule.period.is_rolling:
        rows = BudgetPeriod.objects.filter(budget=rule.id)
    ids = list(rows.order_by("entity_id", "starts_at").values_list("pk", flat=True))
    for first in range(0, len(ids), BATCH):
        traces = Traces(now)
        locked = lock_periods(ids[first : first + BATCH], now)
        for row in locked:
            refresh_period(row, rule, traces, cause=Cause.LIMIT_LOWERED)
        traces.write({row.id: rule for row in locked})


def _recount(budget: Budget, old: BudgetRule, new: BudgetRule) -> History:
    """What another end makes of costs that are in the ledger with later times than now."""
    ends = [end for end in (old.counts_until, new.counts_until) if end is not None]
    # Costs of other entities count into it through its children.
    alone = not Budget.objects.filter(parent=budget).exists() and budget.entity_type != FLEET_TYPE
    history = counted_differently(
        every_rule(), every_rule(budget), entity=old.entity if alone else None, since=min(ends)
    )
    _refuse_missing(history)
    return history


def archive_budget(*, budget_id: UUID | str, check: Callable[[Budget], None] | None = None) -> Budget:
    """Take a budget out of use from now on; a repeat changes nothing.

    It refuses no hold any more, and its live holds end as they would have. Costs of the time before still
    land in it, however late they arrive.
    """

    def store() -> Budget:
        with transaction.atomic():
            lock_ledger()
            budget = _lock([get_budget(budget_id).pk])[get_budget(budget_id).pk]
            if check is not None:
                check(budget)
            if budget.archived_at is None:
                now = clock.now().astimezone(UTC)
                old = rule_of(budget)
                budget.archived_at = now
                post(_recount(budget, old, rule_of(budget)).slots, now)
                budget.save(update_fields=["archived_at"])
        return budget

    return retry_conflicts(store)
