"""Unit prices and costs by quantity as tests make them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from financial.models import UnitPrice
from financial.services.unit_prices import (
    set_unit_price,
)

UNIT_PRICES = "/api/v1/financial/unit-prices"


def day(number: int, month: int = 11) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


def price(amount: str, **changes: Any) -> UnitPrice:
    fields: dict[str, Any] = {
        "cost_type": "tool", "unit": "call", "price": amount, "valid_from": day(1, 1)
    }  # fmt: skip
    return set_unit_price(**{**fields, **changes})


def counted(quantity: Any, unit: str | None = "call", **changes: Any) -> dict[str, Any]:
    body = {
        "source": "gateway", "event_id": "e-1", "occurred_at": "2026-11-02T10:00:00Z", "entity_type": "agent",
        "entity_id": "support-bot", "cost_type": "tool", "quantity": quantity, "unit": unit,
    }  # fmt: skip
    body.update(changes)
    return {name: value for name, value in body.items() if value is not ...}
