"""A client of the API, and a cost to vary."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

COSTS = "/api/v1/financial/costs"


class Api:
    """Calls the API with one key and reads JSON."""

    def __init__(self, scopes: list[str]) -> None:
        from agent_factory_site.common.services.api_keys import create_api_key

        _, self.key = create_api_key(name="tests", scopes=scopes)
        self.client = Client(raise_request_exception=False)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = headers.pop("content_type", "application/json")
        return self.client.post(path, content, content_type=kind, headers={"X-API-Key": self.key, **headers})

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query, headers={"X-API-Key": self.key})


@pytest.fixture
def api(db: None) -> Api:
    """An API client that may read and write money."""
    return Api(["financial:write"])


@pytest.fixture
def cost() -> Callable[..., dict[str, Any]]:
    """Makes the body of one cost: gpt-4o, 400 fresh + 800 cached input and 310 output tokens = 0.0051 USD."""

    def make(**changes: Any) -> dict[str, Any]:
        body = {
            "event_id": "run-7/llm-3",
            "source": "checkout-bot",
            "occurred_at": "2026-11-02T10:11:12.5Z",
            "entity_type": "agent",
            "entity_id": "support-bot",
            "entities": {"user": "u-17", "team": "emea", "experiment": "prompt-v2"},
            "cost_type": "llm",
            "provider": "openai",
            "model": "gpt-4o",
            "usage": {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310},
            "run_id": "run-7",
            "tags": {"env": "prod"},
        }
        body.update(changes)
        return {name: value for name, value in body.items() if value is not ...}

    return make


@pytest.fixture
def agent(db: None) -> Api:
    """A program with nothing but the scope to send costs."""
    return Api(["ingest"])


@pytest.fixture
def reader(client: Client) -> Client:
    """The browser of somebody who may read money."""
    return _signed_in(client, "financial:read")


@pytest.fixture
def writer(client: Client) -> Client:
    """The browser of somebody who may change what is spent."""
    return _signed_in(client, "financial:write")


@pytest.fixture
def keeper() -> Client:
    """The browser of another person, who may approve."""
    return _signed_in(Client(), "financial:admin", username="bob")


def _signed_in(client: Client, scope: str, **fields: str) -> Client:
    from tests.admin_data import staff

    client.force_login(staff(scope, **fields))
    return client
