"""``/api/v1/common/api-keys``."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.models import ApiKey, User
from agent_factory_site.common.scopes import EVERYTHING, SCOPES
from agent_factory_site.common.selectors.api_keys import api_key_by_id, list_api_keys
from agent_factory_site.common.services.api_keys import create_api_key, revoke_api_key

from .authentication import KeyPrincipal
from .fields import InstantField, TextField
from .serializers import StrictSerializer, validated
from .views import ApiListView, ApiView


class ApiKeySerializer(StrictSerializer):
    """An API key, without its secret."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The first characters, to recognise a key by.")
    scopes = serializers.ListField(child=serializers.CharField())
    owner = serializers.CharField(
        source="owner_id", allow_null=True, help_text="The id of the user it belongs to."
    )
    created_at = InstantField()
    expires_at = InstantField()
    revoked_at = InstantField(allow_null=True)
    last_used_at = InstantField(allow_null=True, help_text="To the minute.")


class NewApiKeySerializer(ApiKeySerializer):
    """An API key with its secret: shown in this answer and never again."""

    key = serializers.CharField(help_text="The secret: `af_` and 43 letters and digits.")


class CreateApiKeySerializer(StrictSerializer):
    """What a new key may do and for how long."""

    name = TextField(max_length=200)
    scopes = serializers.ListField(
        child=TextField(),
        allow_empty=False,
        max_length=len(SCOPES) + 1,
        help_text=f"Some of {', '.join(f'`{scope}`' for scope in (*SCOPES, EVERYTHING))}.",
    )
    expires_at = InstantField(required=False, help_text="Default: 365 days from now.")


class ApiKeysView(ApiListView):
    """API keys: all of them, newest first, or a new one."""

    scopes: ClassVar = {"GET": "common:admin", "POST": "common:admin"}
    serializer_class = ApiKeySerializer
    ordering = ("-id",)

    def rows(self, query: dict[str, Any]) -> QuerySet[ApiKey]:
        return list_api_keys()

    @extend_schema(operation_id="list_api_keys", summary="List API keys")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request)

    @extend_schema(
        operation_id="create_api_key",
        summary="Create an API key",
        description="The answer shows the key once. A key cannot be given a scope its maker does not hold. "
        "It belongs to whoever makes it: the user, or the owner of the key that is used.",
        request=CreateApiKeySerializer,
        responses={201: NewApiKeySerializer},
    )
    def post(self, request: Request) -> Response:
        wanted = validated(CreateApiKeySerializer, request)
        key, secret = create_api_key(**wanted, owner=_owner(request))
        # Not under an Idempotency-Key: stored answers would keep the secret.
        body = {**ApiKeySerializer(key).data, "key": secret}
        return Response(body, status=201, headers={"Location": f"{request.path}/{key.pk}"})


class ApiKeyView(ApiView):
    """One API key."""

    scopes: ClassVar = {"GET": "common:admin"}

    @extend_schema(operation_id="get_api_key", summary="One API key", responses={200: ApiKeySerializer})
    def get(self, request: Request, key_id: UUID) -> Response:
        return Response(ApiKeySerializer(api_key_by_id(key_id)).data)


class RevokeApiKeyView(ApiView):
    """Ending an API key."""

    scopes: ClassVar = {"POST": "common:admin"}

    @extend_schema(
        operation_id="revoke_api_key",
        summary="Revoke an API key",
        description="Holds from the next request on. Revoking a key again changes nothing.",
        request=None,
        responses={200: ApiKeySerializer},
    )
    def post(self, request: Request, key_id: UUID) -> Response:
        return Response(ApiKeySerializer(revoke_api_key(key_id=key_id)).data)


def _owner(request: Request) -> User | None:
    if isinstance(request.user, KeyPrincipal):
        return request.user.key.owner
    assert isinstance(request.user, User)
    return request.user
