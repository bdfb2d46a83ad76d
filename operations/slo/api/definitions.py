"""``slis``, ``slos`` and ``maintenance-windows``: making, changing and archiving them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, is_unchanged, require_match
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import Invalid
from operations.slo.models import MaintenanceWindow, Sli, Slo
from operations.slo.selectors.slos import (
    get_maintenance_window,
    get_sli,
    get_slo,
    list_maintenance_windows,
    list_slis,
    list_slos,
)
from operations.slo.services.maintenance import (
    archive_maintenance_window,
    change_maintenance_window,
    create_maintenance_window,
)
from operations.slo.services.slis import archive_sli, change_sli, create_sli
from operations.slo.services.slos import archive_slo, change_slo, create_slo

from . import schemas

SLO: Final = OpenApiParameter("slo", str, OpenApiParameter.PATH, description="Its key or id.")
READ: Final = "operations:read"
WRITE: Final = "operations:write"


def body_of_request(request: Request) -> Mapping[str, Any]:
    """The object that was sent."""
    if not isinstance(request.data, Mapping):
        raise Invalid.field_error("", "not_an_object", "The body must be an object.")
    return request.data


def _etag(row: Sli | Slo | MaintenanceWindow) -> str:
    return etag_of(row.version)


def _answer(row: Any, body: dict[str, Any], status: int = 200, location: str = "") -> Response:
    headers = {"ETag": _etag(row)}
    if status == 201:
        headers["Location"] = f"/api/v1/operations/{location}"
    return Response(body, status=status, headers=headers)


def _read(request: Request, row: Any, body: dict[str, Any]) -> Response:
    if is_unchanged(request, _etag(row)):
        return Response(status=304, headers={"ETag": _etag(row)})
    return _answer(row, body)


class SlisView(ApiListView):
    """Indicators (GET), and making them (POST)."""

    scopes: ClassVar = {"GET": READ, "POST": WRITE}
    ordering: ClassVar = ("key",)
    query_class = schemas.SliQuery
    serializer_class = schemas.SliSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        return list_slis(**query)

    @extend_schema(operation_id="list_slis", summary="Indicators by key")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_sli",
        summary="Make an indicator",
        request=schemas.SLI_REQUEST,
        responses={201: schemas.SliSchema},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        row = create_sli(body=body_of_request(request))
        return _answer(row, schemas.rendered_sli(row), 201, f"slis/{row.key}")


class SliView(ApiView):
    """One indicator."""

    scopes: ClassVar = {"GET": READ, "PATCH": WRITE}

    @extend_schema(operation_id="get_sli", summary="One indicator", responses={200: schemas.SliSchema})
    def get(self, request: Request, key: str) -> Response:
        row = get_sli(key)
        return _read(request, row, schemas.rendered_sli(row))

    @extend_schema(
        operation_id="change_sli",
        summary="Change what is named of an indicator",
        description="Another threshold, operator or slice target begins a new objective in each of its SLOs, into "
        "which the samples still kept are counted.",
        request=schemas.SLI_PATCH,
        responses={200: schemas.SliSchema},
    )
    def patch(self, request: Request, key: str) -> Response:
        row = change_sli(
            sli=key,
            changes=body_of_request(request),
            check=lambda stored: require_match(request, _etag(stored)),
        )
        return _answer(row, schemas.rendered_sli(row))


class SliArchiveView(ApiView):
    """Archiving an indicator."""

    scopes: ClassVar = {"POST": WRITE}

    @extend_schema(
        operation_id="archive_sli",
        summary="Take no more samples of an indicator",
        request=None,
        responses={200: schemas.SliSchema},
    )
    def post(self, request: Request, key: str) -> Response:
        row = archive_sli(sli=key)
        return _answer(row, schemas.rendered_sli(row))


class SlosView(ApiListView):
    """SLOs (GET), and making them (POST)."""

    scopes: ClassVar = {"GET": READ, "POST": WRITE}
    ordering: ClassVar = ("key",)
    query_class = schemas.SloQuery
    serializer_class = schemas.SloSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        return list_slos(**query)

    @extend_schema(operation_id="list_slos", summary="SLOs by key")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_slo",
        summary="Make an SLO",
        description="With the key of an indicator, or with the definition of a new one.",
        request=schemas.SLO_REQUEST,
        responses={201: schemas.SloSchema},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        row = create_slo(body=body_of_request(request))
        return _answer(row, schemas.rendered_slo(row), 201, f"slos/{row.pk}")


class SloView(ApiView):
    """One SLO."""

    scopes: ClassVar = {"GET": READ, "PATCH": WRITE}

    @extend_schema(
        operation_id="get_slo", summary="One SLO", parameters=[SLO], responses={200: schemas.SloSchema}
    )
    def get(self, request: Request, slo: str) -> Response:
        row = get_slo(slo)
        return _read(request, row, schemas.rendered_slo(row))

    @extend_schema(
        operation_id="change_slo",
        summary="Change what is named of an SLO",
        parameters=[SLO],
        request=schemas.SLO_PATCH,
        responses={200: schemas.SloSchema},
    )
    def patch(self, request: Request, slo: str) -> Response:
        row = change_slo(
            slo=slo,
            changes=body_of_request(request),
            check=lambda stored: require_match(request, _etag(stored)),
        )
        return _answer(row, schemas.rendered_slo(row))


class SloArchiveView(ApiView):
    """Archiving an SLO."""

    scopes: ClassVar = {"POST": WRITE}

    @extend_schema(
        operation_id="archive_slo",
        summary="Count no more for an SLO",
        parameters=[SLO],
        request=None,
        responses={200: schemas.SloSchema},
    )
    def post(self, request: Request, slo: str) -> Response:
        row = archive_slo(slo=slo)
        return _answer(row, schemas.rendered_slo(row))


class MaintenanceWindowsView(ApiListView):
    """Maintenance windows (GET), and making them (POST)."""

    scopes: ClassVar = {"GET": READ, "POST": WRITE}
    ordering: ClassVar = ("-id",)
    query_class = schemas.WindowQuery
    serializer_class = schemas.WindowSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        return list_maintenance_windows(**query)

    @extend_schema(operation_id="list_maintenance_windows", summary="Maintenance windows, the newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_maintenance_window",
        summary="Exclude a stretch of time, once or by a rule",
        request=schemas.WINDOW_REQUEST,
        responses={201: schemas.WindowSchema},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        row = create_maintenance_window(body=body_of_request(request))
        return _answer(row, schemas.rendered_window(row), 201, f"maintenance-windows/{row.pk}")


class MaintenanceWindowView(ApiView):
    """One maintenance window."""

    scopes: ClassVar = {"GET": READ, "PATCH": WRITE}

    @extend_schema(
        operation_id="get_maintenance_window",
        summary="One maintenance window",
        responses={200: schemas.WindowSchema},
    )
    def get(self, request: Request, window: UUID) -> Response:
        row = get_maintenance_window(window)
        return _read(request, row, schemas.rendered_window(row))

    @extend_schema(
        operation_id="change_maintenance_window",
        summary="Change what is named of a maintenance window",
        request=schemas.WINDOW_PATCH,
        responses={200: schemas.WindowSchema},
    )
    def patch(self, request: Request, window: UUID) -> Response:
        row = change_maintenance_window(
            window=window,
            changes=body_of_request(request),
            check=lambda stored: require_match(request, _etag(stored)),
        )
        return _answer(row, schemas.rendered_window(row))


class MaintenanceWindowArchiveView(ApiView):
    """Archiving a maintenance window."""

    scopes: ClassVar = {"POST": WRITE}

    @extend_schema(
        operation_id="archive_maintenance_window",
        summary="Have a maintenance window exclude nothing",
        request=None,
        responses={200: schemas.WindowSchema},
    )
    def post(self, request: Request, window: UUID) -> Response:
        row = archive_maintenance_window(window=window)
        return _answer(row, schemas.rendered_window(row))
