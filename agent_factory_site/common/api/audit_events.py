"""``/api/v1/common/audit-events``."""

from __future__ import annotations

from typing import Any, ClassVar, cast, get_args

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.actors import Actor, ActorKind
from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.selectors.audit_events import find_audit_events

from .fields import InstantField
from .serializers import StrictSerializer
from .views import ApiListView


class AuditEventSerializer(StrictSerializer):
    """Who did what to what, and the values before and after."""

    id = serializers.UUIDField()
    at = InstantField()
    actor = serializers.SerializerMethodField(help_text="A kind and an id, such as `user:7`.")
    action = serializers.CharField()
    target_type = serializers.CharField()
    target_id = serializers.CharField(help_text="Empty for a batch.")
    changes = serializers.JSONField(help_text='`{"field": [before, after]}`, or the summary of a batch.')
    request_id = serializers.CharField()

    def get_actor(self, event: AuditEvent) -> str:
        return f"{event.actor_kind}:{event.actor_id}"


class AuditEventQuery(StrictSerializer):
    """Filters of the audit trail."""

    actor = serializers.CharField(required=False, help_text="A kind and an id, such as `user:7`.")
    action = serializers.CharField(required=False)
    target_type = serializers.CharField(required=False)
    target_id = serializers.CharField(required=False)
    request_id = serializers.CharField(required=False)
    since = InstantField(required=False, help_text="From this time on.")
    until = InstantField(required=False, help_text="Before this time.")

    def validate_actor(self, value: str) -> Actor:
        kind, _, identity = value.partition(":")
        if kind not in get_args(ActorKind) or not identity:
            kinds = ", ".join(get_args(ActorKind))
            raise serializers.ValidationError(f"A kind ({kinds}), a colon and an id.", "bad_actor")
        return Actor(cast("ActorKind", kind), identity)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "since" in attrs and "until" in attrs and attrs["since"] >= attrs["until"]:
            detail = serializers.ErrorDetail("The range is empty: since must be before until.", "empty_range")
            raise serializers.ValidationError({"until": [detail]})
        return attrs


class AuditEventsView(ApiListView):
    """The audit trail."""

    scopes: ClassVar = {"GET": "common:read"}
    serializer_class = AuditEventSerializer
    query_class = AuditEventQuery
    ordering = ("-at", "-id")

    def rows(self, query: dict[str, Any]) -> QuerySet[AuditEvent]:
        return find_audit_events(**query)

    @extend_schema(operation_id="list_audit_events", summary="List audit events, newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request)
