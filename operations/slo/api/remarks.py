"""``slos/{id}/adjustments`` and ``slos/{id}/annotations``."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import validated
from agent_factory_site.common.api.views import ApiListView
from operations.slo.selectors.slos import find_slo
from operations.slo.services.remarks import adjust_budget, annotate

from . import schemas
from .definitions import READ, SLO, WRITE


class AdjustmentsView(ApiListView):
    """Budget adjustments of an SLO; they are never changed."""

    scopes: ClassVar = {"GET": READ, "POST": WRITE}
    ordering: ClassVar = ("-id",)
    serializer_class = schemas.AdjustmentSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        return find_slo(self.kwargs["slo"]).adjustments.all()

    @extend_schema(
        operation_id="list_budget_adjustments",
        summary="Budget adjustments, the newest first",
        parameters=[SLO],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="adjust_budget",
        summary="Give budget back (above 0) or take it away (below 0)",
        description="In events where the SLO budgets by occurrences, in minutes where by time slices.",
        parameters=[SLO],
        request=schemas.AdjustmentRequest,
        responses={201: schemas.AdjustmentSchema},
    )
    @idempotent()
    def post(self, request: Request, slo: str) -> Response:
        row = adjust_budget(slo=slo, **validated(schemas.AdjustmentRequest, request))
        return Response(schemas.rendered_adjustment(row), status=201)


class AnnotationsView(ApiListView):
    """Annotations on the timeline of an SLO."""

    scopes: ClassVar = {"GET": READ, "POST": WRITE}
    ordering: ClassVar = ("-id",)
    serializer_class = schemas.AnnotationSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        return find_slo(self.kwargs["slo"]).annotations.all()

    @extend_schema(
        operation_id="list_slo_annotations", summary="Annotations, the newest first", parameters=[SLO]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="annotate_slo",
        summary="Write on the timeline of an SLO",
        parameters=[SLO],
        request=schemas.AnnotationRequest,
        responses={201: schemas.AnnotationSchema},
    )
    @idempotent()
    def post(self, request: Request, slo: str) -> Response:
        row = annotate(slo=slo, **validated(schemas.AnnotationRequest, request))
        return Response(schemas.rendered_annotation(row), status=201)
