"""Calls of the API of experiments, and a body to vary."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from agent_factory_site.common.services.api_keys import create_api_key

EXPERIMENTS = "/api/v1/research/experiments"


class Api:
    """Calls the API with one key."""

    def __init__(self, *scopes: str, owner: Any = None) -> None:
        _, self.key = create_api_key(name="tests", scopes=scopes, owner=owner)
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str = "", body: Any = None, **headers: str) -> Any:
        url = path if path.startswith("/api") else f"{EXPERIMENTS}{path}"
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(
            method,
            url,
            content,
            content_type="application/json",
            headers={
                "X-API-Key": self.key,
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    def patch(self, path: str, body: Any) -> Any:
        return self("PATCH", path, body, If_Match="*")


def body(**changes: Any) -> dict[str, Any]:
    values = {
        "key": "prompt-v2",
        "name": "Prompt, second version",
        "hypothesis": "Shorter prompts succeed more often.",
        "unit": "user",
        "salt": None,
        "variants": [
            {"key": "control", "weight": 0.5, "payload": {"model": "gpt-4o", "prompt": "v1"}},
            {"key": "treatment", "weight": 0.5, "payload": {}},
        ],
        "coverage": 1.0,
        "targeting": [{"attribute": "country", "op": "in", "value": ["DE", "FR"]}],
        "exclusion_group": None,
        "metrics": [
            {"key": "success", "kind": "proportion", "role": "primary", "direction": "increase", "mde": 0.02},
            {"key": "cost_per_success", "kind": "ratio", "numerator": "cost", "denominator": "success",
             "role": "guardrail", "direction": "decrease", "margin": 0.05},
            {"key": "latency", "kind": "quantile", "q": 0.95, "role": "secondary", "direction": "decrease"},
        ],
        "analysis": {"engine": "sequential", "alpha": 0.05, "power": 0.8, "correction": "holm", "cuped": True,
                     "planned_looks": 5},
    } | changes  # fmt: skip
    return {name: value for name, value in values.items() if value is not ...}


def errors(response: Any, status: int = 400) -> list[tuple[str, str]]:
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    return [(each.get("pointer", each.get("parameter")), each["code"]) for each in response.json()["errors"]]


def conflict(response: Any) -> str:
    assert response.status_code == 409, response.content
    return response.json()["code"]
