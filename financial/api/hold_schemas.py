"""What the OpenAPI document says of holds; the views decode and encode with msgspec."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from agent_factory_site.common.api.problems import CONTENT_TYPE
from financial.domain.hold_input import HoldInput, SettleInput
from financial.models import Hold

from .schemas import AMOUNT, CostWithNetSchema, request_schema

HOLD_REQUEST: Final = {"application/json": request_schema(HoldInput)}
SETTLE_REQUEST: Final = {"application/json": request_schema(SettleInput)}

_TEXT: Final = {"type": "string"}
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_EXCEEDED: Final[dict[str, Any]] = {
    "description": "The budget that refused the hold, and what is left of it.",
    "allOf": [_PROBLEM],
    "properties": {
        "code": {"const": "budget_exceeded"},
        "budget": {
            "type": "object",
            "required": ["id", "name", "entity_type", "entity_id"],
            "properties": {
                "id": {**_TEXT, "format": "uuid"},
                "name": _TEXT,
                "entity_type": _TEXT,
                "entity_id": _TEXT,
            },
        },
        "period": {**_TEXT, "description": "The key of the period, such as 2026-11."},
        **dict.fromkeys(("limit", "settled", "held", "remaining", "requested", "currency"), _TEXT),
        "renews_at": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When the next period begins; null where there is none.",
        },
    },
    "required": [
        "budget", "period", "limit", "settled", "held", "remaining", "requested", "currency", "renews_at",
    ],
}  # fmt: skip
EXCEEDED: Final = {(402, CONTENT_TYPE): OpenApiResponse(_EXCEEDED, "A hard budget has less left than that.")}
ENDED_OTHERWISE: Final = {(409, CONTENT_TYPE): OpenApiResponse(_PROBLEM, "The hold has ended otherwise.")}


class HeldBudgetSchema(serializers.Serializer):
    """What a hold takes of one budget."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    period = serializers.CharField(help_text="The key of the period, such as 2026-11.")
    amount = serializers.CharField(help_text=AMOUNT)
    currency = serializers.CharField(help_text="The budget's.")


class HoldSchema(serializers.Serializer):
    """Money set aside."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=Hold.State.choices)
    amount = serializers.CharField(help_text=AMOUNT)
    currency = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    budgets = HeldBudgetSchema(many=True)
    event = CostWithNetSchema(
        allow_null=True, help_text="The ledger event that it was settled with; null in any other state."
    )


class HoldPageSchema(serializers.Serializer):
    """A page of holds."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = HoldSchema(many=True)
