"""Settling, releasing and expiring holds over HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from financial.models import BudgetPeriod, CostEvent, Hold
from financial.services.hold_expiry import expire_holds
from financial.tasks import expire_holds as expire_holds_task

from .conftest import COSTS, Api
from .hold_calls import HOLDS, PAID, errors, place
from .test_holds import make_budget, sums

pytestmark = pytest.mark.django_db


def test_settling_answers_with_the_hold_and_the_ledger_event(agent):
    budget = make_budget(10)
    # Of this month, as is the budget.
    moment = f"{timezone.now():%Y-%m-%dT%H:%M:%SZ}"
    placed = place(agent, provider="openai", model="gpt-4o", entities={"team": "emea"}, tags={"env": "prod"})
    told = {
        "usage": {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310}, "event_id": "run-7/llm-3",
        "source": "gateway", "occurred_at": moment, "run_id": "run-7", "tags": {"try": "2"},
    }  # fmt: skip
    response = agent.post(f"{placed['Location']}/settle", told)
    event = Api(["financial:read"]).get(f"{COSTS}/{CostEvent.objects.get().pk}").json()
    assert (response.status_code, response.json()) == (
        200,
        placed.json() | {"state": "settled", "event": event},
    )
    assert "Idempotent-Replayed" not in response
    named = (
        "source",
        "event_id",
        "occurred_at",
        "entity_id",
        "entities",
        "model",
        "amount",
        "run_id",
        "tags",
    )
    assert [event[name] for name in named] == [
        "gateway", "run-7/llm-3", moment, "bot", {"team": "emea"}, "gpt-4o", "0.0051", "run-7",
        {"env": "prod", "try": "2"},
    ]  # fmt: skip
    row = BudgetPeriod.objects.get(budget=budget)
    assert (row.settled, row.held) == (5_100_000, 0)
    again = agent.post(f"{placed['Location']}/settle", told)
    assert (again.status_code, again.json(), again["Idempotent-Replayed"]) == (200, response.json(), "true")
    assert agent.get(placed["Location"]).json() == response.json()
    assert (agent.get(HOLDS).json()["results"], CostEvent.objects.count()) == ([], 1)


def test_a_hold_ends_once(agent):
    budget = make_budget(10)
    settled, released = place(agent, "a")["Location"], place(agent, "b")["Location"]
    agent.post(f"{settled}/settle", {"amount": "2", "currency": "USD"})
    agent.post(f"{released}/release", None)
    assert sums(budget) == [(2, 0, 0, 0)]
    for path, told, code in (
        (f"{settled}/settle", {"amount": "3", "currency": "USD"}, "hold_settled"),
        (f"{settled}/release", None, "hold_settled"),
        (f"{released}/settle", PAID, "hold_released"),
    ):
        response = agent.post(path, told)
        assert (response.status_code, response.json()["code"]) == (409, code)
    again = agent.post(f"{released}/release", None)
    assert (again.status_code, again.json()["state"], again["Idempotent-Replayed"]) == (
        200,
        "released",
        "true",
    )
    assert (sums(budget), CostEvent.objects.count()) == ([(2, 0, 0, 0)], 1)


def test_an_expired_hold_is_settled_all_the_same(agent):
    budget = make_budget(10)
    path = place(agent, expires_in=1)["Location"]
    expire_holds(now=timezone.now() + timedelta(seconds=2))
    assert (agent.get(path).json()["state"], sums(budget)) == ("expired", [(0, 0, 0, 0)])
    assert agent.post(f"{path}/release", None).json()["state"] == "expired"
    response = agent.post(f"{path}/settle", {"amount": "12", "currency": "USD"})
    assert (response.status_code, response.json()["state"]) == (200, "settled")
    assert sums(budget) == [(12, 0, 0, 2)]
    refused = place(agent, "k-2", amount="0.01")
    assert (refused.status_code, refused.json()["remaining"]) == (402, "0.00")


def test_the_sweep_returns_the_money_of_expired_holds(agent):
    budget = make_budget(10)
    path = place(agent, expires_in=1)["Location"]
    place(agent, "k-2", amount="1")
    Hold.objects.filter(pk=path.rpartition("/")[2]).update(expires_at=timezone.now())
    expire_holds_task()
    assert (agent.get(path).json()["state"], sums(budget)) == ("expired", [(0, 0, 1, 0)])
    assert settings.CELERY_BEAT_SCHEDULE["expire-holds"] == {"task": expire_holds_task.name, "schedule": 30.0}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, [("/amount", "required")]),
        ({"amount": "2"}, [("/currency", "required")]),
        ({"amount": "-2", "currency": "USD"}, [("/amount", "negative")]),
        ({"amount": 2, "currency": "USD"}, [("/amount", "bad_value")]),
        ({"usage": {"input_tokens": 3}}, [("/provider", "required"), ("/model", "required")]),
        ({"usage": {"words": 3}}, [("/usage/words", "unknown_field")]),
        ({**PAID, "entity_id": "other"}, [("/entity_id", "unknown_field")]),
        ({**PAID, "occurred_at": "2026-11-02T10:00:00"}, [("/occurred_at", "bad_value")]),
        ({**PAID, "occurred_at": "2036-11-02T10:00:00Z"}, [("/occurred_at", "in_the_future")]),
        ({**PAID, "occurred_at": "1999-11-02T10:00:00Z"}, [("/occurred_at", "too_early")]),
        ({**PAID, "source": "reprice"}, [("/source", "reserved")]),
        ({**PAID, "currency": "EUR"}, [("/currency", "no_exchange_rate")]),
    ],
)  # fmt: skip
def test_a_settlement_that_cannot_be_recorded_leaves_the_hold(agent, told, expected):
    budget = make_budget(10)
    path = place(agent)["Location"]
    assert errors(agent.post(f"{path}/settle", told)) == expected
    assert (Hold.objects.get().state, sums(budget), CostEvent.objects.count()) == ("held", [(0, 0, 4, 0)], 0)


def test_an_event_id_that_stands_for_another_cost_is_a_conflict(agent, cost):
    path = place(agent)["Location"]
    agent.post(COSTS, cost())
    told = {"amount": "1", "currency": "USD", "source": "checkout-bot", "event_id": "run-7/llm-3"}
    response = agent.post(f"{path}/settle", told)
    assert (response.status_code, response.json()["code"], Hold.objects.get().state) == (
        409, "event_conflict", "held",
    )  # fmt: skip
