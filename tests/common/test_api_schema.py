"""The OpenAPI document and the pages that show it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.test import Client
from django.urls import get_resolver
from jsonschema import Draft202012Validator

from tests.common.callers import key_headers, make_user
from tests.processes import PATIENCE

pytestmark = [pytest.mark.once, pytest.mark.django_db]

META_SCHEMA = Draft202012Validator(Draft202012Validator.META_SCHEMA)


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    response = client.get("/api/schema", headers=key_headers("ingest") | {"Accept": "application/json"})
    assert response.status_code == 200
    found: dict[str, Any] = json.loads(response.content)
    return found


def test_json_and_yaml_are_the_same_document(client: Client, document: dict[str, Any]) -> None:
    headers = key_headers("ingest")
    for accept in ("application/yaml", "application/vnd.oai.openapi", "*/*"):
        response = client.get("/api/schema", headers=headers | {"Accept": accept})
        assert (response.status_code, yaml.safe_load(response.content)) == (200, document)
    assert document["openapi"] == "3.1.0"
    refused = client.get("/api/schema", headers=headers | {"Accept": "text/csv"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")


@pytest.mark.once
def test_it_is_valid_and_made_without_warnings() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn", "--file", os.devnull],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_every_operation_can_be_refused_with_a_problem(document: dict[str, Any]) -> None:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert len(operations(document)) >= 8
    for path, method, operation in operations(document):
        for status in ("400", "401", "403", "default"):
            assert operation["responses"][status]["content"] == problem, (path, method, status)
        assert ("404" in operation["responses"]) >= ("{" in path), path
        if "requestBody" in operation:
            assert {"413", "415"} <= set(operation["responses"]), (path, method)
        assert re.search(r"Needs (the scope `|any API key)", operation["description"]), (path, method)
        assert operation["summary"], (path, method)


def test_every_operation_names_the_ways_to_authenticate(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme.get("in")) for name, scheme in schemes.items()} == {
        "ApiKeyBearer": ("http", None),
        "ApiKeyHeader": ("apiKey", "header"),
        "AdminSession": ("apiKey", "cookie"),
    }
    for _, _, operation in operations(document):
        assert operation["security"] == [{"ApiKeyBearer": []}, {"ApiKeyHeader": []}, {"AdminSession": []}]


def schemas(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every schema of ``node`` with where it stands."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        here = (*path, str(key))
        if key == "schema" or path[-2:] == ("components", "schemas"):
            yield "/".join(here), value
        elif isinstance(value, dict | list):
            yield from schemas(value, here)


def test_every_schema_is_one_by_the_dialect_of_openapi_3_1(document: dict[str, Any]) -> None:
    found = list(schemas(document, ("", "document")))
    assert len(found) > 300
    wrong = {
        where: [error.message for error in META_SCHEMA.iter_errors(schema)]
        for where, schema in found
        if not META_SCHEMA.is_valid(schema)
    }
    assert wrong == {}
    assert not META_SCHEMA.is_valid({"type": ["string", "null", "null"]})


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(ids) == len(set(ids))


def test_pages_and_filters_are_described(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/common/audit-events"]["get"]
    names = {parameter["name"] for parameter in operation["parameters"]}
    assert names >= {"limit", "cursor", "actor", "action", "target_type", "target_id", "since", "until"}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
    page = document["components"]["schemas"][answer.rsplit("/", 1)[1]]
    assert page["required"] == ["next", "previous", "results"]


def test_every_list_says_how_long_its_pages_are(document: dict[str, Any]) -> None:
    lists = {}
    for path, _, operation in operations(document):
        parameters = {one["name"]: one["schema"] for one in operation.get("parameters", [])}
        if "cursor" in parameters:
            lists[path] = parameters["limit"]
    assert len(lists) > 15
    bounds = {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    assert {path: schema for path, schema in lists.items() if schema != bounds} == {}


def test_a_post_that_honours_the_key_says_so(document: dict[str, Any]) -> None:
    operation = document["paths"]["/api/v1/financial/costs"]["post"]
    (parameter,) = [one for one in operation["parameters"] if one["name"] == "Idempotency-Key"]
    assert (parameter["in"], parameter.get("required", False)) == ("header", False)
    assert parameter["schema"]["maxLength"] == 255
    assert {"409", "422"} <= set(operation["responses"])
    plain = document["paths"]["/api/v1/common/api-keys"]["post"]
    assert "Idempotency-Key" not in {one["name"] for one in plain.get("parameters", [])}


def test_nothing_of_the_api_is_left_out(client: Client, document: dict[str, Any]) -> None:
    routes = set()
    waiting = [("/", pattern) for pattern in get_resolver().url_patterns]
    while waiting:
        before, pattern = waiting.pop()
        route = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            waiting += [(route, inner) for inner in pattern.url_patterns]
        elif route.startswith("/api/v1") and "/otlp/" not in route:
            # OTLP has a description of its own.
            routes.add(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route))
    assert set(document["paths"]) == routes


def test_the_pages_come_from_this_server_alone(client: Client) -> None:
    client.force_login(make_user())
    page = client.get("/api/docs")
    assert (page.status_code, page["Content-Type"]) == (200, "text/html; charset=utf-8")
    html = page.content.decode()
    assert "<script>" not in html
    links = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(links) >= 4
    for link in links:
        assert link.startswith("/"), link
        answer = client.get(link.replace("&amp;", "&"))
        assert answer.status_code == 200, link
    script = client.get("/api/docs?script=")
    assert script["Content-Type"].startswith("application/javascript")
    assert 'url: "/api/schema"' in script.content.decode()


def test_people_are_led_to_the_login_and_programs_are_told(client: Client) -> None:
    response = client.get("/api/docs")
    assert (response.status_code, response["Location"]) == (302, "/admin/login/?next=%2Fapi%2Fdocs")
    response = client.get("/api/schema")
    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")
    response = client.get("/api/docs", headers={"X-API-Key": "af_wrong"})
    assert (response.status_code, response["Content-Type"]) == (401, "application/problem+json")


def test_entry_points(client: Client) -> None:
    body = client.get("/api/v1", headers=key_headers("ingest")).json()
    assert (body["schema"], body["docs"]) == ("http://testserver/api/schema", "http://testserver/api/docs")
    found = {
        point["url"].removeprefix("http://testserver/api/v1/"): point["methods"]
        for point in body["entry_points"]
    }
    assert found["common/api-keys"] == ["GET", "POST"]
    assert found["common/audit-events"] == ["GET"]
    assert found["financial/costs"] == ["GET", "POST"]
    assert not any("<" in url or "{" in url for url in found)
