"""``slis``, ``slos`` and ``maintenance-windows``: making, changing and archiving them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, is_unchanged, require_match
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import Invalid
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


@dataclass(frozen=True, slots=True)
class Resource:
    """What can be listed, read, made, changed and archived, and how it is rendered.

    ``argument`` is what services call it, ``name`` the attribute that its address below ``path`` ends with.
    """

    path: str
    argument: str
    name: str
    listed: Callable[..., QuerySet[Any]]
    get: Callable[[Any], Any]
    create: Callable[..., Any]
    change: Callable[..., Any]
    archive: Callable[..., Any]
    rendered: Callable[[Any], dict[str, Any]]

    def answer(self, row: Any, status: int = 200) -> Response:
        """A row with its ETag, and where it is when it was made."""
        headers = {"ETag": etag_of(row.version)}
        if status == 201:
            headers["Location"] = f"/api/v1/operations/{self.path}/{getattr(row, self.name)}"
        return Response(self.rendered(row), status=status, headers=headers)


SLIS: Final = Resource(
    "slis", "sli", "key", list_slis, get_sli, create_sli, change_sli, archive_sli, schemas.rendered_sli
)
SLOS: Final = Resource(
    "slos", "slo", "pk", list_slos, get_slo, create_slo, change_slo, archive_slo, schemas.rendered_slo
)
WINDOWS: Final = Resource(
    "maintenance-windows",
    "window",
    "pk",
    list_maintenance_windows,
    get_maintenance_window,
    create_maintenance_window,
    change_maintenance_window,
    archive_maintenance_window,
    schemas.rendered_window,
)


class _ListView(ApiListView):
    """A resource's rows (GET), and making one (POST)."""

    scopes: ClassVar = {"GET": READ, "POST": WRITE}
    resource: ClassVar[Resource]

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        return self.resource.listed(**query)

    @idempotent()
    def post(self, request: Request) -> Response:
        return self.resource.answer(self.resource.create(body=body_of_request(request)), 201)


class _RowView(ApiView):
    """A row of a resource: reading (GET) and changing (PATCH) it."""

    scopes: ClassVar = {"GET": READ, "PATCH": WRITE}
    resource: ClassVar[Resource]

    def get(self, request: Request, **names: Any) -> Response:
        (name,) = names.values()
        row = self.resource.get(name)
        etag = etag_of(row.version)
        if is_unchanged(request, etag):
            return Response(status=304, headers={"ETag": etag})
        return self.resource.answer(row)

    def patch(self, request: Request, **names: Any) -> Response:
        (name,) = names.values()
        row = self.resource.change(
            **{self.resource.argument: name},
            changes=body_of_request(request),
            check=lambda stored: require_match(request, etag_of(stored.version)),
        )
        return self.resource.answer(row)


class _ArchiveView(ApiView):
    """Archiving a row of a resource."""

    scopes: ClassVar = {"POST": WRITE}
    resource: ClassVar[Resource]

    def post(self, request: Request, **names: Any) -> Response:
        (name,) = names.values()
        return self.resource.answer(self.resource.archive(**{self.resource.argument: name}))


@extend_schema_view(
    get=extend_schema(operation_id="list_slis", summary="Indicators by key"),
    post=extend_schema(
        operation_id="create_sli",
        summary="Make an indicator",
        request=schemas.SLI_REQUEST,
        responses={201: schemas.SliSchema},
    ),
)
class SlisView(_ListView):
    """Indicators (GET), and making them (POST)."""

    resource = SLIS
    ordering: ClassVar = ("key",)
    query_class = schemas.SliQuery
    serializer_class = schemas.SliSchema


@extend_schema_view(
    get=extend_schema(operation_id="get_sli", summary="One indicator", responses={200: schemas.SliSchema}),
    patch=extend_schema(
        operation_id="change_sli",
        summary="Change what is named of an indicator",
        description="Another threshold, operator or slice target begins a new objective in each of its SLOs, into "
        "which the samples still kept are counted.",
        request=schemas.SLI_PATCH,
        responses={200: schemas.SliSchema},
    ),
)
class SliView(_RowView):
    """One indicator."""

    resource = SLIS


@extend_schema_view(
    post=extend_schema(
        operation_id="archive_sli",
        summary="Take no more samples of an indicator",
        request=None,
        responses={200: schemas.SliSchema},
    )
)
class SliArchiveView(_ArchiveView):
    """Archiving an indicator."""

    resource = SLIS


@extend_schema_view(
    get=extend_schema(operation_id="list_slos", summary="SLOs by key"),
    post=extend_schema(
        operation_id="create_slo",
        summary="Make an SLO",
        description="With the key of an indicator, or with the definition of a new one.",
        request=schemas.SLO_REQUEST,
        responses={201: schemas.SloSchema},
    ),
)
class SlosView(_ListView):
    """SLOs (GET), and making them (POST)."""

    resource = SLOS
    ordering: ClassVar = ("key",)
    query_class = schemas.SloQuery
    serializer_class = schemas.SloSchema


@extend_schema_view(
    get=extend_schema(
        operation_id="get_slo", summary="One SLO", parameters=[SLO], responses={200: schemas.SloSchema}
    ),
    patch=extend_schema(
        operation_id="change_slo",
        summary="Change what is named of an SLO",
        parameters=[SLO],
        request=schemas.SLO_PATCH,
        responses={200: schemas.SloSchema},
    ),
)
class SloView(_RowView):
    """One SLO."""

    resource = SLOS


@extend_schema_view(
    post=extend_schema(
        operation_id="archive_slo",
        summary="Count no more for an SLO",
        parameters=[SLO],
        request=None,
        responses={200: schemas.SloSchema},
    )
)
class SloArchiveView(_ArchiveView):
    """Archiving an SLO."""

    resource = SLOS


@extend_schema_view(
    get=extend_schema(
        operation_id="list_maintenance_windows", summary="Maintenance windows, the newest first"
    ),
    post=extend_schema(
        operation_id="create_maintenance_window",
        summary="Exclude a stretch of time, once or by a rule",
        request=schemas.WINDOW_REQUEST,
        responses={201: schemas.WindowSchema},
    ),
)
class MaintenanceWindowsView(_ListView):
    """Maintenance windows (GET), and making them (POST)."""

    resource = WINDOWS
    ordering: ClassVar = ("-id",)
    query_class = schemas.WindowQuery
    serializer_class = schemas.WindowSchema


@extend_schema_view(
    get=extend_schema(
        operation_id="get_maintenance_window",
        summary="One maintenance window",
        responses={200: schemas.WindowSchema},
    ),
    patch=extend_schema(
        operation_id="change_maintenance_window",
        summary="Change what is named of a maintenance window",
        request=schemas.WINDOW_PATCH,
        responses={200: schemas.WindowSchema},
    ),
)
class MaintenanceWindowView(_RowView):
    """One maintenance window."""

    resource = WINDOWS


@extend_schema_view(
    post=extend_schema(
        operation_id="archive_maintenance_window",
        summary="Have a maintenance window exclude nothing",
        request=None,
        responses={200: schemas.WindowSchema},
    )
)
class MaintenanceWindowArchiveView(_ArchiveView):
    """Archiving a maintenance window."""

    resource = WINDOWS
