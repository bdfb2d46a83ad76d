"""Costs sent with an ``Idempotency-Key``."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from financial.models import CostEvent
from tests.common.callers import key_headers

pytestmark = pytest.mark.django_db

URL = "/api/v1/financial/costs"


def cost(number: int, **more: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "source": "tests",
        "occurred_at": "2026-11-02T10:11:12Z",
        "entity_type": "agent",
        "entity_id": "a",
        "cost_type": "tool",
        "amount": "1.00",
        "currency": settings.BASE_CURRENCY,
        **more,
    }


def test_a_batch_is_answered_again_as_it_was(client: Client) -> None:
    headers = key_headers("ingest") | {"Idempotency-Key": "batch-1"}
    body = json.dumps([cost(1), cost(2), cost(3, amount="no")])
    first, again = (
        client.post(URL, body, content_type="application/json", headers=headers) for _ in range(2)
    )
    assert first.status_code == again.status_code == 200
    assert (first.json()["accepted"], first.json()["duplicates"]) == (2, 0)
    assert (again.content, again["Idempotent-Replayed"]) == (first.content, "true")
    assert CostEvent.objects.count() == 2


def test_the_limit_of_a_body_is_that_of_costs(client: Client) -> None:
    assert settings.COST_MAX_BODY_BYTES > settings.API_MAX_BODY_BYTES
    body = json.dumps(cost(1)).encode() + b" " * settings.API_MAX_BODY_BYTES
    for headers in ({}, {"Idempotency-Key": "k"}):
        sent = key_headers("ingest") | headers
        assert client.post(URL, body, content_type="application/json", headers=sent).status_code in {200, 201}
    too_large = body + b" " * settings.COST_MAX_BODY_BYTES
    response = client.post(URL, too_large, content_type="application/json", headers=sent)
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
