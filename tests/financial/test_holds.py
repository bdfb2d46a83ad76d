"""Holds: money set aside in every budget it counts into, or in none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from agent_factory_site.common.errors import Conflict, Invalid, KeyReused, NotFound, PaymentRequired
from agent_factory_site.common.money import NANO
from agent_factory_site.common.services.entities import resolve_entities
from financial.domain.cost_input import UsageInput, read_cost
from financial.models import (
    Budget,
    BudgetCrossing,
    BudgetOverrun,
    BudgetPeriod,
    BudgetRevision,
    CostEvent,
    Hold,
)
from financial.services.hold_expiry import expire_holds
from financial.services.hold_settling import Settling, release_hold, settle_hold
from financial.services.holds import HoldRequest, place_hold
from financial.services.record_costs import record_costs


def make_budget(limit, key="bot", kind="agent", **given):
    from agent_factory_site.common.ids import uuid7

    entity = None if key == "*" and kind != "*" else resolve_entities([(kind, key)])[kind, key]
    now = timezone.now()
    values = {
        "name": f"{kind} {key}",
        "entity_type": kind,
        "entity_id": entity,
        "limit": limit * NANO,
        "currency": "USD",
        "period": "month",
        "enforcement": "hard",
        "thresholds": [0.8, 1.0],
        "counts_from": datetime(now.year, now.month, 1, tzinfo=UTC),
    }
    budget = Budget.objects.create(**values | given)
    BudgetRevision.objects.update_or_create(id=1, defaults={"token": uuid7()})
    return budget


def request(amount=1, **given):
    values = {
        "owner": "api_key:1",
        "entity": ("agent", "bot"),
        "amount": amount * NANO,
        "currency": "USD",
        "cost_type": "llm",
    }
    return HoldRequest(**values | given)


def sums(budget):
    return [
        (row.settled // NANO, row.provisional // NANO, row.held // NANO, row.overrun // NANO)
        for row in BudgetPeriod.objects.filter(budget=budget).order_by("starts_at")
    ]


@pytest.mark.django_db
def test_a_hold_is_admitted_up_to_the_limit_and_refused_beyond_it():
    budget = make_budget(10)
    place_hold(request=request(7))
    with pytest.raises(PaymentRequired) as refused:
        place_hold(request=request(4))
    assert refused.value.code == "budget_exceeded"
    assert refused.value.extensions["budget"]["id"] == str(budget.pk)
    assert refused.value.extensions["remaining"] == "3.00"
    place_hold(request=request(3))
    assert sums(budget) == [(0, 0, 10, 0)]
    assert Hold.objects.count() == 2


@pytest.mark.django_db
def test_a_refusal_by_one_budget_leaves_the_others_untouched():
    wide, narrow = make_budget(100, "team-a", "team"), make_budget(5)
    with pytest.raises(PaymentRequired) as refused:
        place_hold(request=request(6, entities={"team": "team-a"}))
    assert refused.value.extensions["budget"]["id"] == str(narrow.pk)
    assert sums(wide) == [(0, 0, 0, 0)]
    assert Hold.objects.count() == 0


@pytest.mark.django_db
def test_settling_returns_the_rest_and_a_repeat_changes_nothing():
    budget = make_budget(10)
    placed = place_hold(request=request(5))
    settling = Settling(amount="2", currency="USD")
    ended = settle_hold(hold_id=placed.hold.id, owner="api_key:1", settling=settling)
    assert sums(budget) == [(2, 0, 0, 0)]
    again = settle_hold(hold_id=placed.hold.id, owner="api_key:1", settling=settling)
    assert (again.event, again.replayed) == (ended.event, True)
    assert CostEvent.objects.get().id == ended.event
    with pytest.raises(Conflict, match="something else"):
        settle_hold(hold_id=placed.hold.id, owner="api_key:1", settling=Settling(amount="3", currency="USD"))
    with pytest.raises(Conflict, match="was settled"):
        release_hold(hold_id=placed.hold.id, owner="api_key:1")
    assert sums(budget) == [(2, 0, 0, 0)]


@pytest.mark.django_db
def test_a_cost_above_its_hold_is_recorded_in_full_with_its_overrun():
    budget = make_budget(10)
    placed = place_hold(request=request(10))
    ended = settle_hold(hold_id=placed.hold.id, owner=None, settling=Settling(amount="12", currency="USD"))
    assert sums(budget) == [(12, 0, 0, 2)]
    overrun = BudgetOverrun.objects.get()
    assert (overrun.cause, overrun.amount, overrun.event, overrun.hold) == (
        "above_hold",
        2 * NANO,
        ended.event,
        placed.hold.id,
    )
    assert [float(each.threshold) for each in BudgetCrossing.objects.order_by("threshold")] == [0.8, 1.0]
    with pytest.raises(PaymentRequired):
        place_hold(request=request(1))


@pytest.mark.django_db
def test_released_and_expired_holds_return_their_money_once():
    budget = make_budget(10)
    released = place_hold(request=request(4)).hold
    expired = place_hold(request=request(6, expires_in=1)).hold
    release_hold(hold_id=released.id, owner=None)
    assert release_hold(hold_id=released.id, owner=None).replayed is True
    with pytest.raises(Conflict, match="was released"):
        settle_hold(hold_id=released.id, owner=None, settling=Settling(amount="1", currency="USD"))
    later = timezone.now() + timedelta(seconds=2)
    assert (expire_holds(now=later), expire_holds(now=later)) == (1, 0)
    assert sums(budget) == [(0, 0, 0, 0)]
    settle_hold(hold_id=expired.id, owner=None, settling=Settling(amount="11", currency="USD"))
    assert sums(budget) == [(11, 0, 0, 1)]
    assert BudgetOverrun.objects.get().cause == "without_hold"


@pytest.mark.django_db
def test_nobody_is_refused_for_money_that_an_expired_hold_keeps():
    make_budget(10)
    place_hold(request=request(10, expires_in=-1))
    place_hold(request=request(10))
    assert sorted(Hold.objects.values_list("state", flat=True)) == ["expired", "held"]


@pytest.mark.django_db
def test_an_unpriced_success_keeps_its_held_amount():
    budget = make_budget(10)
    placed = place_hold(request=request(4, provider="nobody", model="unheard-of"))
    settle_hold(
        hold_id=placed.hold.id,
        owner=None,
        settling=Settling(usage=UsageInput(input_tokens=10, output_tokens=2)),
    )
    assert sums(budget) == [(4, 4, 0, 0)]


@pytest.mark.django_db
def test_the_same_request_places_one_hold():
    budget = make_budget(10)
    first = place_hold(request=request(4, idempotency_key="k", fingerprint="a"))
    second = place_hold(request=request(4, idempotency_key="k", fingerprint="a"))
    assert (second.hold.id, second.replayed) == (first.hold.id, True)
    assert [part.amount for part in second.parts] == [4 * NANO]
    with pytest.raises(KeyReused):
        place_hold(request=request(5, idempotency_key="k", fingerprint="b"))
    place_hold(request=request(1, idempotency_key="k", fingerprint="b", owner="api_key:2"))
    assert sums(budget) == [(0, 0, 5, 0)]


@pytest.mark.django_db
def test_a_hold_of_somebody_else_is_not_found():
    placed = place_hold(request=request(1))
    with pytest.raises(NotFound):
        release_hold(hold_id=placed.hold.id, owner="api_key:2")
    with pytest.raises(NotFound):
        settle_hold(hold_id=placed.hold.id, owner="api_key:2", settling=Settling(amount="1", currency="USD"))
    assert Hold.objects.get().state == "held"


@pytest.mark.django_db
def test_nobody_forestalls_the_settlement_of_a_hold():
    mine, other = place_hold(request=request(1)).hold, place_hold(request=request(1)).hold
    cost = {
        "source": "hold", "event_id": str(other.id), "occurred_at": timezone.now().isoformat(),
        "entity_type": "agent", "entity_id": "bot", "cost_type": "llm", "amount": "1", "currency": "USD",
    }  # fmt: skip
    (error,) = record_costs(costs=[read_cost(cost)]).rejected[0]
    assert (error.pointer, error.code) == ("/source", "reserved")
    with pytest.raises(Invalid) as refused:
        settle_hold(
            hold_id=mine.id,
            owner=None,
            settling=Settling(amount="1", currency="USD", event_id=str(other.id).upper()),
        )
    assert [(each.pointer, each.code) for each in refused.value.errors] == [("/event_id", "reserved")]
    with pytest.raises(Invalid) as refused:
        settle_hold(
            hold_id=mine.id, owner=None, settling=Settling(amount="1", currency="USD", source="reprice")
        )
    assert [(each.pointer, each.code) for each in refused.value.errors] == [("/source", "reserved")]
    for hold in (mine, other):
        settle_hold(hold_id=hold.id, owner=None, settling=Settling(amount="1", currency="USD"))
    assert sorted(CostEvent.objects.values_list("event_id", flat=True)) == sorted(
        [str(mine.id), str(other.id)]
    )
