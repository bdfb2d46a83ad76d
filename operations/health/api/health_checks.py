"""``/api/v1/operations/health-checks``: agents and tools that are asked, or that tell, how they are."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, require_match
from agent_factory_site.common.api.fields import InstantField, TextField, WholeNumberField, format_instant
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import StrictSerializer, validated, validated_query
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import Invalid
from operations.health.domain.check_input import KINDS, METHODS
from operations.health.models import HealthCheck, HealthCheckResult
from operations.health.selectors.health_checks import get_health_check, list_health_checks, results_of
from operations.health.services.health_checks import (
    archive_health_check,
    body_of,
    change_health_check,
    create_health_check,
    pause_health_check,
    resume_health_check,
)
from operations.health.services.results import record_heartbeat

ROOT: Final = "/api/v1/operations/health-checks"


class HealthCheckChange(StrictSerializer):
    """What can be changed of a health check."""

    name = TextField(required=False, allow_blank=True, max_length=200)
    description = TextField(required=False, allow_blank=True, max_length=2000)
    entity_type = TextField(
        required=False, allow_null=True, max_length=100, help_text="Such as agent or tool."
    )
    entity_id = TextField(required=False, allow_null=True, max_length=255)
    url = TextField(required=False, help_text="Public http or https, or within an allowed network.")
    method = serializers.ChoiceField(choices=METHODS, required=False)
    headers = serializers.DictField(
        child=TextField(),
        required=False,
        write_only=True,
        help_text="Sent with each probe; never shown again, and forgotten when the URL changes.",
    )
    expected_statuses = serializers.ListField(
        child=TextField(), required=False, help_text='Such as "200-299".'
    )
    contains = TextField(required=False, allow_blank=True, help_text="Text that the answer has to contain.")
    interval_seconds = WholeNumberField(required=False, help_text="Between probes, or expected heartbeats.")
    timeout_seconds = serializers.FloatField(required=False, help_text="For the whole answer of a probe.")
    grace_seconds = WholeNumberField(required=False, help_text="How late a heartbeat may come.")
    failure_threshold = WholeNumberField(required=False, help_text="Failures in a row that make it failing.")
    success_threshold = WholeNumberField(required=False, help_text="Successes in a row that end that.")


class HealthCheckRequest(HealthCheckChange):
    """A new health check."""

    key = TextField(max_length=100, help_text="Unique, for URLs and indicators; never changes.")
    kind = serializers.ChoiceField(choices=KINDS, required=False)


class HealthCheckSchema(StrictSerializer):
    """A health check and how it stands."""

    id = serializers.UUIDField()
    key = TextField()
    kind = serializers.ChoiceField(choices=KINDS)
    name = TextField()
    description = TextField()
    entity_type = TextField(allow_null=True)
    entity_id = TextField(allow_null=True)
    url = TextField()
    method = serializers.ChoiceField(choices=METHODS)
    header_names = serializers.ListField(child=TextField(), help_text="Of the headers that are sent.")
    expected_statuses = serializers.ListField(child=TextField())
    contains = TextField()
    interval_seconds = WholeNumberField()
    timeout_seconds = serializers.FloatField()
    grace_seconds = WholeNumberField()
    failure_threshold = WholeNumberField()
    success_threshold = WholeNumberField()
    state = serializers.ChoiceField(choices=HealthCheck.State.choices)
    state_since = InstantField(allow_null=True)
    last_at = InstantField(allow_null=True)
    last_ok = serializers.BooleanField(allow_null=True)
    last_seconds = serializers.FloatField(allow_null=True)
    last_text = TextField(help_text="Why the last result was not good.")
    due_at = InstantField(
        allow_null=True,
        help_text="The next probe, or when a heartbeat counts as missed; null before the first.",
    )
    paused_at = InstantField(allow_null=True)
    archived_at = InstantField(allow_null=True)
    created_at = InstantField()

    def to_representation(self, instance: HealthCheck) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": str(instance.pk),
            **body_of(instance),
            "header_names": instance.header_names,
            "state": instance.state,
            "last_ok": instance.last_ok,
            "last_seconds": instance.last_seconds,
            "last_text": instance.last_text,
        }
        for name in ("state_since", "last_at", "due_at", "paused_at", "archived_at", "created_at"):
            moment = getattr(instance, name)
            shown[name] = format_instant(moment) if moment is not None else None
        return shown


class HealthCheckResultSchema(StrictSerializer):
    """What came of one probe or heartbeat."""

    number = serializers.IntegerField()
    at = InstantField()
    ok = serializers.BooleanField()
    seconds = serializers.FloatField(allow_null=True, help_text="Until the last byte of the answer.")
    status = serializers.IntegerField(allow_null=True, help_text="Of the HTTP answer.")
    text = TextField()


class HeartbeatRequest(StrictSerializer):
    """What a heartbeat may say besides that it came."""

    status = serializers.ChoiceField(choices=["pass", "fail"], required=False)
    text = TextField(required=False, allow_blank=True, max_length=500)


class HealthCheckQuery(StrictSerializer):
    """Filters of the list."""

    q = TextField(required=False, max_length=200, help_text="Part of the key or the name.")
    kind = serializers.ChoiceField(choices=KINDS, required=False)
    state = serializers.ChoiceField(choices=HealthCheck.State.choices, required=False)
    entity_type = TextField(required=False, max_length=100)
    entity_id = TextField(required=False, max_length=255)
    archived = serializers.ChoiceField(
        choices=["true", "false"], required=False, help_text="Whether to list archived checks as well."
    )


_NAME: Final = OpenApiParameter("check", str, OpenApiParameter.PATH, description="Its key or id.")


class HealthChecksView(ApiListView):
    """Health checks (GET), and making them (POST)."""

    scopes: ClassVar = {"GET": "operations:read", "POST": "operations:write"}
    ordering: ClassVar = ("key",)
    query_class = HealthCheckQuery
    serializer_class = HealthCheckSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[HealthCheck]:
        return list_health_checks(**{**query, "archived": query.get("archived") == "true"})

    @extend_schema(operation_id="list_health_checks", summary="Health checks by key")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_health_check",
        summary="Make a health check",
        request=HealthCheckRequest,
        responses={201: HealthCheckSchema},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        check = create_health_check(body=_body(request))
        answer = _answer(check, status=201)
        answer["Location"] = f"{ROOT}/{check.key}"
        return answer


class HealthCheckView(ApiView):
    """One health check."""

    scopes: ClassVar = {"GET": "operations:read", "PATCH": "operations:write"}

    @extend_schema(
        operation_id="get_health_check",
        summary="One health check, as it stands",
        parameters=[_NAME],
        responses={200: HealthCheckSchema},
    )
    def get(self, request: Request, check: str) -> Response:
        return _answer(get_health_check(check))

    @extend_schema(
        operation_id="change_health_check",
        summary="Change a health check",
        description="Another URL forgets the headers, unless they are sent with it.",
        parameters=[_NAME],
        request=HealthCheckChange,
        responses={200: HealthCheckSchema},
    )
    def patch(self, request: Request, check: str) -> Response:
        return _answer(
            change_health_check(
                name=check,
                changes=_body(request),
                check=lambda stored: require_match(request, etag(stored)),
            )
        )


class _Deed(ApiView):
    scopes: ClassVar = {"POST": "operations:write"}


class HealthCheckArchiveView(_Deed):
    """Taking a check out of use."""

    @extend_schema(
        operation_id="archive_health_check",
        summary="Take a health check out of use for good",
        parameters=[_NAME],
        request=None,
        responses={200: HealthCheckSchema},
    )
    def post(self, request: Request, check: str) -> Response:
        return _answer(archive_health_check(name=check))


class HealthCheckPauseView(_Deed):
    """Leaving a check alone for a while."""

    @extend_schema(
        operation_id="pause_health_check",
        summary="Stop asking and expecting; what is not looked at is unknown",
        parameters=[_NAME],
        request=None,
        responses={200: HealthCheckSchema},
    )
    def post(self, request: Request, check: str) -> Response:
        return _answer(pause_health_check(name=check))


class HealthCheckResumeView(_Deed):
    """Going on with a check."""

    @extend_schema(
        operation_id="resume_health_check",
        summary="Ask and expect again from now on",
        parameters=[_NAME],
        request=None,
        responses={200: HealthCheckSchema},
    )
    def post(self, request: Request, check: str) -> Response:
        return _answer(resume_health_check(name=check))


class HeartbeatView(ApiView):
    """A sign of life."""

    scopes: ClassVar = {"POST": ("ingest", "operations:write")}

    @extend_schema(
        operation_id="send_heartbeat",
        summary="Tell that an agent or tool is alive, or that it is not well",
        description="An empty body says that all is well. A check that is paused, archived or asked over HTTP "
        "answers 409.",
        parameters=[_NAME],
        request=HeartbeatRequest,
        responses={200: HealthCheckSchema},
    )
    def post(self, request: Request, check: str) -> Response:
        said = validated(HeartbeatRequest, request) if request.data != {} else {}
        ok = said.get("status", "pass") == "pass"
        return _answer(record_heartbeat(name=check, ok=ok, text=said.get("text", "")))


class HealthCheckResultsView(ApiListView):
    """What came of a check in the last week."""

    scopes: ClassVar = {"GET": "operations:read"}
    ordering: ClassVar = ("-number", "-id")
    serializer_class = HealthCheckResultSchema

    @extend_schema(
        operation_id="list_health_check_results",
        summary="Results of a health check, the latest first; kept for a week",
        parameters=[_NAME],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        validated_query(self.query_class, request)
        rows: QuerySet[HealthCheckResult] = results_of(get_health_check(kwargs["check"]))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    def rows(self, query: dict[str, Any]) -> QuerySet[HealthCheckResult]:
        return HealthCheckResult.objects.none()


def etag(check: HealthCheck) -> str:
    """The version of what can be changed of a check; how it stands moves all the time."""
    return etag_of(check.version)


def _answer(check: HealthCheck, status: int = 200) -> Response:
    return Response(HealthCheckSchema(check).data, status=status, headers={"ETag": etag(check)})


def _body(request: Request) -> dict[str, Any]:
    body = request.data
    if not isinstance(body, Mapping):
        raise Invalid.field_error("", "not_an_object", "The body must be an object.")
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in body.items()}
