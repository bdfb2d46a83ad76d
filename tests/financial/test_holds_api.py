"""Holds over HTTP: exact answers, refusals that name what is wrong and change nothing, repeats."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.models import ApiKey, AuditEvent
from agent_factory_site.common.money import NANO
from agent_factory_site.common.services.api_keys import create_api_key
from financial.models import BudgetPeriod, CostEvent, Hold
from financial.services.hold_expiry import expire_holds
from financial.tasks import expire_holds as expire_holds_task
from tests.common.callers import make_user

from .conftest import COSTS, Api
from .test_holds import make_budget, sums

pytestmark = pytest.mark.django_db

HOLDS = "/api/v1/financial/holds"
PAID = {"amount": "2", "currency": "USD"}


@pytest.fixture
def agent(db: None) -> Api:
    """A program with nothing but the scope to send costs."""
    return Api(["ingest"])


def body(**changes: Any) -> dict[str, Any]:
    values = {"entity_type": "agent", "entity_id": "bot", "cost_type": "llm", "amount": "4"} | changes
    return {name: value for name, value in values.items() if value is not ...}


def place(api: Api, key: str = "k-1", **changes: Any) -> Any:
    return api.post(HOLDS, body(**changes), **{"Idempotency-Key": key})


def errors(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


def untouched(budget: Any) -> bool:
    return (
        not Hold.objects.exists() and not CostEvent.objects.exists() and sums(budget) in ([], [(0, 0, 0, 0)])
    )


def key_with_owner(user: Any, *scopes: str) -> Api:
    api = Api([*scopes])
    ApiKey.objects.filter(pk=ApiKey.objects.latest("id").pk).delete()
    _, api.key = create_api_key(name="owned", scopes=scopes, owner=user)
    return api


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


def test_settling_answers_with_the_hold_and_the_ledger_event(agent):
    budget = make_budget(10)
    placed = place(agent, provider="openai", model="gpt-4o", entities={"team": "emea"}, tags={"env": "prod"})
    told = {
        "usage": {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310}, "event_id": "run-7/llm-3",
        "source": "gateway", "occurred_at": "2026-11-02T10:11:12Z", "run_id": "run-7", "tags": {"try": "2"},
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
        "gateway", "run-7/llm-3", "2026-11-02T10:11:12Z", "bot", {"team": "emea"}, "gpt-4o", "0.0051", "run-7",
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


def test_a_hold_of_another_owner_does_not_exist(agent):
    budget = make_budget(10)
    path = place(agent)["Location"]
    stranger = Api(["ingest", "financial:write"])
    for response in (
        stranger.get(path),
        stranger.post(f"{path}/release", None),
        stranger.post(f"{path}/settle", {"amount": "1", "currency": "USD"}),
        agent.get(f"{HOLDS}/01a20507-76d6-7000-a0fa-0053e8e86ff9"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert (stranger.get(HOLDS).json()["results"], sums(budget)) == ([], [(0, 0, 4, 0)])
    keeper = Api(["financial:admin"])
    assert keeper.get(path).json()["state"] == "held"
    assert keeper.post(f"{path}/release", None).json()["state"] == "released"
    assert sums(budget) == [(0, 0, 0, 0)]


def test_the_keys_and_the_session_of_one_user_share_their_holds(client: Client):
    ada = make_user("ada", is_superuser=True)
    path = place(key_with_owner(ada, "ingest"))["Location"]
    assert Hold.objects.get().owner == f"user:{ada.pk}"
    assert key_with_owner(ada, "financial:read").get(path).status_code == 200
    assert key_with_owner(make_user("bob"), "financial:read").get(path).status_code == 404
    client.force_login(ada)
    assert [hold["id"] for hold in client.get(HOLDS).json()["results"]] == [path.rpartition("/")[2]]


@pytest.mark.parametrize("scopes", [["financial:read"], ["assign"], ["common:admin"]])
def test_reading_is_not_enough_to_place_or_end_holds(agent, scopes):
    budget = make_budget(10)
    path = place(agent)["Location"]
    events = AuditEvent.objects.count()
    denied = Api(scopes)
    for response in (
        place(denied, "k-2"),
        denied.post(f"{path}/release", None),
        denied.post(f"{path}/settle", {"amount": "1", "currency": "USD"}),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "missing_scope")
        assert response.json()["scopes"] == ["ingest", "financial:write"]
    nobody = Client().post(HOLDS, body(), content_type="application/json")
    assert nobody.status_code == 401
    assert (Hold.objects.get().state, sums(budget)) == ("held", [(0, 0, 4, 0)])
    # Making the key is all that was recorded.
    assert AuditEvent.objects.count() == events + 1


def test_open_holds_are_listed_in_pages_the_next_to_expire_first(agent):
    made = {
        seconds: place(agent, str(seconds), amount="1", expires_in=seconds).json()["id"]
        for seconds in (90, 30, 60)
    }
    first = agent.get(HOLDS, limit=2).json()
    assert [hold["id"] for hold in first["results"]] == [made[30], made[60]]
    second = agent.client.get(first["next"], headers={"X-API-Key": agent.key}).json()
    assert ([hold["id"] for hold in second["results"]], second["next"]) == ([made[90]], None)
    unknown = agent.get(HOLDS, state="held")
    assert (unknown.status_code, unknown.json()["errors"][0]["parameter"]) == (400, "state")


@pytest.mark.django_db(transaction=True)
def test_a_hold_and_its_settlement_take_a_fixed_number_of_statements():
    agent = Api(["ingest"])
    make_budget(100, "emea", "team")
    make_budget(100)

    def pair(key: str) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as placing:
            placed = place(agent, key, amount="1", entities={"team": "emea"})
        with CaptureQueriesContext(connection) as settling:
            agent.post(f"{placed['Location']}/settle", {"amount": "0.5", "currency": "USD"})
        return len(placing), len(settling)

    pair("first")
    # PostgreSQL takes the writes of the ledger in one message.
    expected = (10, 16 if connection.vendor == "postgresql" else 20)
    assert [pair("a"), pair("b")] == [expected, expected]


def test_the_document_says_that_the_key_is_required(client: Client, agent):
    document = client.get(
        "/api/schema", headers={"X-API-Key": agent.key, "Accept": "application/json"}
    ).json()
    operation = document["paths"][HOLDS]["post"]
    (header,) = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
    assert (header["in"], header["required"]) == ("header", True)
    assert set(operation["responses"]) >= {"201", "400", "402", "409", "422"}
    assert operation["responses"]["402"]["content"].keys() == {"application/problem+json"}


def test_sums_are_what_the_budget_rows_say(agent):
    budget = make_budget(10)
    path = place(agent, amount="4.000000001")["Location"]
    agent.post(f"{path}/settle", {"amount": "3.999999999", "currency": "USD"})
    row = BudgetPeriod.objects.get(budget=budget)
    assert (row.settled, row.held) == (4 * NANO - 1, 0)
