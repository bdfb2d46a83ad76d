"""``/api/v1/common/allowed-networks``."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.models import AllowedNetwork
from agent_factory_site.common.selectors.allowed_networks import allowed_network_by_id, list_allowed_networks
from agent_factory_site.common.services.allowed_networks import (
    MAX_PURPOSE,
    allow_network,
    archive_allowed_network,
)

from .fields import InstantField, TextField, WholeNumberField
from .serializers import StrictSerializer, validated
from .views import ApiListView, ApiView


class AllowedNetworkSerializer(StrictSerializer):
    """A network inside the house that outgoing requests may reach."""

    id = serializers.UUIDField()
    cidr = serializers.CharField()
    port = serializers.IntegerField(allow_null=True, help_text="`null`: every port.")
    purpose = serializers.CharField()
    created_by = serializers.CharField(help_text="Who opened it, such as `user:7`.")
    created_at = InstantField()
    archived_at = InstantField(allow_null=True, help_text="When it was closed again.")


class AllowNetworkSerializer(StrictSerializer):
    """What to open, and what for."""

    cidr = TextField(max_length=43, help_text="`10.20.0.0/16`, `192.168.7.5` or `fd12:3456::/48`.")
    port = WholeNumberField(
        min_value=1, max_value=65535, allow_null=True, required=False, help_text="Loopback needs one."
    )
    purpose = TextField(max_length=MAX_PURPOSE)


class AllowedNetworksQuery(StrictSerializer):
    """Which of them."""

    archived = serializers.BooleanField(default=False, help_text="Those that were closed again.")


class AllowedNetworksView(ApiListView):
    """Networks that are open, newest first, or one more."""

    scopes: ClassVar = {"GET": "common:read", "POST": "common:admin"}
    serializer_class = AllowedNetworkSerializer
    query_class = AllowedNetworksQuery
    ordering = ("-id",)

    def rows(self, query: dict[str, Any]) -> QuerySet[AllowedNetwork]:
        return list_allowed_networks(archived=query["archived"])

    @extend_schema(
        operation_id="list_allowed_networks",
        summary="List allowed networks",
        parameters=[AllowedNetworksQuery],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request)

    @extend_schema(
        operation_id="allow_network",
        summary="Let outgoing requests reach a network inside the house",
        description="Private, shared, loopback (with a port), benchmarking and unique local networks alone. "
        "Addresses where cloud platforms hand out credentials stay closed whatever is opened around them.",
        request=AllowNetworkSerializer,
        responses={201: AllowedNetworkSerializer},
    )
    def post(self, request: Request) -> Response:
        row = allow_network(**validated(AllowNetworkSerializer, request))
        return Response(
            AllowedNetworkSerializer(row).data, status=201, headers={"Location": f"{request.path}/{row.pk}"}
        )


class AllowedNetworkView(ApiView):
    """One allowed network."""

    scopes: ClassVar = {"GET": "common:read"}

    @extend_schema(
        operation_id="get_allowed_network",
        summary="One allowed network",
        responses={200: AllowedNetworkSerializer},
    )
    def get(self, request: Request, network_id: UUID) -> Response:
        return Response(AllowedNetworkSerializer(allowed_network_by_id(network_id)).data)


class ArchiveAllowedNetworkView(ApiView):
    """Closing a network again."""

    scopes: ClassVar = {"POST": "common:admin"}

    @extend_schema(
        operation_id="archive_allowed_network",
        summary="Close a network again",
        description="Holds from the next outgoing request on. Closing it again changes nothing.",
        request=None,
        responses={200: AllowedNetworkSerializer},
    )
    def post(self, request: Request, network_id: UUID) -> Response:
        return Response(AllowedNetworkSerializer(archive_allowed_network(network_id=network_id)).data)
