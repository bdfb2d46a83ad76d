"""Holds over HTTP as tests place and read them."""

from __future__ import annotations

from typing import Any

from agent_factory_site.common.models import ApiKey
from agent_factory_site.common.services.api_keys import create_api_key
from financial.models import CostEvent, Hold

from .conftest import Api
from .test_holds import sums

HOLDS = "/api/v1/financial/holds"
PAID = {"amount": "2", "currency": "USD"}


def body(**changes: Any) -> dict[str, Any]:
    values = {"entity_type": "agent", "entity_id": "bot", "cost_type": "llm", "amount": "4"} | changes
    return {name: value for name, value in values.items() if value is not ...}


def place(api: Api, key: str = "k-1", **changes: Any) -> Any:
    return api.post(HOLDS, body(**changes), **{"Idempotency-Key": key})


def errors(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


def untouched(budget: Any) -> bool:
    return (
        not Hold.objects.exists() and not CostEvent.objects.exists() and sums(budget) in ([], [(0, 0, 0, 0)])
    )


def key_with_owner(user: Any, *scopes: str) -> Api:
    api = Api([*scopes])
    ApiKey.objects.filter(pk=ApiKey.objects.latest("id").pk).delete()
    _, api.key = create_api_key(name="owned", scopes=scopes, owner=user)
    return api
