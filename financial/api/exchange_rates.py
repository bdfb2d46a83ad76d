"""``/api/v1/financial/exchange-rates``: what currencies were worth on each day."""

from __future__ import annotations

import re
from datetime import date
from typing import Any, ClassVar, Final
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.fields import InstantField, TextField
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import StrictSerializer, validated
from agent_factory_site.common.api.views import ApiListView, ApiView
from financial.models import ExchangeRate
from financial.selectors.exchange import get_exchange_rate, list_exchange_rates
from financial.services.exchange_rates import add_exchange_rate, archive_exchange_rate

from .unit_prices import FixedPointField

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")


class DayField(serializers.DateField):
    """A calendar day as ``2026-11-20`` and in no other form."""

    default_error_messages = {"invalid": "A day is written as 2026-11-20."}

    def to_internal_value(self, value: Any) -> date:
        if not isinstance(value, str) or not _DAY.match(value):
            self.fail("invalid")
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail("invalid")


class ExchangeRateSerializer(StrictSerializer):
    """One unit of base is worth rate of quote on a day (UTC). It never changes; it may be archived."""

    id = serializers.UUIDField(read_only=True)
    base = TextField(max_length=3)
    quote = TextField(max_length=3)
    day = DayField()
    rate = FixedPointField()
    source = TextField(  # type: ignore[assignment]
        max_length=100, required=False, allow_blank=True
    )
    created_at = InstantField(read_only=True)
    archived_at = InstantField(read_only=True, allow_null=True)


class ExchangeRateQuery(StrictSerializer):
    """Filters of the list."""

    base = TextField(required=False, max_length=3)
    quote = TextField(required=False, max_length=3)
    day = DayField(required=False)
    archived = serializers.ChoiceField(
        choices=["true", "false"], required=False, help_text="Whether to list archived rates as well."
    )


class ExchangeRatesView(ApiListView):
    """Dated exchange rates (GET), and adding them (POST)."""

    scopes: ClassVar = {"GET": "financial:read", "POST": "financial:admin"}
    ordering: ClassVar = ("-id",)
    query_class = ExchangeRateQuery
    serializer_class = ExchangeRateSerializer

    def rows(self, query: dict[str, Any]) -> QuerySet[ExchangeRate]:
        return list_exchange_rates(**{**query, "archived": query.get("archived") == "true"})

    @extend_schema(
        operation_id="list_exchange_rates",
        summary="Exchange rates, the newest first",
        parameters=[ExchangeRateQuery],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_exchange_rate",
        summary="Add the exchange rate of a day",
        description="The rate that is there already is answered as it is; another one for the same pair and day "
        "is 409 other_rate until the first is archived.",
        request=ExchangeRateSerializer,
        responses={201: ExchangeRateSerializer},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        row = add_exchange_rate(**validated(ExchangeRateSerializer, request))
        location = f"/api/v1/financial/exchange-rates/{row.pk}"
        return Response(ExchangeRateSerializer(row).data, status=201, headers={"Location": location})


class ExchangeRateView(ApiView):
    """One exchange rate."""

    scopes: ClassVar = {"GET": "financial:read"}

    @extend_schema(
        operation_id="get_exchange_rate",
        summary="One exchange rate",
        responses={200: ExchangeRateSerializer},
    )
    def get(self, request: Request, rate_id: UUID) -> Response:
        return Response(ExchangeRateSerializer(get_exchange_rate(rate_id)).data)


class ExchangeRateArchiveView(ApiView):
    """Taking an exchange rate out of use."""

    scopes: ClassVar = {"POST": "financial:admin"}

    @extend_schema(
        operation_id="archive_exchange_rate",
        summary="Take an exchange rate out of use",
        request=None,
        responses={200: ExchangeRateSerializer},
    )
    def post(self, request: Request, rate_id: UUID) -> Response:
        return Response(ExchangeRateSerializer(archive_exchange_rate(rate_id=rate_id)).data)
