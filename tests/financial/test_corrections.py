"""Corrections and credits: new rows, never below zero, never twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction

from agent_factory_site.common.ids import uuid7
from financial.models import CostEvent, ExchangeRate
from financial.services.price_overrides import set_price_override
from financial.services.reprice import reprice
from tests.financial.books import assert_books_agree

from .child import finish, start
from .conftest import COSTS

pytestmark = pytest.mark.django_db
MONTH = {"start": "2026-11-01", "end": "2026-12-01"}


def correction(event: str, amount: str, **changes):
    body = {"source": "finance", "event_id": "c-1", "corrects": event, "amount": amount, "reason": "refund"}
    return {**body, **changes}


def total(api, path="agent/support-bot"):
    return api.get(f"{COSTS}/{path}", **MONTH).json()["total"]["amount"]


def test_a_correction_inherits_and_moves_every_sum(api, cost):
    event = api.post(COSTS, cost()).json()
    answer = api.post(COSTS, correction(event["id"], "-0.0012"))
    body = answer.json()
    assert answer.status_code == 201
    assert (body["kind"], body["corrects"], body["reason"]) == ("correction", event["id"], "refund")
    assert (body["amount"], body["usage"], body["parts"]) == ("-0.0012", {}, {})
    for name in (
        "occurred_at",
        "entity_type",
        "entity_id",
        "entities",
        "model",
        "run_id",
        "tags",
        "currency",
    ):
        assert body[name] == event[name]
    assert total(api) == total(api, "team/emea") == "0.0039"
    found = api.get(f"{COSTS}/{event['id']}").json()
    assert (found["amount"], found["net_amount"]) == ("0.0051", "0.0039")
    assert [(each["amount"], each["reason"]) for each in found["corrections"]] == [("-0.0012", "refund")]
    # A correction is not another event.
    assert api.get(f"{COSTS}/agent/support-bot", **MONTH).json()["total"]["events"] == 1
    assert_books_agree()


def test_a_repeated_correction_changes_nothing(api, cost):
    event = api.post(COSTS, cost()).json()
    first = api.post(COSTS, correction(event["id"], "-0.0051"))
    again = api.post(COSTS, correction(event["id"], "-0.0051"))
    other = api.post(COSTS, correction(event["id"], "-0.0050"))
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 409)
    assert again.json()["id"] == first.json()["id"]
    assert total(api) == "0.00"
    assert_books_agree()


def test_an_event_never_goes_below_zero(api, cost):
    event = api.post(COSTS, cost()).json()
    batch = [
        correction(event["id"], "-0.004", event_id="a"),
        correction(event["id"], "-0.002", event_id="b"),
        correction(event["id"], "0.001", event_id="c"),
        correction(event["id"], "-0.0021", event_id="d"),
    ]
    body = api.post(COSTS, batch).json()
    assert (body["accepted"], body["amount"]) == (3, "-0.0051")
    assert [(item["index"], item["errors"][0]["code"]) for item in body["rejected"]] == [(1, "below_zero")]
    assert total(api) == "0.00"
    assert_books_agree()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": "0.00"}, "zero"),
        ({"amount": -0.001}, "bad_value"),
        ({"amount": "-0.0000000001"}, "too_precise"),
        ({"reason": ""}, "blank"),
        ({"currency": "EUR"}, "other_currency"),
        ({"currency": "XXQ"}, "unknown_currency"),
        ({"corrects": "not-an-id"}, "bad_value"),
        ({"corrects": str(uuid7())}, "unknown_event"),
        ({"tags": {}}, "unknown_field"),
        ({"occurred_at": "2026-11-02T10:11:12Z"}, "unknown_field"),
    ],
)
def test_bad_corrections_are_refused_by_name(api, cost, change, code):
    event = api.post(COSTS, cost()).json()
    answer = api.post(COSTS, {**correction(event["id"], "-0.001"), **change})
    assert answer.status_code == 400
    assert [error["code"] for error in answer.json()["errors"]] == [code]
    assert CostEvent.objects.count() == 1


def test_a_correction_cannot_be_corrected_nor_a_credit(api, cost):
    event = api.post(COSTS, cost()).json()
    fix = api.post(COSTS, correction(event["id"], "-0.001")).json()
    credit = api.post(COSTS, credit_of("-1.00")).json()
    for target in (fix["id"], credit["id"]):
        answer = api.post(COSTS, correction(target, "0.001", event_id="again"))
        assert answer.json()["errors"][0]["code"] == "not_a_charge"


def credit_of(amount: str, **changes):
    body = {
        "kind": "credit", "source": "finance", "event_id": "credit-1", "occurred_at": "2026-11-05T00:00:00Z",
        "entity_type": "agent", "entity_id": "support-bot", "amount": amount, "currency": "USD",
        "reason": "goodwill",
    }  # fmt: skip
    return {**body, **changes}


def test_a_credit_is_a_negative_amount_of_its_own(api, cost):
    api.post(COSTS, cost())
    answer = api.post(COSTS, credit_of("-2.00"))
    body = answer.json()
    assert answer.status_code == 201
    assert (body["kind"], body["amount"], body["cost_type"]) == ("credit", "-2.00", "other")
    assert total(api) == "-1.9949"
    assert_books_agree()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"amount": "2.00"}, "/amount"),
        ({"amount": "0.00"}, "/amount"),
        ({"amount": "-1000001.00"}, "/amount"),
        ({"reason": None}, "/reason"),
        ({"currency": None}, "/currency"),
        ({"usage": {"input_tokens": 1}}, "/usage"),
        ({"kind": "gift"}, "/kind"),
        ({"kind": "charge", "cost_type": "other"}, "/amount"),
        ({"kind": "correction"}, "/kind"),
    ],
)
def test_bad_credits_are_refused_by_name(api, change, pointer):
    answer = api.post(COSTS, {**credit_of("-2.00"), **change})
    assert answer.status_code == 400
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert CostEvent.objects.count() == 0


def test_a_charge_has_no_reason(api, cost):
    assert api.post(COSTS, cost(reason="because")).json()["errors"][0]["pointer"] == "/reason"


def test_corrections_in_another_currency_keep_the_rate_of_their_charge(api, cost):
    ExchangeRate.objects.create(base="EUR", quote="USD", day="2026-11-02", rate=1_083_333_333_333)
    charge = cost(usage=..., provider=..., model=..., amount="0.10", currency="EUR", cost_type="tool")
    event = api.post(COSTS, charge).json()
    assert (event["amount"], event["currency"], event["base_amount"]) == ("0.10", "EUR", "0.108333333")
    # Thirds of the charge: each is rounded, and still they come to nothing together.
    for number, amount in enumerate(("-0.033333333", "-0.033333333", "-0.033333334")):
        api.post(COSTS, correction(event["id"], amount, event_id=str(number)))
    assert total(api) == "0.00"
    assert_books_agree()


def test_the_database_refuses_to_change_or_delete_ledger_rows(api, cost):
    api.post(COSTS, cost())
    for table in ("costevent", "costattribution", "costeventkey", "costseries"):
        for statement in (f"DELETE FROM financial_{table}", f"UPDATE financial_{table} SET {{}} = {{}}"):
            with connection.cursor() as cursor:
                column = {"costseries": "model", "costeventkey": "event", "costattribution": "event"}.get(
                    table, "amount"
                )
                with pytest.raises(IntegrityError), transaction.atomic():
                    cursor.execute(statement.format(column, column))
    assert total(api) == "0.0051"


@pytest.mark.django_db(transaction=True)
def test_racing_corrections_take_no_more_than_there_is(live_database, api, cost):
    event = api.post(COSTS, cost(usage=..., amount="1.00", currency="USD")).json()
    code = """
from financial.domain.cost_input import read_cost
from financial.services.record_costs import record_costs
print("ready", flush=True)
sys.stdin.readline()
me, event = sys.argv[1:]
admitted = 0
for n in range(10):
    item = read_cost({"source": "s", "event_id": f"{me}-{n}", "corrects": event, "amount": "-0.07", "reason": "r"})
    admitted += len(record_costs(costs=[item]).accepted)
print(admitted)
"""
    children = [start(code, live_database, str(n), event["id"]) for n in range(4)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    admitted = [json.loads(finish(child)) for child in children]
    assert sum(admitted) == 14
    assert total(api) == "0.02"
    assert_books_agree()


def test_nobody_can_send_under_the_source_of_repricing(api, cost):
    event = api.post(COSTS, cost(provider="vllm", model="house-model")).json()
    price = set_price_override(
        provider="vllm",
        model="house-model",
        rates={"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "2"}},
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    # The row that a repricing will book, claimed by somebody else.
    forged = correction(event["id"], "0.5", source="reprice", event_id=f"{event['id']}/{price.pk}")
    for body in (forged, cost(source="reprice"), credit_of("-2.00", source="reprice")):
        answer = api.post(COSTS, body)
        assert (answer.status_code, answer.json()["errors"]) == (
            400,
            [
                {
                    "pointer": "/source",
                    "code": "reserved",
                    "detail": '"reprice" is the source of what the system itself records: '
                    "send under another name.",
                }
            ],
        )
    assert CostEvent.objects.count() == 1
    assert reprice().newly_priced == 1
    assert total(api) == "0.00182"
    assert_books_agree()
