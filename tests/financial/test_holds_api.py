"""Placing holds over HTTP: exact answers, refusals that name what is wrong and change nothing, repeats."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agent_factory_site.common.models import ApiKey
from financial.models import Hold

from .conftest import Api
from .hold_calls import HOLDS, body, errors, place, untouched
from .test_holds import make_budget, sums

pytestmark = pytest.mark.django_db


def test_a_hold_is_answered_with_what_it_takes_of_every_budget(agent):
    team, bot = make_budget(100, "emea", "team", name="Team"), make_budget(10, name="Bot")
    before = timezone.now()
    response = place(agent, entities={"team": "emea"}, amount="4.5", expires_in=60, tags={"env": "prod"})
    assert response.status_code == 201
    hold = Hold.objects.get()
    assert before <= hold.created_at
    assert hold.expires_at == hold.created_at + timedelta(seconds=60)
    period = f"{hold.created_at:%Y-%m}"
    answer = {
        "id": str(hold.pk),
        "state": "held",
        "amount": "4.50",
        "currency": "USD",
        "created_at": hold.created_at.isoformat().replace("+00:00", "Z"),
        "expires_at": hold.expires_at.isoformat().replace("+00:00", "Z"),
        "budgets": [
            {"id": str(team.pk), "name": "Team", "period": period, "amount": "4.50", "currency": "USD"},
            {"id": str(bot.pk), "name": "Bot", "period": period, "amount": "4.50", "currency": "USD"},
        ],
        "event": None,
    }
    assert response.json() == answer
    assert response["Location"] == f"{HOLDS}/{hold.pk}"
    assert "Idempotent-Replayed" not in response
    assert agent.get(response["Location"]).json() == answer
    assert agent.get(HOLDS).json() == {"next": None, "previous": None, "results": [answer]}
    assert (hold.owner, hold.tags) == (f"api_key:{ApiKey.objects.get().pk}", {"env": "prod"})


def test_a_repeat_answers_the_same_and_holds_once(agent):
    budget = make_budget(10)
    first = place(agent)
    for _ in range(2):
        again = place(agent)
        assert (again.status_code, again.json(), again["Location"]) == (201, first.json(), first["Location"])
        assert again["Idempotent-Replayed"] == "true"
    assert sums(budget) == [(0, 0, 4, 0)]
    reused = place(agent, amount="5")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")
    other = place(Api(["ingest"]), amount="5")
    assert (other.status_code, sums(budget)) == (201, [(0, 0, 9, 0)])
    agent.post(f"{first['Location']}/release", None)
    assert (place(agent).json(), sums(budget)) == (first.json(), [(0, 0, 5, 0)])


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "idempotency_key_required"),
        ({"Idempotency-Key": ""}, "bad_idempotency_key"),
        ({"Idempotency-Key": "two words"}, "bad_idempotency_key"),
        ({"Idempotency-Key": "x" * 256}, "bad_idempotency_key"),
    ],
)
def test_a_hold_needs_a_key(agent, headers, code):
    budget = make_budget(10)
    response = agent.post(HOLDS, body(), **headers)
    assert (response.status_code, response.json()["code"], untouched(budget)) == (400, code, True)


def test_a_refusal_names_the_budget_what_is_left_of_it_and_when_it_renews(agent):
    make_budget(100, "emea", "team")
    budget = make_budget(10, name="Bot", period="year")
    place(agent, amount="7.25")
    response = place(agent, "k-2", amount="3", entities={"team": "emea"})
    assert (response.status_code, response["Content-Type"]) == (402, "application/problem+json")
    year = timezone.now().year
    document = response.json()
    assert document.pop("request_id")
    assert document == {
        "type": "about:blank",
        "title": "Payment Required",
        "status": 402,
        "code": "budget_exceeded",
        "detail": "Budget 'Bot' has 2.75 USD left of 10.00: 3.00 is more.",
        "instance": HOLDS,
        "budget": {"id": str(budget.pk), "name": "Bot", "entity_type": "agent", "entity_id": "bot"},
        "period": str(year),
        "limit": "10.00",
        "settled": "0.00",
        "held": "7.25",
        "remaining": "2.75",
        "requested": "3.00",
        "currency": "USD",
        "renews_at": f"{year + 1}-01-01T00:00:00Z",
    }
    assert Hold.objects.count() == 1
    # A refusal leaves the key free.
    assert place(agent, "k-2", amount="2.75").status_code == 201


def test_limit_zero_admits_nothing_but_nothing_and_an_amount_above_the_limit_is_refused(agent):
    make_budget(0)
    assert place(agent, "a", amount="0.000000001").json()["remaining"] == "0.00"
    assert place(agent, "b", amount="0").status_code == 201
    make_budget(5, "other")
    assert place(agent, "c", entity_id="other", amount="5.000000001").status_code == 402
    assert place(agent, "d", entity_id="other", amount="5").status_code == 201


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": ...}, [("/amount", "required")]),
        ({"amount": 4}, [("/amount", "bad_value")]),
        ({"amount": ""}, [("/amount", "not_an_amount")]),
        ({"amount": "-1"}, [("/amount", "negative")]),
        ({"amount": "0.0000000001"}, [("/amount", "too_precise")]),
        ({"amount": "9" * 25}, [("/amount", "too_large")]),
        ({"amount": "1e3"}, [("/amount", "not_an_amount")]),
        ({"currency": "XXQ"}, [("/currency", "unknown_currency")]),
        ({"currency": "EUR"}, [("/currency", "no_exchange_rate")]),
        ({"expires_in": 0}, [("/expires_in", "bad_value")]),
        ({"expires_in": 86401}, [("/expires_in", "bad_value")]),
        ({"expires_in": "60"}, [("/expires_in", "bad_value")]),
        ({"entity_type": ...}, [("/entity_type", "required")]),
        ({"entity_type": "*"}, [("/entity_type", "bad_value")]),
        ({"entity_id": " "}, [("/entity_id", "blank")]),
        ({"cost_type": "gold"}, [("/cost_type", "bad_value")]),
        ({"entities": {"team": ""}}, [("/entities/team", "bad_value")]),
        ({"entities": {"agent": "another"}}, [("/entities/agent", "contradiction")]),
        ({"tags": {"a/b": 5}}, [("/tags/a~1b", "bad_value")]),
        ({"tags": {str(n): "x" for n in range(51)}}, [("/tags", "too_many")]),
        ({"provider": "p" * 101}, [("/provider", "too_long")]),
        ({"colour": "red"}, [("/colour", "unknown_field")]),
        ({"usage": {"input_tokens": 5}}, [("/usage", "contradiction")]),
        ({"max_tokens": 5}, [("/max_tokens", "contradiction")]),
        (
            {"amount": ..., "usage": {"input_tokens": 5}},
            [("/provider", "required"), ("/model", "required")],
        ),
        (
            {"amount": ..., "max_tokens": 5, "provider": "openai", "model": "gpt-4o", "currency": "USD"},
            [("/currency", "contradiction")],
        ),
        (
            {"amount": ..., "usage": {"input_tokens": 5, "cache_read_tokens": 6}, "provider": "p", "model": "m"},
            [("/usage/input_tokens", "parts_exceed_whole")],
        ),
        (
            {"amount": ..., "usage": {"input_tokens": 5}, "provider": "nobody", "model": "unheard-of"},
            [("/usage", "unknown_model")],
        ),
        (
            {"amount": ..., "max_tokens": 10**15, "provider": "openai", "model": "gpt-4o"},
            [("/max_tokens", "too_large")],
        ),
        (
            {"amount": "-1", "tags": {" ": "x"}, "entity_id": ""},
            [("/entity_id", "blank"), ("/tags/ ", "blank"), ("/amount", "negative")],
        ),
    ],
)  # fmt: skip
def test_every_bad_field_is_named_and_nothing_is_held(agent, changes, expected):
    budget = make_budget(10)
    assert (errors(place(agent, **changes)), untouched(budget)) == (expected, True)


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_json"),
        (b" ", "application/json", 400, "malformed_json"),
        (b"[]", "application/json", 400, "invalid"),
        (b'{"entity_id": "\xff"}', "application/json", 400, "not_utf8"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "application/json; charset=latin-1", 415, "unsupported_charset"),
    ],
)
def test_a_body_that_is_no_hold(agent, content, kind, status, code):
    response = agent.post(HOLDS, content, content_type=kind, **{"Idempotency-Key": "k"})
    assert (response.status_code, response.json()["code"], Hold.objects.count()) == (status, code, 0)


def test_usage_holds_the_dearest_price_that_can_apply(agent):
    make_budget(10)
    told = {"amount": ..., "provider": "openai", "model": "gpt-4o"}
    # The priority tier: 4.25 USD of input and 17 USD of output per million tokens.
    usage = place(agent, "a", usage={"input_tokens": 1000}, max_tokens=1000, **told)
    assert (usage.json()["amount"], usage.json()["currency"]) == ("0.02125", "USD")
    assert place(agent, "b", max_tokens=1000, **told).json()["amount"] == "0.017"
