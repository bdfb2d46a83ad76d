"""Whose holds are whose over HTTP, lists of them, and what a hold costs the database."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.money import NANO
from financial.models import BudgetPeriod, Hold
from tests.common.callers import make_user

from .conftest import Api
from .hold_calls import HOLDS, body, key_with_owner, place
from .test_holds import make_budget, sums

pytestmark = pytest.mark.django_db


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
    # PostgreSQL takes the claim with what is asked after it in one message, and the writes of the ledger in one.
    expected = (10, 15 if connection.vendor == "postgresql" else 20)
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
