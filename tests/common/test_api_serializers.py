"""Serializers that refuse what they do not know."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework import serializers

from agent_factory_site.common.api.serializers import StrictSerializer
from agent_factory_site.common.models import Team
from tests.common.callers import key_headers

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.common.kernel_api")]

GOOD: dict[str, Any] = {
    "name": " a ",
    "count": 3,
    "active": True,
    "at": "2026-11-02T10:11:12.5+05:30",
    "amount": "12.50",
    "parts": [{"name": "x"}],
}


def post(client: Client, body: Any) -> tuple[int, Any]:
    response = client.post(
        "/api/kernel/thing", body, content_type="application/json", headers=key_headers("common:write")
    )
    answer = response.json()
    if response.status_code == 200:
        return 200, answer
    return response.status_code, [
        (error.get("pointer", error.get("parameter")), error["code"]) for error in answer["errors"]
    ]


def test_good_values_keep_their_types(client: Client) -> None:
    assert post(client, GOOD) == (
        200,
        {
            "name": "' a '",
            "count": "3",
            "active": "True",
            "at": "datetime.datetime(2026, 11, 2, 4, 41, 12, 500000, tzinfo=datetime.timezone.utc)",
            "amount": "12500000000",
            "parts": "[{'name': 'x'}]",
        },
    )


@pytest.mark.parametrize(
    ("field", "value", "pointer", "code"),
    [
        ("name", 5, "/name", "invalid"),
        ("name", True, "/name", "invalid"),
        ("name", ["x"], "/name", "invalid"),
        ("name", None, "/name", "null"),
        ("name", "", "/name", "blank"),
        ("name", "x" * 11, "/name", "max_length"),
        ("count", "3", "/count", "invalid"),
        ("count", 3.0, "/count", "invalid"),
        ("count", True, "/count", "invalid"),
        ("count", -1, "/count", "min_value"),
        ("active", "yes", "/active", "invalid"),
        ("active", 1, "/active", "invalid"),
        ("active", {}, "/active", "invalid"),
        ("at", "2026-11-02T10:11:12", "/at", "invalid"),
        ("at", "2026-11-02", "/at", "invalid"),
        ("at", "2026-13-02T10:11:12Z", "/at", "invalid"),
        ("at", "2026-11-02T10:11:61Z", "/at", "invalid"),
        ("at", "9999-12-31T23:59:59-01:00", "/at", "invalid"),
        ("at", "0001-01-01T00:00:00+01:00", "/at", "invalid"),
        ("at", 1793613072, "/at", "invalid"),
        ("amount", 12.5, "/amount", "not_a_string"),
        ("amount", 12, "/amount", "not_a_string"),
        ("amount", "1e3", "/amount", "not_an_amount"),
        ("amount", "NaN", "/amount", "not_an_amount"),
        ("amount", "0.0000000001", "/amount", "too_precise"),
        ("amount", "99999999999999999999", "/amount", "too_large"),
        ("amount", "-1", "/amount", "min_value"),
        ("amount", "1000.000000001", "/amount", "max_value"),
        ("parts", {}, "/parts", "not_a_list"),
        ("parts", [{"name": "x"}, {"name": "toolong"}], "/parts/1/name", "max_length"),
        ("parts", [{"name": "x", "more": 1}], "/parts/0/more", "unknown_field"),
        ("parts", [["x"]], "/parts/0", "invalid"),
        ("id", "x", "/id", "read_only"),
        ("a/b~c", 1, "/a~1b~0c", "unknown_field"),
    ],
)
def test_bad_fields(client: Client, field: str, value: Any, pointer: str, code: str) -> None:
    assert post(client, {**GOOD, field: value}) == (400, [(pointer, code)])


def test_every_bad_field_is_named_at_once(client: Client) -> None:
    status, errors = post(client, {"count": "x", "unknown": 1})
    assert (status, sorted(errors)) == (
        400,
        [("/count", "invalid"), ("/name", "required"), ("/unknown", "unknown_field")],
    )


@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null", "[{}]"])
def test_something_else_where_an_object_belongs(client: Client, body: str) -> None:
    status, errors = post(client, body)
    assert status == 400
    assert errors in ([("", "invalid")], [("", "null")])


def test_an_empty_body_lacks_the_required_fields(client: Client) -> None:
    assert post(client, "") == (400, [("/name", "required")])


def test_naive_times_cannot_be_declared() -> None:
    with pytest.raises(TypeError, match="Loose.at: use InstantField"):
        type("Loose", (StrictSerializer,), {"at": serializers.DateTimeField()})


# --- Query parameters -----------------------------------------------------------------------------


def query(client: Client, text: str) -> tuple[int, Any]:
    response = client.get(f"/api/kernel/teams?{text}", headers=key_headers("common:read"))
    answer = response.json()
    if response.status_code == 200:
        return 200, [team["key"] for team in answer["results"]]
    return response.status_code, [(error["parameter"], error["code"]) for error in answer["errors"]]


def test_parameters_filter(client: Client) -> None:
    for key in "abc":
        Team.objects.create(key=key, name=key.upper())
    assert query(client, "") == (200, ["c", "b", "a"])
    assert query(client, "name=B") == (200, ["b"])
    assert query(client, "keys=a,c") == (200, ["c", "a"])
    assert query(client, "keys=a&keys=b") == (200, ["b", "a"])
    assert query(client, "since=2026-01-01T00:00:00%2B02:00") == (200, ["c", "b", "a"])
    assert query(client, "since=2026-01-01T00:00:00+02:00") == (200, ["c", "b", "a"])


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("nam=B", [("nam", "unknown_parameter")]),
        ("name=A&name=B", [("name", "repeated")]),
        ("since=yesterday", [("since", "invalid")]),
        ("since=2026-01-01T00:00:00", [("since", "invalid")]),
        ("limit=0", [("limit", "bad_limit")]),
        ("limit=501", [("limit", "bad_limit")]),
        ("limit=ten", [("limit", "bad_limit")]),
        ("limit=-1", [("limit", "bad_limit")]),
        ("limit=٣", [("limit", "bad_limit")]),
        ("limit=", [("limit", "bad_limit")]),
        ("cursor=nonsense", [("cursor", "bad_cursor")]),
    ],
)
def test_bad_parameters(client: Client, text: str, errors: Any) -> None:
    assert query(client, text) == (400, errors)
