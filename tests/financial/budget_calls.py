"""Calls of the API of budgets, and bodies to vary."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from agent_factory_site.common.services.api_keys import create_api_key
from tests.common.callers import make_user

from .conftest import Api

BUDGETS = "/api/v1/financial/budgets"


def body(**changes: Any) -> dict[str, Any]:
    values = {
        "name": "Bots", "entity_type": "agent", "entity_id": "bot", "limit": "10.00", "currency": "USD",
        "period": "month", "enforcement": "hard",
    } | changes  # fmt: skip
    return {name: value for name, value in values.items() if value is not ...}


def make(api: Api, **changes: Any) -> str:
    response = api.post(BUDGETS, body(**changes))
    assert response.status_code == 201, response.content
    return response["Location"]


def errors(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


def override(**changes: Any) -> dict[str, Any]:
    return {
        "amount": "5", "until": (timezone.now() + timedelta(hours=1)).isoformat(), "reason": "Black Friday",
    } | changes  # fmt: skip


def person(name: str, scope: str) -> Api:
    api = Api([scope])
    _, api.key = create_api_key(name=name, scopes=[scope], owner=make_user(name))
    return api
