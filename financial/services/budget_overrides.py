"""Overrides: more money for a budget until a moment, which one person asks for and another approves."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, Forbidden, Invalid, NotFound
from agent_factory_site.common.models import ApiKey
from agent_factory_site.common.selectors.entities import find_entities
from financial.domain.budget_input import MAX_REASON, MOST, parse_limit, text_errors, until_errors
from financial.models import Budget, BudgetOverride, BudgetPeriod
from financial.selectors.budget_index import rule_of
from financial.selectors.budget_limits import active_overrides
from financial.selectors.budgets import get_budget

from .budget_opening import refresh_due, refresh_period
from .budget_periods import Cause, Traces, lock_periods

DUE: Final = 1000


def acting_person() -> int | None:
    """The number of the user who acts, in person or by a key of theirs; None where it is nobody."""
    actor = current_actor()
    if actor.kind == "user":
        return int(actor.id)
    if actor.kind == "api_key":
        owner: int | None = ApiKey.objects.values_list("owner_id", flat=True).get(pk=actor.id)
        return owner
    return None


def request_override(
    *,
    budget_id: UUID | str,
    amount: object,
    until: datetime,
    reason: str,
    entity_id: str | None = None,
) -> BudgetOverride:
    """Ask for ``amount`` (a decimal string of the budget's currency) more until ``until``.

    ``entity_id`` names whose allowance is to be raised where every entity of a type has one; without it
    all of them are. Raises :class:`Invalid` with every bad field, :class:`Conflict` for an archived or ended
    budget.
    """
    now = timezone.now()
    budget = get_budget(budget_id)
    errors = text_errors("/reason", reason, MAX_REASON) + until_errors(until, now)
    nano = parse_limit(amount, errors, "/amount", least=1)
    if errors:
        raise Invalid.fields(*errors)
    _refuse_closed(budget, now)
    return _request(budget, nano, until, reason, _entity_of(budget, entity_id))


def _request(budget: Budget, amount: int, until: datetime, reason: str, entity: int | None) -> BudgetOverride:
    override: BudgetOverride = BudgetOverride.objects.create(
        budget=budget,
        entity_id=entity,
        amount=amount,
        until=until,
        reason=reason.strip(),
        requested_by_id=acting_person(),
        requested_as=str(current_actor()),
    )
    return override


def _entity_of(budget: Budget, entity_id: str | None) -> int | None:
    if entity_id is None:
        return None
    if budget.entity is not None:
        if budget.entity.key != entity_id:
            raise Invalid.field_error("/entity_id", "other_entity", "The budget is another entity's.")
        return None
    name = (budget.entity_type, entity_id)
    number = find_entities([name]).get(name)
    if number is None:
        raise Invalid.field_error("/entity_id", "unknown_entity", f"No such {budget.entity_type} is known.")
    return number


def _refuse_closed(budget: Budget, now: datetime) -> None:
    until = rule_of(budget).counts_until
    if until is not None and until <= now:
        raise Conflict("closed", "This budget is archived or has ended.")


def approve_override(*, override_id: UUID | str) -> BudgetOverride:
    """Approve what another person asked for, and raise the current periods at once.

    A key acts for its owner; one without an owner is nobody, and nobody approves. Raises
    :class:`Forbidden` for the person who asked, :class:`Conflict` for an override that is approved,
    withdrawn or over.
    """
    person = acting_person()
    if person is None:
        raise Forbidden("no_person", "Only a person may approve an override, or a key that acts for one.")

    def store() -> BudgetOverride:
        with transaction.atomic():
            override, budget = _locked(override_id)
            now = timezone.now()
            if override.approved_at is not None:
                raise Conflict("approved", "This override is approved already.")
            _refuse_over(override, now)
            _refuse_closed(budget, now)
            if override.requested_by_id == person:
                raise Forbidden("same_person", "Another person than the one who asked has to approve it.")
            others = BudgetOverride.objects.filter(active_overrides(now), budget=budget)
            raised = others.aggregate(sum=Sum("amount"))["sum"] or 0
            if raised + override.amount > MOST:
                raise Conflict("too_much", "The overrides in force would pass 1000000000.")
            override.approved_at, override.approved_by_id = now, person
            override.save(update_fields=["approved_at", "approved_by"])
            _refresh(budget, override.entity_id, now, None)
        return override

    return retry_conflicts(store)


def withdraw_override(*, override_id: UUID | str) -> BudgetOverride:
    """Take back a request, or end an approved override now; what was spent of it becomes an overrun."""

    def store() -> BudgetOverride:
        with transaction.atomic():
            override, budget = _locked(override_id)
            now = timezone.now()
            _refuse_over(override, now)
            override.ended_at = now
            override.save(update_fields=["ended_at"])
            if override.approved_at is not None:
                _refresh(budget, override.entity_id, now, Cause.OVERRIDE_ENDED)
        return override

    return retry_conflicts(store)


def _locked(override_id: UUID | str) -> tuple[BudgetOverride, Budget]:
    """The override and its budget; the budget is locked first, and with it its overrides."""
    try:
        found: BudgetOverride = BudgetOverride.objects.get(pk=override_id)
    except (BudgetOverride.DoesNotExist, ValidationError, ValueError):
        raise NotFound("not_found", "There is no such override.") from None
    budget = Budget.objects.select_for_update().get(pk=found.budget_id)
    return BudgetOverride.objects.get(pk=found.pk), budget


def _refuse_over(override: BudgetOverride, now: datetime) -> None:
    if override.ended_at is not None or override.until <= now:
        raise Conflict("override_over", "This override is withdrawn or over.")


def _refresh(budget: Budget, entity: int | None, now: datetime, cause: Cause | None) -> None:
    rule = rule_of(budget)
    rows = BudgetPeriod.objects.filter(budget=budget)
    if not rule.period.is_rolling:
        rows = rows.exclude(ends_at__lte=now)
    if entity is not None:
        rows = rows.filter(entity=entity)
    traces = Traces(now)
    locked = lock_periods(rows.values_list("pk", flat=True), now)
    for row in locked:
        refresh_period(row, rule, traces, cause)
    traces.write({row.id: rule for row in locked})


def refresh_budgets(*, now: datetime | None = None) -> int:
    """Bring every period up to date whose override has ended or whose window has moved; how many there were.

    Periods are refreshed by whoever needs them first: this is for those that nobody asks for.
    """
    moment = now or timezone.now()
    done = refreshed = refresh_due(moment)
    while refreshed >= DUE:
        refreshed = refresh_due(moment)
        done += refreshed
    over = BudgetOverride.objects.filter(approved_at__isnull=False, ended_at=None, until__lte=moment)
    over.update(ended_at=F("until"))
    return done
