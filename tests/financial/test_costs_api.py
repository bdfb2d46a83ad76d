"""Sending costs over the API, and what comes back."""

from __future__ import annotations

import gzip
import json
from datetime import datetime

import pytest

from agent_factory_site.common.models import AuditEvent
from financial.models import CostAttribution, CostEvent, CostEventKey
from tests.financial.books import assert_books_agree

from .conftest import COSTS

pytestmark = pytest.mark.django_db


def stored() -> int:
    return CostEvent.objects.count()


def test_one_cost_is_priced_stored_and_answered(api, cost):
    answer = api.post(COSTS, cost())
    body = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"{COSTS}/{body['id']}"
    assert body["amount"] == body["base_amount"] == "0.0051"
    assert body["currency"] == "USD"
    assert body["unpriced"] is False
    assert body["parts"] == {
        "input_tokens": "0.001",
        "cache_read_tokens": "0.001",
        "output_tokens": "0.0031",
    }
    assert body["usage"] == {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310}
    assert body["entities"] == {"user": "u-17", "team": "emea", "experiment": "prompt-v2"}
    assert body["occurred_at"] == "2026-11-02T10:11:12.500000Z"
    assert body["price_version"]
    again = api.get(answer["Location"]).json()
    assert again == {**body, "net_amount": "0.0051", "corrections": []}
    assert_books_agree()


def test_a_repeat_answers_the_same_event_and_charges_nothing(api, cost):
    first = api.post(COSTS, cost())
    # The same moment in another zone and with defaults spelled out is the same content.
    again = api.post(
        COSTS,
        cost(
            occurred_at="2026-11-02T11:11:12.500+01:00",
            entities={"team": "emea", "experiment": "prompt-v2", "user": "u-17", "agent": "support-bot"},
            service_tier="standard",
        ),
    )
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert stored() == 1
    assert_books_agree()


@pytest.mark.parametrize(
    "change",
    [
        {"usage": {"input_tokens": 1201, "cache_read_tokens": 800, "output_tokens": 310}},
        {"occurred_at": "2026-11-02T10:11:12.6Z"},
        {"tags": {"env": "dev"}},
        {"run_id": "run-8"},
        {"entities": {}},
        {"amount": "1.00", "currency": "USD"},
    ],
)
def test_the_same_id_with_other_content_is_a_conflict(api, cost, change):
    api.post(COSTS, cost())
    answer = api.post(COSTS, cost(**change))
    assert answer.status_code == 409
    assert answer.json()["code"] == "event_conflict"
    assert answer["Content-Type"] == "application/problem+json"
    assert stored() == 1
    assert_books_agree()


def test_an_amount_is_taken_as_it_is(api, cost):
    answer = api.post(
        COSTS,
        cost(usage=..., provider=..., model=..., cost_type="tool", amount="0.000000001", currency="USD"),
    )
    body = answer.json()
    assert answer.status_code == 201
    assert (body["amount"], body["price_version"], body["provider"]) == ("0.000000001", None, None)


def test_an_unknown_model_is_unpriced_not_free(api, cost):
    body = api.post(COSTS, cost(model="home-made-7b")).json()
    assert body["unpriced"] is True
    assert body["amount"] is None
    assert body["usage"]["output_tokens"] == 310
    total = api.get(f"{COSTS}/agent/support-bot", start="2026-11-01", end="2026-12-01").json()["total"]
    assert (total["amount"], total["events"], total["unpriced"]) == ("0.00", 1, 1)
    assert total["usage"]["input_tokens"] == 1200


def test_a_batch_stores_the_good_and_lists_the_bad(api, cost):
    items = [
        cost(event_id="a"),
        cost(event_id="a"),
        cost(event_id="a", run_id="another"),
        cost(event_id="b", usage={"input_tokens": -1}),
        cost(event_id="c", colour="red", occurred_at="2026-11-02T10:11:12"),
        "not an object",
        cost(event_id="d"),
    ]
    answer = api.post(COSTS, items)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["accepted"], body["duplicates"], body["amount"]) == (2, 1, "0.0102")
    rejected = {
        item["index"]: {(e["pointer"], e["code"]) for e in item["errors"]} for item in body["rejected"]
    }
    assert rejected == {
        2: {("/event_id", "event_conflict")},
        3: {("/usage/input_tokens", "bad_value")},
        4: {("/colour", "unknown_field"), ("/occurred_at", "bad_value")},
        5: {("", "not_an_object")},
    }
    assert stored() == 2
    assert_books_agree()


def test_ndjson_and_gzip(api, cost):
    lines = b"\n".join(json.dumps(cost(event_id=str(n))).encode() for n in range(3)) + b"\n\n{broken\n"
    answer = api.post(
        COSTS, gzip.compress(lines), content_type="application/x-ndjson", **{"Content-Encoding": "gzip"}
    )
    assert answer.json()["accepted"] == 3
    assert [item["index"] for item in answer.json()["rejected"]] == [3]
    assert stored() == 3


def test_a_batch_is_one_audit_event(api, cost):
    before = AuditEvent.objects.filter(target_type="financial.CostEvent").count()
    api.post(COSTS, [cost(event_id=str(n)) for n in range(10)])
    events = AuditEvent.objects.filter(target_type="financial.CostEvent")
    assert events.count() == before + 1
    event = events.latest("at")
    assert (event.actor_kind, event.action) == ("api_key", "record")
    assert event.changes["events"] == 10
    assert event.changes["amount"] == "0.051"
    assert set(CostEvent.objects.values_list("audit_id", flat=True)) == {event.id}


BAD = [
    ({"usage": {"input_tokens": 10, "cache_read_tokens": 11}}, "/usage/input_tokens"),
    ({"usage": {"output_tokens": 10, "reasoning_tokens": 11}}, "/usage/output_tokens"),
    ({"usage": {"input_tokens": 1.5}}, "/usage/input_tokens"),
    ({"usage": {"input_tokens": "12"}}, "/usage/input_tokens"),
    ({"usage": {"input_tokens": True}}, "/usage/input_tokens"),
    ({"usage": {"input_tokens": 10**16}}, "/usage/input_tokens"),
    ({"usage": {"tokens": 1}}, "/usage/tokens"),
    ({"usage": [1]}, "/usage"),
    ({"usage": ...}, ""),
    ({"usage": {"output_tokens": 10**15}}, "/usage"),
    ({"model": ...}, "/model"),
    ({"provider": ""}, "/provider"),
    ({"source": ...}, "/source"),
    ({"source": " "}, "/source"),
    ({"source": "a\0b"}, "/source"),
    ({"event_id": "x" * 256}, "/event_id"),
    ({"event_id": 7}, "/event_id"),
    ({"occurred_at": "2026-11-02T10:11:12"}, "/occurred_at"),
    ({"occurred_at": "9999-12-31T23:59:59Z"}, "/occurred_at"),
    ({"occurred_at": "9999-12-31T23:59:59-01:00"}, "/occurred_at"),
    ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "/occurred_at"),
    ({"occurred_at": 1767225600}, "/occurred_at"),
    ({"cost_type": "magic"}, "/cost_type"),
    ({"entity_type": "*"}, "/entity_type"),
    ({"entities": {"agent": "another"}}, "/entities/agent"),
    ({"entities": ["a"]}, "/entities"),
    ({"entities": {"a/b~": 5}}, "/entities/a~1b~0"),
    ({"entities": {f"t{n}": "x" for n in range(21)}}, "/entities"),
    ({"tags": {f"t{n}": "x" for n in range(10_000)}}, "/tags"),
    ({"tags": {"k": "x" * 256}}, "/tags/k"),
    ({"tags": {"k": {"a": 1}}}, "/tags/k"),
    ({"amount": 1.5, "currency": "USD"}, "/amount"),
    ({"amount": "NaN", "currency": "USD"}, "/amount"),
    ({"amount": "Infinity", "currency": "USD"}, "/amount"),
    ({"amount": "1e400", "currency": "USD"}, "/amount"),
    ({"amount": "0." + "1" * 30, "currency": "USD"}, "/amount"),
    ({"amount": "-1.00", "currency": "USD"}, "/amount"),
    ({"amount": "1000000.000000001", "currency": "USD"}, "/amount"),
    ({"amount": "9" * 25, "currency": "USD"}, "/amount"),
    ({"amount": "1.00"}, "/currency"),
    ({"currency": "USD"}, "/amount"),
    ({"amount": "1.00", "currency": "XXQ"}, "/currency"),
    ({"amount": "1.00", "currency": "usd"}, "/currency"),
    ({"service_tier": "bathc"}, "/service_tier"),
]


@pytest.mark.parametrize(("change", "pointer"), BAD)
def test_bad_fields_are_named_and_nothing_is_stored(api, cost, change, pointer):
    answer = api.post(COSTS, cost(**change))
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert (stored(), CostEventKey.objects.count(), CostAttribution.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"source": NaN}', "application/json", 400),
        (b'{"usage": {"input_tokens": 1e400}}', "application/json", 400),
        (b'{"source": "\xff"}', "application/json", 400),
        (b'[{"source": "\xff"}]', "application/json", 400),
        (b" ", "application/json", 400),
        (b"[", "application/json", 400),
        (b"7", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        # Deeper than any Python reads: 3.11 gives up at 1,000, later ones at 10,000.
        (b"[" * 100_000 + b"]" * 100_000, "application/json", 400),
        (b'{"tags":' * 50_000, "application/json", 400),
        (b"source=a", "application/x-www-form-urlencoded", 415),
        (b"<cost/>", "text/xml", 415),
        (b"[" + b",".join([b"1"] * 10_001) + b"]", "application/json", 413),
        (b"1\n" * 10_001, "application/x-ndjson", 413),
        (b" " * (33 * 1024 * 1024), "application/json", 413),
    ],
)
def test_bad_bodies_are_refused_whole(api, body, kind, status):
    answer = api.post(COSTS, body, content_type=kind)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    assert stored() == 0


def test_a_gzip_bomb_is_refused(api):
    bomb = gzip.compress(b" " * (200 * 1024 * 1024))
    answer = api.post(COSTS, bomb, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert stored() == 0


def test_an_empty_batch_is_nothing(api):
    assert api.post(COSTS, []).json() == {
        "accepted": 0, "duplicates": 0, "rejected": [], "amount": "0.00", "currency": "USD",
    }  # fmt: skip


def test_zero_usage_of_a_failed_call_is_kept(api, cost):
    body = api.post(COSTS, cost(usage={"input_tokens": 0, "output_tokens": 0})).json()
    assert (body["amount"], body["unpriced"], body["usage"]) == ("0.00", False, {})


def test_the_list_pages_and_filters(api, cost):
    for n in range(7):
        api.post(COSTS, cost(event_id=f"e{n}", occurred_at=f"2026-11-02T10:00:0{n}Z", run_id=f"run-{n % 2}"))
    api.post(COSTS, cost(event_id="other", entity_id="other-bot", model="gpt-4o-mini", entities={}))
    first = api.get(COSTS, entity_type="agent", entity_id="support-bot", limit=3).json()
    assert [row["event_id"] for row in first["results"]] == ["e6", "e5", "e4"]
    second = api.client.get(first["next"], headers={"X-API-Key": api.key}).json()
    assert [row["event_id"] for row in second["results"]] == ["e3", "e2", "e1"]
    back = api.client.get(second["previous"], headers={"X-API-Key": api.key}).json()
    assert back["results"] == first["results"]

    def ids(**query):
        return [row["event_id"] for row in api.get(COSTS, **query).json()["results"]]

    assert ids(model="gpt-4o-mini") == ["other"]
    assert ids(entity_type="user", entity_id="u-17", run_id="run-1") == ["e5", "e3", "e1"]
    assert ids(source="checkout-bot", event_id="e2") == ["e2"]
    assert ids(start="2026-11-02T10:00:02Z", end="2026-11-02T10:00:04Z") == ["e3", "e2"]
    assert ids(entity_type="agent", entity_id="nobody") == []
    assert ids(unpriced="true") == []
    assert ids(cost_type="tool") == []


@pytest.mark.parametrize(
    "query",
    [
        {"entity_type": "agent"}, {"unpriced": "maybe"}, {"colour": "red"}, {"start": "yesterday"},
        {"start": "2026-11-03", "end": "2026-11-02"}, {"cursor": "x"}, {"limit": "0"}, {"tz": "Mars/Base"},
    ],
)  # fmt: skip
def test_bad_list_parameters_are_named(api, query):
    answer = api.get(COSTS, **query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["parameter"] in {*query, "entity_id", "end"}


def test_times_are_kept_to_the_microsecond(api, cost):
    api.post(COSTS, cost(occurred_at="2026-11-02T10:11:12.123456Z"))
    assert CostEvent.objects.get().occurred_at == datetime.fromisoformat("2026-11-02T10:11:12.123456+00:00")
