"""``/api/v1/financial/prices``: dated prices, and overrides of them."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, require_match
from agent_factory_site.common.api.fields import InstantField, TextField, format_instant
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import StrictSerializer, validated
from agent_factory_site.common.api.views import ApiListView, ApiView
from financial.domain.pricing import USAGE_PARTS
from financial.models import PriceVersion
from financial.selectors.prices import get_price, list_prices
from financial.services.price_overrides import archive_price, change_price, set_price_override

PER_MILLION: Any = {"type": "string", "example": "2.50", "description": "Currency units per million units."}


@extend_schema_field(
    {
        "type": "object",
        "description": "Rates by usage part; a part without one takes that of the part it lies in.",
        "properties": {
            part: {
                "type": "object",
                "required": ["per_million"],
                "additionalProperties": False,
                "properties": {
                    "per_million": PER_MILLION,
                    "tiers": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["above", "per_million"],
                            "additionalProperties": False,
                            "properties": {
                                "above": {"type": "integer", "minimum": 0, "description": "Input tokens."},
                                "per_million": PER_MILLION,
                            },
                        },
                    },
                },
            }
            for part in USAGE_PARTS
        },
        "additionalProperties": False,
        "minProperties": 1,
    }
)
class RatesField(serializers.Field):
    """Rates as they are written; the service names what is wrong with them."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


class PriceSerializer(StrictSerializer):
    """A dated price. All but the end, the note and the archiving is as it was first written."""

    id = serializers.UUIDField(read_only=True)
    provider = TextField(max_length=100)
    model = TextField(max_length=255)
    service_tier = TextField(max_length=16, required=False)
    currency = TextField(max_length=3, required=False)
    valid_from = InstantField(required=False)
    valid_to = InstantField(required=False, allow_null=True)
    rates = RatesField()
    note = TextField(required=False, allow_blank=True)
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=PriceVersion.Source.choices, read_only=True
    )
    source_version = serializers.CharField(read_only=True)
    catalogue_model = serializers.CharField(read_only=True)
    daily_from = serializers.TimeField(read_only=True, allow_null=True)
    daily_to = serializers.TimeField(read_only=True, allow_null=True)
    created_at = InstantField(read_only=True)
    archived_at = InstantField(read_only=True, allow_null=True)


class PriceChange(StrictSerializer):
    """What can be changed of an override."""

    valid_to = InstantField(required=False, allow_null=True)
    note = TextField(required=False, allow_blank=True)


class PriceQuery(StrictSerializer):
    """Filters of the list."""

    provider = TextField(required=False, max_length=100, help_text="In any spelling.")
    model = TextField(required=False, max_length=255, help_text="Its name, or the catalogue's.")
    at = InstantField(required=False, help_text="Prices whose dates hold this moment.")
    source = serializers.ChoiceField(  # type: ignore[assignment]
        choices=PriceVersion.Source.choices, required=False
    )
    service_tier = serializers.ChoiceField(choices=PriceVersion.ServiceTier.choices, required=False)
    archived = serializers.ChoiceField(
        choices=["true", "false"], required=False, help_text="Whether to list archived prices as well."
    )


class PricesView(ApiListView):
    """Dated prices (GET) and overrides of them (POST)."""

    scopes: ClassVar = {"GET": "financial:read", "POST": "financial:admin"}
    ordering: ClassVar = ("-id",)
    query_class = PriceQuery
    serializer_class = PriceSerializer

    def rows(self, query: dict[str, Any]) -> QuerySet[PriceVersion]:
        return list_prices(**{**query, "archived": query.get("archived") == "true"})

    @extend_schema(
        operation_id="list_prices", summary="Dated prices, the newest first", parameters=[PriceQuery]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_price",
        summary="Override the price of a model for some dates",
        request=PriceSerializer,
        responses={201: PriceSerializer},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        row = set_price_override(**validated(PriceSerializer, request))
        return _answer(row, status=201)


class PriceView(ApiView):
    """One price."""

    scopes: ClassVar = {"GET": "financial:read", "PATCH": "financial:admin"}

    @extend_schema(operation_id="get_price", summary="One price", responses={200: PriceSerializer})
    def get(self, request: Request, price_id: UUID) -> Response:
        return _answer(get_price(price_id))

    @extend_schema(
        operation_id="change_price",
        summary="Change the end or the note of an override",
        request=PriceChange,
        responses={200: PriceSerializer},
    )
    def patch(self, request: Request, price_id: UUID) -> Response:
        changes = validated(PriceChange, request)
        row = change_price(
            price_id=price_id, check=lambda stored: require_match(request, _etag(stored)), **changes
        )
        return _answer(row)


class PriceArchiveView(ApiView):
    """Taking an override out of use."""

    scopes: ClassVar = {"POST": "financial:admin"}

    @extend_schema(
        operation_id="archive_price",
        summary="Take an override out of use for all its dates",
        request=None,
        responses={200: PriceSerializer},
    )
    def post(self, request: Request, price_id: UUID) -> Response:
        return _answer(archive_price(price_id=price_id))


def _etag(row: PriceVersion) -> str:
    moments = (format_instant(moment) if moment else "" for moment in (row.valid_to, row.archived_at))
    return etag_of(sha256("\n".join((*moments, row.note)).encode()).hexdigest()[:16])


def _answer(row: PriceVersion, status: int = 200) -> Response:
    headers = {"ETag": _etag(row)}
    if status == 201:
        headers["Location"] = f"/api/v1/financial/prices/{row.pk}"
    return Response(PriceSerializer(row).data, status=status, headers=headers)
