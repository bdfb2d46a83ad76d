"""The OpenFeature Python client with its remote evaluation provider, against a real server."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from agent_factory_site.common.services.api_keys import create_api_key
from research.models import Assignment
from research.services.flags import change_flag, create_flag
from tests.common.callers import granian
from tests.processes import PATIENCE

from .experiment_setup import running

SITE = "agent_factory_site.wsgi:application"


@pytest.fixture
def server(live_database: str) -> Iterator[str]:
    with granian(SITE, live_database) as url:
        yield url


@pytest.fixture
def secret(transactional_db: None) -> str:
    return create_api_key(name="agent", scopes=["assign"])[1]


@pytest.fixture
def client(server: str, secret: str) -> Iterator[Any]:
    headers = {"Authorization": f"Bearer {secret}"}
    openfeature.set_provider(OFREPProvider(server, headers_factory=lambda: headers, timeout=PATIENCE))
    yield openfeature.get_client()
    openfeature.clear_providers()


def unit(key: str, **attributes: Any) -> EvaluationContext:
    return EvaluationContext(targeting_key=key, attributes=attributes)


def test_every_type_of_value_arrives_as_it_was_written(client: Any) -> None:
    for key, kind, variants in (
        ("yes", "boolean", {"v": True}),
        ("text", "string", {"v": "grün 😀"}),
        ("whole", "number", {"v": 3}),
        ("fraction", "number", {"v": 1.0}),
        ("mixed", "number", {"v": 2, "w": 0.5}),
        ("tree", "object", {"v": {"a": [1, {"b": 0.5}]}}),
        ("list", "object", {"v": [1, "x"]}),
    ):
        body = {"key": key, "type": kind, "variants": variants, "default_variant": "v", "enabled": True}
        create_flag(body=body)
    assert client.get_boolean_value("yes", False) is True
    assert client.get_string_value("text", "") == "grün 😀"
    assert client.get_integer_value("whole", 0) == 3
    assert client.get_float_value("fraction", 0.0) == 1.0
    assert client.get_float_value("mixed", 0.0) == 2.0
    assert client.get_object_value("tree", {}) == {"a": [1, {"b": 0.5}]}
    assert client.get_object_value("list", []) == [1, "x"]
    details = client.get_boolean_details("yes", False)
    assert (details.variant, details.reason, details.error_code) == ("v", Reason.STATIC, None)
    assert client.get_float_details("whole", 0.5).error_code == ErrorCode.TYPE_MISMATCH


@pytest.mark.once_when_quick
def test_rules_splits_and_switches_reach_the_client(client: Any) -> None:
    create_flag(
        body={
            "key": "checkout", "type": "boolean", "enabled": True,
            "rules": [
                {"targeting": [{"attribute": "country", "op": "in", "value": ["DE"]}], "variant": "on"},
                {"split": [{"variant": "on", "weight": 0.5}, {"variant": "off", "weight": 0.5}]},
            ],
        }
    )  # fmt: skip
    matched = client.get_boolean_details("checkout", False, unit("u-1", country="DE"))
    assert (matched.value, matched.reason, matched.variant) == (True, Reason.TARGETING_MATCH, "on")
    split = client.get_boolean_details("checkout", False, unit("u-1"))
    assert (split.reason, split.variant) == (Reason.SPLIT, "on" if split.value else "off")
    missing = client.get_boolean_details("checkout", True)
    assert (missing.value, missing.error_code) == (True, ErrorCode.TARGETING_KEY_MISSING)
    change_flag(flag_id="checkout", changes={"enabled": False})
    for default in (True, False):
        off = client.get_boolean_details("checkout", default, unit("u-1"))
        assert (off.value, off.reason, off.error_code) == (default, Reason.DISABLED, None)
    unknown = client.get_boolean_details("nothing", True)
    assert (unknown.value, unknown.error_code, unknown.error_message) == (
        True, ErrorCode.FLAG_NOT_FOUND, "There is no flag 'nothing'."
    )  # fmt: skip
    slash = client.get_boolean_details("a/b c", True)
    assert slash.error_code == ErrorCode.FLAG_NOT_FOUND


def test_an_experiment_is_a_flag_and_asking_exposes_once(client: Any) -> None:
    running()
    first = client.get_object_details("prompt-v2", {"model": "own"}, unit("u-1"))
    row = Assignment.objects.get()
    assert (first.variant, first.value, first.reason) == (
        row.variant.key, row.variant.payload, Reason.SPLIT
    )  # fmt: skip
    assert first.flag_metadata == {
        "experiment": "prompt-v2", "assignment": "assigned", "in_experiment": True, "phase": 1
    }  # fmt: skip
    again = client.get_object_details("prompt-v2", {"model": "own"}, unit("u-1"))
    assert (again.value, again.flag_metadata["assignment"]) == (first.value, "sticky")
    assert Assignment.objects.count() == 1
    running("small", coverage=0.0001)
    outside = client.get_object_details("small", {"model": "own"}, unit("u-1"))
    assert (outside.value, outside.error_code, outside.reason) == ({"model": "own"}, None, Reason.SPLIT)
    assert Assignment.objects.count() == 1


@pytest.mark.once_when_quick
def test_a_wrong_key_leaves_the_program_its_default(server: str) -> None:
    create_flag(body={"key": "checkout", "type": "boolean", "default_variant": "on", "enabled": True})
    reader = create_api_key(name="reader", scopes=["research:read"])[1]
    for headers, words in (
        ({}, "unauthorized"),
        ({"X-API-Key": "af_nonsense"}, "unauthorized"),
        ({"X-API-Key": reader}, "forbidden"),
    ):
        openfeature.set_provider(
            OFREPProvider(server, headers_factory=lambda headers=headers: headers, timeout=PATIENCE)
        )
        found = openfeature.get_client().get_boolean_details("checkout", False)
        assert (found.value, found.error_code, found.error_message) == (False, ErrorCode.GENERAL, words)
    openfeature.clear_providers()


@pytest.mark.once_when_quick
def test_all_flags_over_plain_http_and_304(server: str, secret: str) -> None:
    running()
    create_flag(body={"key": "checkout", "type": "boolean", "enabled": True})

    def post(**headers: str) -> Any:
        connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=PATIENCE)
        body = json.dumps({"context": {"targetingKey": "u-1"}})
        sent = {"Content-Type": "application/json", "X-API-Key": secret, **headers}
        connection.request("POST", "/ofrep/v1/evaluate/flags", body, sent)
        answer = connection.getresponse()
        found = answer.status, answer.headers, answer.read()
        connection.close()
        return found

    status, headers, content = post()
    assert (status, [each["key"] for each in json.loads(content)["flags"]]) == (
        200,
        ["checkout", "prompt-v2"],
    )
    etag = headers["ETag"]
    status, headers, content = post(**{"If-None-Match": etag})
    assert (status, headers["ETag"], content) == (304, etag, b"")
    change_flag(flag_id="checkout", changes={"default_variant": "on"})
    status, headers, content = post(**{"If-None-Match": etag})
    assert (status, headers["ETag"] != etag) == (200, True)
    assert Assignment.objects.count() == 0
