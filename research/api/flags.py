"""``/api/v1/research/flags``: feature flags."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, is_unchanged, require_match
from agent_factory_site.common.api.fields import InstantField, TextField, TruthField
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import StrictSerializer
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import Invalid
from research.domain.flag_input import KINDS
from research.models import FeatureFlag
from research.selectors.flags import get_flag, list_flags
from research.services.flags import archive_flag, body_of, change_flag, create_flag

_RULE: Final[Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "targeting": {
            "type": "array",
            "description": "Rules that all have to hold, as those of experiments; empty: everyone.",
            "items": {
                "type": "object",
                "required": ["attribute", "op"],
                "properties": {
                    "attribute": {"type": "string"},
                    "op": {"type": "string"},
                    "value": {},
                },
            },
        },
        "variant": {"type": "string"},
        "split": {
            "type": "array",
            "description": "Instead of a variant: shares of the units; what is left goes on to the next rule.",
            "items": {
                "type": "object",
                "required": ["variant", "weight"],
                "additionalProperties": False,
                "properties": {
                    "variant": {"type": "string"},
                    "weight": {"type": "number", "minimum": 0, "maximum": 1},
                },
            },
        },
    },
}


class AnyField(serializers.Field):
    """A value that the service reads, and names what is wrong with it."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field({"type": "object", "additionalProperties": {}, "description": "Key to value."})
class VariantsField(AnyField):
    """Keys and values."""


@extend_schema_field({"type": "array", "items": _RULE})
class RulesField(AnyField):
    """Rules in the order in which they are asked."""


class FlagSerializer(StrictSerializer):
    """A feature flag."""

    id = serializers.UUIDField(read_only=True)
    key = TextField(max_length=100)
    type = serializers.ChoiceField(choices=KINDS)
    name = TextField(required=False, allow_blank=True)
    description = TextField(required=False, allow_blank=True)
    variants = VariantsField(required=False)
    default_variant = TextField(required=False)
    enabled = TruthField(required=False)
    unit = TextField(required=False, help_text="The type of the entities that splits divide.")
    salt = TextField(required=False, allow_blank=True, help_text="Empty: splits hash with the key.")
    rules = RulesField(required=False)
    experiment = TextField(
        required=False, allow_null=True, help_text="Key or id of an experiment that decides after the rules."
    )
    experiment_field = TextField(
        required=False, allow_blank=True, help_text="The field of its payload that is the value."
    )
    created_at = InstantField(read_only=True)
    updated_at = InstantField(read_only=True)
    archived_at = InstantField(read_only=True, allow_null=True)

    def to_representation(self, instance: FeatureFlag) -> dict[str, Any]:
        return {
            "id": str(instance.pk),
            **body_of(instance),
            "created_at": self.fields["created_at"].to_representation(instance.created_at),
            "updated_at": self.fields["updated_at"].to_representation(instance.updated_at),
            "archived_at": instance.archived_at
            and self.fields["archived_at"].to_representation(instance.archived_at),
        }


class FlagChange(StrictSerializer):
    """What can be changed of a flag."""

    name = TextField(required=False, allow_blank=True)
    description = TextField(required=False, allow_blank=True)
    variants = VariantsField(required=False)
    default_variant = TextField(required=False)
    enabled = TruthField(required=False)
    unit = TextField(required=False)
    salt = TextField(required=False, allow_blank=True)
    rules = RulesField(required=False)
    experiment = TextField(required=False, allow_null=True)
    experiment_field = TextField(required=False, allow_blank=True)


class FlagQuery(StrictSerializer):
    """Filters of the list."""

    q = TextField(required=False, max_length=200, help_text="Part of the key or the name.")
    type = serializers.ChoiceField(choices=KINDS, required=False)
    enabled = serializers.ChoiceField(choices=["true", "false"], required=False)
    archived = serializers.ChoiceField(
        choices=["true", "false"], required=False, help_text="Whether to list archived flags as well."
    )


class FlagsView(ApiListView):
    """Flags (GET), and making them (POST)."""

    scopes: ClassVar = {"GET": "research:read", "POST": "research:write"}
    ordering: ClassVar = ("key",)
    query_class = FlagQuery
    serializer_class = FlagSerializer

    def rows(self, query: dict[str, Any]) -> QuerySet[FeatureFlag]:
        enabled = query.get("enabled")
        return list_flags(
            q=query.get("q", ""),
            kind=query.get("type"),
            enabled=None if enabled is None else enabled == "true",
            archived=query.get("archived") == "true",
        )

    @extend_schema(operation_id="list_flags", summary="Feature flags by key", parameters=[FlagQuery])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_flag",
        summary="Make a feature flag",
        request=FlagSerializer,
        responses={201: FlagSerializer},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        return _answer(create_flag(body=_body(request)), status=201)


_NAME: Final = OpenApiParameter("flag", str, OpenApiParameter.PATH, description="Its key or id.")


class FlagView(ApiView):
    """One flag."""

    scopes: ClassVar = {"GET": "research:read", "PATCH": "research:write"}

    @extend_schema(
        operation_id="get_flag",
        summary="One feature flag",
        parameters=[_NAME],
        responses={200: FlagSerializer},
    )
    def get(self, request: Request, flag: str) -> Response:
        found = get_flag(flag)
        if is_unchanged(request, _etag(found)):
            return Response(status=304, headers={"ETag": _etag(found)})
        return _answer(found)

    @extend_schema(
        operation_id="change_flag",
        summary="Change a feature flag, or switch it on or off",
        parameters=[_NAME],
        request=FlagChange,
        responses={200: FlagSerializer},
    )
    def patch(self, request: Request, flag: str) -> Response:
        changes = _body(request)
        return _answer(
            change_flag(
                flag_id=flag, changes=changes, check=lambda stored: require_match(request, _etag(stored))
            )
        )


class FlagArchiveView(ApiView):
    """Taking a flag out of use."""

    scopes: ClassVar = {"POST": "research:write"}

    @extend_schema(
        operation_id="archive_flag",
        summary="Take a feature flag out of use for good",
        parameters=[_NAME],
        request=None,
        responses={200: FlagSerializer},
    )
    def post(self, request: Request, flag: str) -> Response:
        return _answer(archive_flag(flag_id=flag))


def _body(request: Request) -> dict[str, Any]:
    body = plain(request.data)
    if not isinstance(body, Mapping):
        raise Invalid.field_error("", "not_an_object", "The body must be an object.")
    return dict(body)


def plain(value: Any) -> Any:
    """Decoded JSON with numbers that are stored as JSON again: a fraction makes a double."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def _etag(row: FeatureFlag) -> str:
    return etag_of(row.version)


def _answer(row: FeatureFlag, status: int = 200) -> Response:
    headers = {"ETag": _etag(row)}
    if status == 201:
        headers["Location"] = f"/api/v1/research/flags/{row.key}"
    return Response(FlagSerializer(row).data, status=status, headers=headers)
