"""``/api/v1/financial/budgets/{id}/overrides``: more money until a moment, by the word of two people."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import validated, validated_query
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import NotFound
from financial.models import BudgetOverride
from financial.selectors.budgets import budget_overrides, get_budget, get_override
from financial.services.budget_overrides import approve_override, request_override, withdraw_override

from . import budget_renderings as renderings
from . import budget_schemas as schemas


class BudgetOverridesView(ApiListView):
    """The overrides of a budget (GET), and asking for one (POST)."""

    scopes: ClassVar = {"GET": "financial:read", "POST": "financial:write"}
    ordering: ClassVar = ("-id",)
    serializer_class = schemas.OverrideSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[BudgetOverride]:
        return budget_overrides(get_budget(self.kwargs["budget_id"])).select_related("budget")

    @extend_schema(
        operation_id="list_budget_overrides", summary="The overrides of a budget, the newest first"
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.rows(validated_query(self.query_class, request))) or []
        return self.get_paginated_response([_rendered(row) for row in page])

    @extend_schema(
        operation_id="request_budget_override",
        summary="Ask for more money until a moment",
        description="It comes into force when another person approves it.",
        request=schemas.OverrideRequest,
        responses={201: schemas.OverrideSchema},
    )
    @idempotent()
    def post(self, request: Request, budget_id: UUID) -> Response:
        row = request_override(budget_id=budget_id, **validated(schemas.OverrideRequest, request))
        location = f"/api/v1/financial/budgets/{budget_id}/overrides/{row.pk}"
        return Response(_rendered(get_override(row.pk)), status=201, headers={"Location": location})


class BudgetOverrideView(ApiView):
    """One override."""

    scopes: ClassVar = {"GET": "financial:read"}

    @extend_schema(
        operation_id="get_budget_override", summary="One override", responses={200: schemas.OverrideSchema}
    )
    def get(self, request: Request, budget_id: UUID, override_id: UUID) -> Response:
        return Response(_rendered(_override(budget_id, override_id)))


class BudgetOverrideApproveView(ApiView):
    """Approving an override."""

    scopes: ClassVar = {"POST": "financial:admin"}

    @extend_schema(
        operation_id="approve_budget_override",
        summary="Approve what another person asked for",
        description="Takes effect at once. A key approves for its owner; one without an owner cannot.",
        request=None,
        responses={200: schemas.OverrideSchema},
    )
    def post(self, request: Request, budget_id: UUID, override_id: UUID) -> Response:
        row = approve_override(override_id=_override(budget_id, override_id).pk)
        return Response(_rendered(get_override(row.pk)))


class BudgetOverrideWithdrawView(ApiView):
    """Withdrawing an override."""

    scopes: ClassVar = {"POST": "financial:write"}

    @extend_schema(
        operation_id="withdraw_budget_override",
        summary="Take a request back, or end an approved override now",
        description="What was spent of it beyond the limit becomes an overrun.",
        request=None,
        responses={200: schemas.OverrideSchema},
    )
    def post(self, request: Request, budget_id: UUID, override_id: UUID) -> Response:
        row = withdraw_override(override_id=_override(budget_id, override_id).pk)
        return Response(_rendered(get_override(row.pk)))


def _override(budget_id: UUID, override_id: UUID) -> BudgetOverride:
    row = get_override(override_id)
    if row.budget_id != budget_id:
        raise NotFound("not_found", "There is no such override.")
    return row


def _rendered(row: BudgetOverride) -> dict[str, Any]:
    return renderings.override(row, row.budget, timezone.now())
