"""``/api/v1/financial/costs``: sending costs, listing them, breaking them down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.pagination import CursorPages, page_limit
from agent_factory_site.common.api.views import ApiView
from agent_factory_site.common.errors import Conflict, Invalid, NotFound
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from financial.selectors.archives import archived_cost
from financial.selectors.breakdown import cost_breakdown
from financial.selectors.cost_events import CostEventRow, cost_event_page, find_cost_event
from financial.services.record_costs import CONFLICT, record_costs

from . import renderings, schemas
from .cost_bodies import read_costs
from .cost_lists import cost_filters
from .exports import breakdown_csv, export_format
from .ranges import CostQuery, cost_query


class CostsView(ApiView):
    """Record costs (POST) and list recorded ones (GET)."""

    scopes: ClassVar = {"GET": "financial:read", "POST": ("financial:write", "ingest")}

    @property
    def max_body_bytes(self) -> int:
        return settings.COST_MAX_BODY_BYTES

    @extend_schema(
        operation_id="list_costs",
        summary="List recorded costs, newest first",
        parameters=schemas.LIST_PARAMETERS,
        responses={200: schemas.CostPageSchema},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        filters, errors = cost_filters(query, {"cursor", "limit"})
        if errors:
            raise Invalid.fields(*errors)
        page = cost_event_page(filters, limit=page_limit(request), cursor=query.get("cursor") or None)
        pages = CursorPages()
        rows = pages.show(page, request)
        return pages.get_paginated_response([renderings.stored_event(row) for row in rows])

    @extend_schema(
        operation_id="record_costs",
        summary="Record one cost or a batch",
        description=schemas.RECORD_DESCRIPTION,
        request=schemas.COST_REQUEST,
        responses={
            200: OpenApiResponse(
                schemas.BatchOutcomeSchema, "A batch, or a repeat of one cost that is known."
            ),
            201: OpenApiResponse(schemas.CostEventSchema, "One cost, recorded."),
        },
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        body = read_costs(request._request)
        outcome = record_costs(costs=body.costs)
        if not body.single:
            return Response(renderings.batch_outcome(outcome))
        if outcome.rejected:
            errors = outcome.rejected[0]
            if errors == [CONFLICT]:
                raise Conflict("event_conflict", CONFLICT.detail, errors)
            raise Invalid.fields(*errors)
        if outcome.duplicates:
            return Response(known_event(outcome.duplicates[0], renderings.stored_event))
        event = outcome.accepted[0]
        location = f"/api/v1/financial/costs/{event.id}"
        return Response(renderings.recorded_event(event), status=201, headers={"Location": location})


def known_event(event_id: UUID, show: Callable[[CostEventRow], dict[str, Any]]) -> dict[str, Any]:
    """An event that was recorded; of one whose details are archived, what is still known."""
    try:
        return show(find_cost_event(event_id))
    except NotFound:
        archived = archived_cost(event_id)
        if archived is None:
            raise
        return renderings.archived_event(archived)


class CostEventView(ApiView):
    """One ledger row."""

    scopes: ClassVar = {"GET": "financial:read"}

    @extend_schema(
        operation_id="get_cost", summary="One recorded cost", responses={200: schemas.CostWithNetSchema}
    )
    def get(self, request: Request, event_id: UUID) -> Response:
        return Response(known_event(event_id, renderings.stored_event_with_net))


class EntityCostsView(ApiView):
    """What one entity cost."""

    scopes: ClassVar = {"GET": "financial:read"}

    @extend_schema(
        operation_id="entity_costs",
        summary="What an entity cost, in total and by group",
        parameters=schemas.BREAKDOWN_PARAMETERS,
        responses={
            (200, "application/json"): schemas.EntityBreakdownSchema,
            (200, "text/csv"): schemas.BREAKDOWN_CSV,
        },
    )
    def get(self, request: Request, entity_type: str, entity_id: str) -> HttpResponseBase:
        query, form = _breakdown_query(request)
        if entity_type == FLEET[0]:
            raise NotFound("not_found", "The whole fleet is at /api/v1/financial/summary.")
        answer = _breakdown((entity_type, entity_id), query)
        if form == "csv":
            return breakdown_csv(answer, query.group_by)
        return Response({"entity_type": entity_type, "entity_id": entity_id, **answer})


class SummaryView(ApiView):
    """What the whole fleet cost."""

    scopes: ClassVar = {"GET": "financial:read"}

    @extend_schema(
        operation_id="fleet_costs",
        summary="What the whole fleet cost, in total and by group",
        parameters=schemas.BREAKDOWN_PARAMETERS,
        responses={
            (200, "application/json"): schemas.BreakdownSchema,
            (200, "text/csv"): schemas.BREAKDOWN_CSV,
        },
    )
    def get(self, request: Request) -> HttpResponseBase:
        query, form = _breakdown_query(request)
        answer = _breakdown(FLEET, query)
        return breakdown_csv(answer, query.group_by) if form == "csv" else Response(answer)


def _breakdown_query(request: Request) -> tuple[CostQuery, str]:
    form, errors = export_format(request, ("json", "csv"), "json")
    if errors:
        raise Invalid.fields(*errors)
    return cost_query(request.query_params), form


def _breakdown(entity: EntityName, query: CostQuery) -> dict[str, Any]:
    found = cost_breakdown(
        entity=entity,
        start=query.start,
        end=query.end,
        group_by=query.group_by,
        zone=query.zone,
        filters=query.filters,
    )
    return {
        "start": renderings.instant(query.start),
        "end": renderings.instant(query.end),
        "currency": settings.BASE_CURRENCY,
        **renderings.breakdown(found, groupings=len(query.group_by)),
    }
