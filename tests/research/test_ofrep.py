"""The OpenFeature remote evaluation protocol: answers, errors, exposures, permissions, bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.errors import Conflict
from agent_factory_site.common.models import ApiKey, AuditEvent
from agent_factory_site.common.services.api_keys import create_api_key
from research.models import Assignment
from research.services.flags import archive_flag, change_flag, create_flag
from research.services.lifecycle import pause_experiment

from .experiment_setup import draft, running

pytestmark = pytest.mark.django_db
FLAGS = "/ofrep/v1/evaluate/flags"
SHARES = [{"variant": "on", "weight": 0.5}, {"variant": "off", "weight": 0.5}]
Ask = Callable[..., Any]


@pytest.fixture
def ask() -> Ask:
    """Posts a context, or a body as it is, for one flag or for all."""
    _, secret = create_api_key(name="tests", scopes=["assign"])
    client = Client(raise_request_exception=False)

    def post(key: str = "", context: Any = None, body: bytes | None = None, **headers: str) -> Any:
        sent = json.dumps({"context": context or {}}).encode() if body is None else body
        kind = headers.pop("content_type", "application/json")
        path = f"{FLAGS}/{key}" if key else FLAGS
        return client.post(path, sent, content_type=kind, headers={"X-API-Key": secret, **headers})

    return post


def flag(key: str = "checkout", **fields: Any) -> None:
    create_flag(body={"key": key, "type": "boolean", "enabled": True, **fields})


def test_a_plain_flag_needs_no_unit(ask: Ask) -> None:
    flag(rules=[{"targeting": [{"attribute": "country", "op": "in", "value": ["DE"]}], "variant": "on"}])
    matched, other = ask("checkout", {"country": "DE"}), ask("checkout")
    assert (matched.status_code, matched["Content-Type"], matched["Cache-Control"]) == (
        200, "application/json", "no-store"
    )  # fmt: skip
    assert matched.json() == {
        "key": "checkout", "reason": "TARGETING_MATCH", "variant": "on", "value": True, "metadata": {}
    }  # fmt: skip
    assert other.json() == {
        "key": "checkout", "reason": "STATIC", "variant": "off", "value": False, "metadata": {}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("number", 1.0, b'"value":1.0'),
        ("number", 3, b'"value":3'),
        ("number", 0.25, b'"value":0.25'),
        ("string", "grün 😀", '"value":"grün 😀"'.encode()),
        ("object", {"a": [1, {"b": None}]}, b'"value":{"a":[1,{"b":null}]}'),
        ("object", [], b'"value":[]'),
    ],
)
def test_values_leave_as_they_were_written(ask: Ask, kind: str, value: Any, text: bytes) -> None:
    flag(type=kind, variants={"only": value}, default_variant="only")
    assert text in ask("checkout").content


def test_a_flag_that_is_off_has_a_variant_and_no_value(ask: Ask) -> None:
    flag(enabled=False)
    assert ask("checkout").json() == {
        "key": "checkout", "reason": "DISABLED", "variant": "off", "metadata": {}
    }  # fmt: skip


def test_a_change_holds_from_the_next_request_on(ask: Ask) -> None:
    flag()
    assert ask("checkout").json()["value"] is False
    change_flag(flag_id="checkout", changes={"default_variant": "on"})
    assert ask("checkout").json()["value"] is True
    archive_flag(flag_id="checkout")
    gone = ask("checkout")
    assert (gone.status_code, gone.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")


def test_a_split_without_a_unit_is_refused(ask: Ask) -> None:
    flag(rules=[{"split": SHARES}])
    for context in ({}, {"targetingKey": ""}, {"targetingKey": None}):
        answer = ask("checkout", context)
        assert answer.status_code == 400
        assert answer.json() == {
            "key": "checkout",
            "errorCode": "TARGETING_KEY_MISSING",
            "errorDetails": "The context names no targetingKey, and this flag is split over units.",
        }
    assert ask("checkout", {"targetingKey": "u-1"}).json()["reason"] == "SPLIT"


def test_asking_for_an_experiment_exposes_once(ask: Ask) -> None:
    running()
    first = ask("prompt-v2", {"targetingKey": "u-1"}).json()
    row = Assignment.objects.get()
    assert (first["variant"], first["value"]) == (row.variant.key, row.variant.payload)
    assert (first["reason"], first["metadata"]) == (
        "SPLIT",
        {"experiment": "prompt-v2", "assignment": "assigned", "in_experiment": True, "phase": 1},
    )
    again = ask("prompt-v2", {"targetingKey": "u-1"}).json()
    assert again == {**first, "metadata": {**first["metadata"], "assignment": "sticky"}}
    assert Assignment.objects.count() == 1
    event = AuditEvent.objects.get(action="expose")
    assert (event.actor_kind, event.actor_id) == ("api_key", str(ApiKey.objects.get().pk))


@pytest.mark.parametrize(
    ("changes", "context", "reason", "assignment"),
    [
        ({"coverage": 0.0001}, {"targetingKey": "u-1"}, "SPLIT", "coverage"),
        (
            {"targeting": [{"attribute": "country", "op": "eq", "value": "DE"}]},
            {"targetingKey": "u-1", "country": "FR"},
            "STATIC",
            "not_targeted",
        ),
    ],
)
def test_whoever_takes_no_part_is_left_to_the_program(ask, changes, context, reason, assignment) -> None:
    running(**changes)
    assert ask("prompt-v2", context).json() == {
        "key": "prompt-v2",
        "reason": reason,
        "variant": "",
        "metadata": {"experiment": "prompt-v2", "assignment": assignment, "in_experiment": False},
    }
    assert Assignment.objects.count() == 0


def test_experiments_that_do_not_run_are_disabled(ask: Ask) -> None:
    draft("early")
    running("late")
    pause_experiment(experiment="late")
    for key in ("early", "late"):
        found = ask(key, {"targetingKey": "u-1"}).json()
        assert (found["reason"], found["variant"], "value" in found) == ("DISABLED", "", False)


def test_a_flag_whose_experiment_decides_exposes_as_the_experiment_does(ask: Ask) -> None:
    running()
    flag(
        "model", type="string", variants={"none": "gpt-4o-mini"}, default_variant="none",
        experiment="prompt-v2", experiment_field="model",
    )  # fmt: skip
    found = ask("model", {"targetingKey": "u-1"}).json()
    row = Assignment.objects.get()
    assert (found["variant"], found["value"]) == (row.variant.key, row.variant.payload["model"])
    pause_experiment(experiment="prompt-v2")
    paused = ask("model", {"targetingKey": "u-1"}).json()
    assert (paused["variant"], paused["value"], paused["reason"]) == ("none", "gpt-4o-mini", "DISABLED")
    assert ask("model").json()["errorCode"] == "TARGETING_KEY_MISSING"


def test_all_at_once_exposes_nobody(ask: Ask) -> None:
    running("one")
    running("two")
    draft("three")
    flag("split", rules=[{"split": SHARES}])
    flag("static")
    flag("model", type="string", variants={"n": "x"}, default_variant="n", experiment="one",
         experiment_field="model")  # fmt: skip
    archive_flag(flag_id=create_flag(body={"key": "old", "type": "boolean"}).pk)
    answer = ask(context={"targetingKey": "u-1"})
    found = {each["key"]: each for each in answer.json()["flags"]}
    assert list(found) == ["model", "one", "split", "static", "two"]
    assert all({"reason", "variant", "value", "metadata"} < set(each) for each in found.values())
    assert Assignment.objects.count() == 0
    assert not AuditEvent.objects.filter(action="expose").exists()
    for key in ("one", "two", "model", "split", "static"):
        single = ask(key, {"targetingKey": "u-1"}).json()
        assert {**single, "metadata": {}} == {**found[key], "metadata": {}}
    assert Assignment.objects.count() == 2


def test_all_at_once_without_a_unit_says_which_would_need_one(ask: Ask) -> None:
    running("one")
    flag("split", rules=[{"split": SHARES}])
    flag("static")
    answer = ask()
    assert answer.status_code == 200
    codes = {each["key"]: each.get("errorCode") for each in answer.json()["flags"]}
    assert codes == {"one": "TARGETING_KEY_MISSING", "split": "TARGETING_KEY_MISSING", "static": None}


def test_what_the_client_has_is_not_sent_again(ask: Ask) -> None:
    flag(rules=[{"split": SHARES}])
    running("one")
    first = ask(context={"targetingKey": "u-1"})
    assert (first.status_code, first["Cache-Control"]) == (200, "private, no-cache")
    same = ask(context={"targetingKey": "u-1"}, **{"If-None-Match": first["ETag"]})
    assert (same.status_code, same.content, same["ETag"]) == (304, b"", first["ETag"])
    weak = ask(context={"targetingKey": "u-1"}, **{"If-None-Match": f'"x", W/{first["ETag"]}'})
    assert weak.status_code == 304
    assert ask(context={"targetingKey": "u-1"}, **{"If-None-Match": '"other"'}).status_code == 200
    change_flag(flag_id="checkout", changes={"rules": []})
    changed = ask(context={"targetingKey": "u-1"}, **{"If-None-Match": first["ETag"]})
    assert (changed.status_code, changed["ETag"] != first["ETag"]) == (200, True)


def test_all_at_once_takes_the_same_statements_however_many_there_are(ask: Ask) -> None:
    def statements() -> int:
        ask(context={"targetingKey": "u-1"})
        with CaptureQueriesContext(connection) as captured:
            ask(context={"targetingKey": "u-1"})
        return len(captured)

    running("first")
    ask("first", {"targetingKey": "u-1"})
    few = statements()
    for number in range(12):
        running(f"more-{number}")
        flag(f"flag-{number}")
    assert statements() == few


@pytest.mark.parametrize(
    "key", ["nothing", "a%2Fb", "a/b%20c", "%F0%9F%98%80", "x" * 3000, "..%2f", "%00", "nothing/"]
)
def test_what_is_no_flag_is_said_in_words_that_clients_read(ask: Ask, key: str) -> None:
    answer = ask(key)
    body = answer.json()
    assert (answer.status_code, body["errorCode"], set(body)) == (
        404, "FLAG_NOT_FOUND", {"key", "errorCode", "errorDetails"}
    )  # fmt: skip


def test_a_key_may_be_percent_encoded(ask: Ask) -> None:
    flag("new-checkout.v2")
    assert ask("new%2Dcheckout%2Ev2").json()["key"] == "new-checkout.v2"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 200, None),
        (b"{}", 200, None),
        (b'{"context": null}', 200, None),
        (b"{", 400, "PARSE_ERROR"),
        (b"hello", 400, "PARSE_ERROR"),
        (b"\xff\xfe", 400, "PARSE_ERROR"),
        (b'{"context": {"a": NaN}}', 400, "PARSE_ERROR"),
        (b"[" * 100_000, 400, "PARSE_ERROR"),
        (b'{"context": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}", 400, "PARSE_ERROR"),
        (b"[]", 400, "INVALID_CONTEXT"),
        (b'{"context": []}', 400, "INVALID_CONTEXT"),
        (b'{"context": "u-1"}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": 7}}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": ["u"]}}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "\\u0000"}}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "' + b"u" * 10_000 + b'"}}', 400, "INVALID_CONTEXT"),
        (b'{"context": {"text": "' + b"u" * 10_000 + b'"}}', 400, "INVALID_CONTEXT"),
        (json.dumps({"context": {f"a{n}": 1 for n in range(300)}}).encode(), 400, "INVALID_CONTEXT"),
        (b'{"context": {"n": ' + b"9" * 400 + b"}}", 400, "INVALID_CONTEXT"),
        (b'{"context": {"n": [1, -' + b"9" * 400 + b"]}}", 400, "INVALID_CONTEXT"),
        (b'{"context": {"text": "' + b"u" * 1_000_000 + b'"}}', 413, "GENERAL"),
    ],
    ids=range(21),
)
def test_bad_bodies_are_refused_in_words_that_clients_read(ask, body, status, code) -> None:
    flag()
    for key in ("checkout", ""):
        answer = ask(key, body=body)
        assert answer.status_code == status, answer.content
        assert answer.json().get("errorCode") == code
        if code:
            assert isinstance(answer.json()["errorDetails"], str)
    assert ask("checkout", {"targetingKey": "u-1", "country": "DE"}).status_code == 200


def test_attributes_of_any_shape_break_no_rule(ask: Ask) -> None:
    ops = [("eq", "DE"), ("ne", 5), ("in", [1, True, "x"]), ("not_in", ["y"]), ("lt", 5), ("gte", "b"),
           ("matches", "^a+$"), ("exists", True), ("semver", ">=1.2 <2 || ^3")]  # fmt: skip
    flag(rules=[{"targeting": [{"attribute": "a", "op": op, "value": v}], "variant": "on"} for op, v in ops])
    values = [None, True, 0, -1, 10**299, 1e308, "", "DE", "9" * 400, [], [[1], {"x": 1}, None], {}, {"a": {"b": 1}},
              "1.2.3", "a" * 1000, "😀"]  # fmt: skip
    for value in values:
        answer = ask("checkout", {"targetingKey": "u-1", "a": value})
        assert answer.status_code == 200, (value, answer.content)
        assert answer.json()["reason"] in {"TARGETING_MATCH", "STATIC"}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_only_json_is_read(ask: Ask, kind: str) -> None:
    answer = ask("checkout", content_type=kind)
    assert (answer.status_code, answer.json()["errorCode"]) == (415, "PARSE_ERROR")


@pytest.mark.parametrize("path", [FLAGS, f"{FLAGS}/checkout", "/ofrep/v1/configuration", "/ofrep/v1/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS", "HEAD"])
def test_nobody_gets_in_without_a_key(path: str, method: str) -> None:
    client = Client()
    _, reader = create_api_key(name="reader", scopes=["research:admin", "ingest"])
    key, revoked = create_api_key(name="revoked", scopes=["*"])
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=timezone.now())
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer nonsense"}, 401),
        ({"Authorization": f"Bearer {revoked}"}, 401),
        ({"X-API-Key": revoked, "Authorization": f"Bearer {reader}"}, 401),
        ({"X-API-Key": reader}, 403),
        ({"Authorization": f"Bearer {reader}"}, 403),
    ):
        answer = client.generic(method, path, b"{}", content_type="application/json", headers=headers)
        assert (answer.status_code, "WWW-Authenticate" in answer) == (status, True)
        if method != "HEAD":
            assert answer.json()["errorCode"] == "GENERAL"
            assert answer.json()["errorDetails"]


def test_a_session_of_the_admin_is_no_key(admin_client: Client) -> None:
    flag()
    assert admin_client.post(f"{FLAGS}/checkout", b"{}", content_type="application/json").status_code == 401


def test_both_headers_open_and_only_post_is_taken() -> None:
    flag()
    _, secret = create_api_key(name="tests", scopes=["assign"])
    client = Client(enforce_csrf_checks=True)
    for headers in ({"Authorization": f"Bearer {secret}"}, {"X-API-Key": secret}):
        path = f"{FLAGS}/checkout"
        assert client.post(path, b"{}", content_type="application/json", headers=headers).status_code == 200
        refused = client.get(path, headers=headers)
        assert (refused.status_code, refused["Allow"], refused.json()["errorCode"]) == (
            405,
            "POST",
            "GENERAL",
        )
        missing = client.get("/ofrep/v1/configuration", headers=headers)
        assert (missing.status_code, missing.json()["errorCode"]) == (405, "GENERAL")


@pytest.mark.django_db(transaction=True)
def test_a_flag_is_not_replaced_by_an_experiment_of_its_key(ask: Ask) -> None:
    running("other")
    flag()
    for _ in range(2):
        assert ask("checkout", {"targetingKey": "u-1"}).json()["variant"] == "off"
        assert ask("other", {"targetingKey": "u-1"}).json()["reason"] == "SPLIT"
    with pytest.raises(Conflict):
        running("checkout")
    for _ in range(3):
        assert ask("checkout", {"targetingKey": "u-1"}).json()["variant"] == "off"
    assert Assignment.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_known_unit_takes_two_statements(ask: Ask) -> None:
    running()
    for _ in range(2):
        ask("prompt-v2", {"targetingKey": "u-1"})
    with CaptureQueriesContext(connection) as captured:
        ask("prompt-v2", {"targetingKey": "u-1"})
    assert len(captured) == 2, [each["sql"] for each in captured]
