"""Feature flags over HTTP and through their services."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.services.api_keys import create_api_key
from research.models import DefinitionRevision, FeatureFlag
from research.services.flags import change_flag, create_flag, disable_flag, enable_flag

from .experiment_setup import draft, running

pytestmark = pytest.mark.django_db
FLAGS = "/api/v1/research/flags"


class Api:
    """Calls the API with one key."""

    def __init__(self, *scopes: str) -> None:
        self.headers = {"X-API-Key": create_api_key(name="tests", scopes=scopes)[1]}
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = {"content_type": "application/json"} if sent else {}
        return self.client.generic(method, path, sent, headers={**self.headers, **headers}, **kind)


@pytest.fixture
def api() -> Api:
    return Api("research:write")


def test_a_flag_is_made_read_changed_and_archived(api: Api) -> None:
    made = api("POST", FLAGS, {"key": "checkout", "type": "boolean"})
    body = made.json()
    assert (made.status_code, made["Location"]) == (201, f"{FLAGS}/checkout")
    assert {name: body[name] for name in body if name not in ("id", "created_at", "updated_at")} == {
        "key": "checkout", "type": "boolean", "name": "", "description": "",
        "variants": {"on": True, "off": False}, "default_variant": "off", "enabled": False, "unit": "user",
        "salt": "", "rules": [], "experiment": None, "experiment_field": "", "archived_at": None,
    }  # fmt: skip
    read = api("GET", f"{FLAGS}/{body['id']}")
    assert (read.status_code, read.json(), read["ETag"]) == (200, body, made["ETag"])
    assert api("GET", f"{FLAGS}/checkout", **{"If-None-Match": read["ETag"]}).status_code == 304
    changed = api("PATCH", f"{FLAGS}/checkout", {"enabled": True}, **{"If-Match": read["ETag"]})
    assert changed.status_code == 200
    assert changed.json() == {**body, "enabled": True, "updated_at": changed.json()["updated_at"]}
    stale = api("PATCH", f"{FLAGS}/checkout", {"enabled": False}, **{"If-Match": read["ETag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_changed")
    assert api("PATCH", f"{FLAGS}/checkout", {"enabled": False}).status_code == 428
    archived = api("POST", f"{FLAGS}/checkout/archive")
    again = api("POST", f"{FLAGS}/checkout/archive")
    assert (archived.status_code, archived.json()) == (200, again.json())
    assert (archived.json()["enabled"], archived.json()["archived_at"] is not None) == (False, True)
    gone = api("PATCH", f"{FLAGS}/checkout", {"enabled": True}, **{"If-Match": "*"})
    assert (gone.status_code, gone.json()["code"]) == (409, "archived")
    events = AuditEvent.objects.filter(target_type="research.FeatureFlag").order_by("at", "id")
    assert [event.action for event in events] == ["create", "update", "update"]


def test_the_list_is_filtered(api: Api) -> None:
    for key, kind, enabled in (
        ("a-one", "boolean", True),
        ("b-two", "string", False),
        ("c-old", "boolean", False),
    ):
        create_flag(body={"key": key, "type": kind, "variants": {"v": True if kind == "boolean" else "x"},
                          "default_variant": "v", "enabled": enabled, "name": f"Name of {key}"})  # fmt: skip
    api("POST", f"{FLAGS}/c-old/archive")

    def keys(query: str) -> list[str]:
        answer = api("GET", f"{FLAGS}?{query}")
        assert answer.status_code == 200, answer.content
        return [each["key"] for each in answer.json()["results"]]

    assert keys("") == ["a-one", "b-two"]
    assert keys("archived=true") == ["a-one", "b-two", "c-old"]
    assert keys("type=string") == ["b-two"]
    assert keys("enabled=true") == ["a-one"]
    assert keys("q=NAME%20of%20b") == ["b-two"]
    assert api("GET", f"{FLAGS}?state=on").status_code == 400


def test_every_bad_field_is_named_and_nothing_is_stored(api: Api) -> None:
    body = {"key": "a/b", "type": "string", "variants": {"x": 1}, "default_variant": "y", "colour": "red",
            "rules": [{"targeting": [{"attribute": "a", "op": "near", "value": 1}], "variant": "x"}]}  # fmt: skip
    answer = api("POST", FLAGS, body)
    assert answer.status_code == 400
    assert {each["pointer"]: each["code"] for each in answer.json()["errors"]} == {
        "/key": "bad_key",
        "/variants/x": "wrong_type",
        "/default_variant": "unknown_variant",
        "/colour": "unknown_field",
        "/rules/0/targeting/0/op": "unknown_operator",
    }
    assert FeatureFlag.objects.count() == 0
    assert api("POST", FLAGS, [1]).status_code == 400
    assert api("POST", FLAGS, b'{"key": "a", "type": NaN}').status_code == 400
    assert api("POST", FLAGS, b"[" * 100_000).status_code == 400
    huge = {"key": "a", "type": "string", "variants": {"x": "y" * 1_000_000}, "default_variant": "x"}
    assert api("POST", FLAGS, huge).json()["errors"][0]["code"] == "too_large"


def test_key_and_type_never_change(api: Api) -> None:
    create_flag(body={"key": "checkout", "type": "boolean"})
    answer = api("PATCH", f"{FLAGS}/checkout", {"key": "other", "type": "string"}, **{"If-Match": "*"})
    assert {each["pointer"]: each["code"] for each in answer.json()["errors"]} == {
        "/key": "fixed", "/type": "fixed"
    }  # fmt: skip
    assert api("PATCH", f"{FLAGS}/checkout", {"key": "checkout"}, **{"If-Match": "*"}).status_code == 200


def test_a_variant_in_use_cannot_be_taken_away(api: Api) -> None:
    split = [{"variant": "on", "weight": 1}]
    create_flag(body={"key": "checkout", "type": "boolean", "rules": [{"split": split}]})
    answer = api("PATCH", f"{FLAGS}/checkout", {"variants": {"off": False}}, **{"If-Match": "*"})
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/rules/0/split/0/variant"]


def test_keys_are_taken_once(api: Api) -> None:
    draft("prompt-v2")
    assert api("POST", FLAGS, {"key": "checkout", "type": "boolean"}).status_code == 201
    for key in ("checkout", "prompt-v2"):
        answer = api("POST", FLAGS, {"key": key, "type": "boolean"})
        assert (answer.status_code, answer.json()["code"]) == (409, "key_taken")
    with pytest.raises(IntegrityError), transaction.atomic():
        FeatureFlag.objects.create(
            key="checkout", kind="boolean", variants={}, default_variant="x", unit="user"
        )


def test_numbers_stay_as_they_were_written(api: Api) -> None:
    sent = b'{"key": "t", "type": "number", "variants": {"a": 1.0, "b": 2}, "default_variant": "a"}'
    assert b'"variants":{"a":1.0,"b":2}' in api("POST", FLAGS, sent).content.replace(b": ", b":").replace(
        b", ", b","
    )
    stored = FeatureFlag.objects.get().variants
    assert {key: repr(value) for key, value in stored.items()} == {"a": "1.0", "b": "2"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"experiment": "nothing"}, {"/experiment": "unknown_experiment"}),
        ({"experiment_field": "prompt"}, {"/experiment_field": "payload_type"}),
        ({"experiment_field": ""}, {"/experiment_field": "required"}),
        ({"unit": "agent"}, {"/unit": "other_unit"}),
    ],
)
def test_an_experiment_has_to_fit(changes: dict[str, Any], expected: dict[str, str]) -> None:
    running()
    body = {"key": "model", "type": "string", "variants": {"n": "x"}, "default_variant": "n",
            "experiment": "prompt-v2", "experiment_field": "model"}  # fmt: skip
    with pytest.raises(Invalid) as refused:
        create_flag(body={**body, **changes})
    assert {error.pointer: error.code for error in refused.value.errors} == expected
    made = create_flag(body=body)
    assert (made.unit, made.experiment.key) == ("user", "prompt-v2")


def test_an_archived_experiment_does_not_keep_a_flag_from_being_switched_off() -> None:
    experiment = running()
    body = {"key": "model", "type": "string", "variants": {"n": "x"}, "default_variant": "n", "enabled": True,
            "experiment": str(experiment.pk), "experiment_field": "model"}  # fmt: skip
    create_flag(body=body)
    type(experiment).objects.filter(pk=experiment.pk).update(state="archived")
    assert disable_flag(flag_id="model").enabled is False
    assert enable_flag(flag_id="model").enabled is True
    assert change_flag(flag_id="model", changes={"experiment": None}).experiment_field == ""
    with pytest.raises(Invalid):
        change_flag(flag_id="model", changes={"experiment": "prompt-v2", "experiment_field": "model"})


def test_a_repeat_changes_nothing_and_every_write_is_noticed() -> None:
    create_flag(body={"key": "checkout", "type": "boolean"})
    first = DefinitionRevision.objects.get().token
    version = enable_flag(flag_id="checkout").version
    second = DefinitionRevision.objects.get().token
    assert enable_flag(flag_id="checkout").version == version
    assert first != second == DefinitionRevision.objects.get().token


def test_scopes(api: Api) -> None:
    create_flag(body={"key": "checkout", "type": "boolean"})
    reader, assigner = Api("research:read"), Api("assign")
    assert [reader("GET", path).status_code for path in (FLAGS, f"{FLAGS}/checkout")] == [200, 200]
    for caller in (reader, assigner):
        assert caller("POST", FLAGS, {"key": "x", "type": "boolean"}).status_code == 403
        assert caller("PATCH", f"{FLAGS}/checkout", {"enabled": True}).status_code == 403
        assert caller("POST", f"{FLAGS}/checkout/archive").status_code == 403
    assert assigner("GET", FLAGS).status_code == 403
    assert (FeatureFlag.objects.get().enabled, FeatureFlag.objects.get().archived_at) == (False, None)
    assert api("GET", f"{FLAGS}/nothing").status_code == 404
    with pytest.raises(Conflict):
        create_flag(body={"key": "checkout", "type": "boolean"})


def test_an_experiment_does_not_take_the_key_of_a_flag():
    create_flag(body={"key": "shared", "type": "boolean"})
    with pytest.raises(Conflict, match="There is a flag shared already"):
        draft("shared")
