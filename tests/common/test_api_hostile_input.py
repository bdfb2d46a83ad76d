"""No endpoint answers bad input with a 500, and every refusal is a problem document."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.common.callers import key_headers
from tests.effort import examples

pytestmark = pytest.mark.django_db

SAMPLES = {"int": "1", "str": "x", "slug": "x", "path": "x/y", "uuid": str(uuid4())}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}


def endpoints() -> Iterator[tuple[str, str]]:
    """Each method and route of the API."""
    waiting: list[tuple[str, URLPattern | URLResolver]] = [
        ("/", pattern) for pattern in get_resolver().url_patterns
    ]
    while waiting:
        before, pattern = waiting.pop()
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            waiting.extend((route, inner) for inner in pattern.url_patterns)
        elif route.startswith("/api/v1"):
            for method in pattern.callback.view_class.scopes:
                yield method, route


ALL = sorted(endpoints())
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "an array": b"[]",
    "an array of arrays": b"[[[]]]",
    "a number": b"5",
    "a string": b'"x"',
    "null": b"null",
    "an unknown field": b'{"surprise": 1}',
    "not JSON": b"{",
    "NaN": b'{"amount": NaN}',
    "Infinity": b'[{"amount": -Infinity}]',
    "a huge exponent": b'{"amount": 1e400, "usage": {"input_tokens": 1e999999999}}',
    "a huge number": b'{"amount": ' + b"9" * 5000 + b"}",
    "broken UTF-8": b'{"name": "\xff\xfe"}',
    "NUL": b'{"name": "a\\u0000b", "source": "\\u0000"}',
    "half a surrogate pair": b'{"name": "\\ud800", "source": "\\udfff"}',
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "1,000 names": json.dumps({f"n{number}": number for number in range(1_000)}).encode(),
    "10,000 names": json.dumps({f"n{number}": number for number in range(10_000)}).encode(),
    "a long text": json.dumps({"name": "x" * 100_000}).encode(),
    "a repeated name": b'{"name": "a", "name": "b"}',
}


def ask(
    client: Client,
    method: str,
    path: str,
    body: bytes = b"",
    content_type: str = "application/json",
    **more: str,
) -> Any:
    headers = HEADERS | {name.replace("_", "-"): value for name, value in more.items()}
    response = client.generic(method, path, body, content_type=content_type, headers=headers)
    if response.status_code >= 400 and path.startswith(OTLP):
        assert response["Content-Type"] in ("application/json", "application/x-protobuf"), (method, path)
    elif response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json", (method, path)
        document = response.json()
        assert document["status"] == response.status_code
        assert document["code"]
    assert response.status_code < 500, (method, path, response.content)
    return response


HEADERS: dict[str, str] = {}
OTLP = "/api/v1/operations/otlp/"
"""Refused as its protocol says: a google.rpc.Status in the form of the request."""


@pytest.fixture(autouse=True)
def _key() -> None:
    HEADERS.clear()
    HEADERS.update(key_headers("*"))


def path_of(route: str, sample: str | None = None) -> str:
    return re.sub(r"<(?:(\w+):)?\w+>", lambda found: sample or SAMPLES[found[1] or "str"], route)


def test_there_is_something_to_try() -> None:
    assert ("POST", "/api/v1/financial/costs") in ALL
    assert len(ALL) >= 10


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name == "10,000 names" else name for name in BODIES],
)
def test_bodies(client: Client, name: str) -> None:
    for method, route in ALL:
        if method in WRITES:
            for key in ({}, {"Idempotency_Key": f"{method} {name}".replace(" ", "-")}, {"If_Match": "*"}):
                ask(client, method, path_of(route), BODIES[name], **key)


BODILESS = ("/revoke", "/archive", "/release", "/approve", "/withdraw")
"""Endpoints that take no body do not look at its type."""


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data", "a/b/c", "", "é"]
)
def test_content_types(client: Client, content_type: str) -> None:
    for method, route in ALL:
        if method in WRITES:
            key = f"{method} {route} {content_type!a}".replace(" ", "-")[:255]
            response = ask(client, method, path_of(route), b'{"a": 1}', content_type, Idempotency_Key=key)
            assert response.status_code in {404, 415} or route.endswith(BODILESS), route


def test_encodings(client: Client) -> None:
    for method, route in ALL:
        if method in WRITES:
            for encoding, body in (("gzip", b"x"), ("gzip", gzip.compress(b"{}")[:-4]), ("br", b"x")):
                ask(client, method, path_of(route), body, Content_Encoding=encoding)


QUERIES = [
    "limit=0", "limit=x", "limit=99999999999999999999", "limit=1&limit=2", "cursor=x", "cursor=%00",
    "surprise=1", "start=x", "start=9999-12-31T23:59:59-14:00", "start=0001-01-01T00:00:00%2B14:00",
    "since=x", "end=2026-02-30", "start=2026-11-02&end=2026-11-02", "tz=Mars/Olympus", "tz=../../etc/passwd",
    "tz=%00", "group_by=x", "group_by=day,hour", "group_by=", "actor=x", "entity_type=%ED%A0%80", "model=%FF",
    "model=" + "x" * 5000, "source=%00", "unpriced=maybe", "tag=x", "%00=1", "%FF=1", "a" * 5000, "&&&", "=",
    "%", "entity_type=a",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_queries(client: Client, query: str) -> None:
    for method, route in ALL:
        if method == "GET":
            ask(client, method, f"{path_of(route)}?{query}")


@pytest.mark.parametrize(
    "sample", ["\0", "\ud800", "é", "😀", "x" * 3000, "%", "..", " ", "'", "*", "a b", "1e9", "-1"]
)
def test_paths(client: Client, sample: str) -> None:
    quoted = quote(sample.encode("utf-8", "surrogatepass"), safe="")
    for method, route in ALL:
        if "<" in route:
            ask(client, method, path_of(route, quoted), b"{}")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(
                ["name", "scopes", "source", "event_id", "occurred_at", "usage", "amount", "tags", "x"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(junk=JUNK)
def test_anything_json_can_say(client: Client, junk: Any) -> None:
    body = json.dumps(junk).encode()
    for method, route in ALL:
        if method in WRITES:
            ask(client, method, path_of(route), body)
