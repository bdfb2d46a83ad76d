"""``/api/v1/financial/unit-prices``: dated prices of what is counted in units."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, ClassVar, Final
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
from financial.domain.fixed_point import format_fixed
from financial.models import UnitPrice
from financial.selectors.unit_prices import get_unit_price, list_unit_prices
from financial.services.unit_prices import COST_TYPES, archive_unit_price, change_unit_price, set_unit_price

DECIMAL: Final[Any] = {
    "type": "string",
    "example": "0.00125",
    "description": "A decimal string with up to 12 decimals.",
}


@extend_schema_field(DECIMAL)
class FixedPointField(serializers.Field):
    """A decimal in 1e-12 as a string; what is sent is read by the service."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: int) -> str:
        return format_fixed(value)


class UnitPriceSerializer(StrictSerializer):
    """The price of one unit. All but the end, the note and the archiving is as it was first written."""

    id = serializers.UUIDField(read_only=True)
    cost_type = serializers.ChoiceField(choices=COST_TYPES)
    provider = TextField(max_length=100, required=False, allow_blank=True, help_text="Empty: any.")
    model = TextField(max_length=255, required=False, allow_blank=True, help_text="Empty: any.")
    unit = TextField(max_length=32, help_text="What is counted, such as call, hour, gb_month or minute.")
    price = FixedPointField()
    currency = TextField(max_length=3, required=False)
    valid_from = InstantField(required=False)
    valid_to = InstantField(required=False, allow_null=True)
    note = TextField(required=False, allow_blank=True)
    created_at = InstantField(read_only=True)
    archived_at = InstantField(read_only=True, allow_null=True)


class UnitPriceChange(StrictSerializer):
    """What can be changed of a unit price."""

    valid_to = InstantField(required=False, allow_null=True)
    note = TextField(required=False, allow_blank=True)


class UnitPriceQuery(StrictSerializer):
    """Filters of the list."""

    cost_type = serializers.ChoiceField(choices=COST_TYPES, required=False)
    provider = TextField(required=False, max_length=100, allow_blank=True)
    model = TextField(required=False, max_length=255, allow_blank=True)
    unit = TextField(required=False, max_length=32)
    at = InstantField(required=False, help_text="Prices whose dates hold this moment.")
    archived = serializers.ChoiceField(
        choices=["true", "false"], required=False, help_text="Whether to list archived prices as well."
    )


class UnitPricesView(ApiListView):
    """Dated unit prices (GET), and setting them (POST)."""

    scopes: ClassVar = {"GET": "financial:read", "POST": "financial:admin"}
    ordering: ClassVar = ("-id",)
    query_class = UnitPriceQuery
    serializer_class = UnitPriceSerializer

    def rows(self, query: dict[str, Any]) -> QuerySet[UnitPrice]:
        return list_unit_prices(**{**query, "archived": query.get("archived") == "true"})

    @extend_schema(
        operation_id="list_unit_prices",
        summary="Dated unit prices, the newest first",
        parameters=[UnitPriceQuery],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_unit_price",
        summary="Set the price of one unit for some dates",
        request=UnitPriceSerializer,
        responses={201: UnitPriceSerializer},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        return _answer(set_unit_price(**validated(UnitPriceSerializer, request)), status=201)


class UnitPriceView(ApiView):
    """One unit price."""

    scopes: ClassVar = {"GET": "financial:read", "PATCH": "financial:admin"}

    @extend_schema(
        operation_id="get_unit_price", summary="One unit price", responses={200: UnitPriceSerializer}
    )
    def get(self, request: Request, price_id: UUID) -> Response:
        return _answer(get_unit_price(price_id))

    @extend_schema(
        operation_id="change_unit_price",
        summary="Change the end or the note of a unit price",
        request=UnitPriceChange,
        responses={200: UnitPriceSerializer},
    )
    def patch(self, request: Request, price_id: UUID) -> Response:
        changes = validated(UnitPriceChange, request)
        row = change_unit_price(
            price_id=price_id, check=lambda stored: require_match(request, _etag(stored)), **changes
        )
        return _answer(row)


class UnitPriceArchiveView(ApiView):
    """Taking a unit price out of use."""

    scopes: ClassVar = {"POST": "financial:admin"}

    @extend_schema(
        operation_id="archive_unit_price",
        summary="Take a unit price out of use for all its dates",
        request=None,
        responses={200: UnitPriceSerializer},
    )
    def post(self, request: Request, price_id: UUID) -> Response:
        return _answer(archive_unit_price(price_id=price_id))


def _etag(row: UnitPrice) -> str:
    moments = (format_instant(moment) if moment else "" for moment in (row.valid_to, row.archived_at))
    return etag_of(sha256("\n".join((*moments, row.note)).encode()).hexdigest()[:16])


def _answer(row: UnitPrice, status: int = 200) -> Response:
    headers = {"ETag": _etag(row)}
    if status == 201:
        headers["Location"] = f"/api/v1/financial/unit-prices/{row.pk}"
    return Response(UnitPriceSerializer(row).data, status=status, headers=headers)
