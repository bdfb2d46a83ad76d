"""``/api/v1/financial/budgets``: setting budgets, and how they stand."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, require_match
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.pagination import CursorPages, page_limit
from agent_factory_site.common.api.serializers import validated, validated_query
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.pagination import Page
from financial.models import Budget, BudgetCrossing, BudgetOverrun, BudgetPeriod
from financial.selectors.budget_forecast import budget_forecast
from financial.selectors.budgets import (
    BudgetStatus,
    budget_crossings,
    budget_entities,
    budget_overruns,
    budget_periods,
    budget_status,
    budget_statuses,
    get_budget,
    list_budgets,
    period_statuses,
)
from financial.services.budgets import FIXED, archive_budget, change_budget, create_budget

from . import budget_renderings as renderings
from . import budget_schemas as schemas
from .schemas import PAGE_PARAMETERS


class BudgetsView(ApiListView):
    """Budgets (GET), and setting them (POST)."""

    scopes: ClassVar = {"GET": "financial:read", "POST": "financial:write"}
    ordering: ClassVar = ("-id",)
    query_class = schemas.BudgetQuery
    serializer_class = schemas.ListedBudgetSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Budget]:
        return list_budgets(**{**query, "archived": query.get("archived") == "true"})

    @extend_schema(operation_id="list_budgets", summary="Budgets and their present periods, the newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.rows(validated_query(self.query_class, request))) or []
        statuses = budget_statuses(page)
        return self.get_paginated_response([renderings.listed_budget(statuses[row.pk]) for row in page])

    @extend_schema(
        operation_id="create_budget",
        summary="Set a budget",
        description="It counts what was spent in its current period already.",
        request=schemas.BudgetRequest,
        responses={201: schemas.BudgetSchema},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        budget = create_budget(**validated(schemas.BudgetRequest, request))
        answer = _answer(request, budget_status(budget.pk), status=201)
        answer["Location"] = f"/api/v1/financial/budgets/{budget.pk}"
        return answer


class BudgetView(ApiView):
    """One budget."""

    scopes: ClassVar = {"GET": "financial:read", "PATCH": "financial:write"}
    query_class = schemas.EntityQuery

    @extend_schema(
        operation_id="get_budget",
        summary="One budget, as it stands",
        parameters=PAGE_PARAMETERS,
        responses={200: schemas.BudgetSchema},
    )
    def get(self, request: Request, budget_id: UUID) -> Response:
        query = validated_query(schemas.EntityQuery, request)
        return _answer(request, budget_status(budget_id, entity_id=query.get("entity_id")))

    @extend_schema(
        operation_id="change_budget",
        summary="Change a budget",
        description="The present period and those to come move with it; past ones stay as they were. What decides "
        "which costs count never changes.",
        request=schemas.BudgetChange,
        responses={200: schemas.BudgetSchema},
    )
    def patch(self, request: Request, budget_id: UUID) -> Response:
        changes = validated(schemas.BudgetChange, request)
        fixed = [name for name in FIXED if name in changes]
        budget = change_budget(
            budget_id=budget_id,
            check=lambda stored: require_match(request, _etag(stored)),
            fixed=fixed,
            **{name: value for name, value in changes.items() if name not in fixed},
        )
        return _answer(request, budget_status(budget.pk))


class BudgetArchiveView(ApiView):
    """Taking a budget out of use."""

    scopes: ClassVar = {"POST": "financial:write"}

    @extend_schema(
        operation_id="archive_budget",
        summary="Take a budget out of use from now on",
        description="Its holds end as they would have, and late costs still land in the periods before.",
        request=None,
        responses={200: schemas.BudgetSchema},
    )
    def post(self, request: Request, budget_id: UUID) -> Response:
        return _answer(request, budget_status(archive_budget(budget_id=budget_id).pk))


class _BudgetList(ApiListView):
    """Something of one budget, of which ``?entity_id=`` leaves one allowance."""

    scopes: ClassVar = {"GET": "financial:read"}
    ordering: ClassVar[Sequence[str]] = ("-id",)
    query_class = schemas.EntityQuery

    def show(self, budget: Budget, rows: Sequence[Any]) -> list[dict[str, Any]]:
        """The rows of a page in JSON."""
        raise TypeError(f"{type(self).__name__} does not say how it shows its rows")

    def rows_of(self, budget: Budget, entity_id: str | None) -> QuerySet[Any]:
        """What is listed of ``budget``."""
        raise TypeError(f"{type(self).__name__} does not say what it lists")

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        query = validated_query(self.query_class, request)
        budget = get_budget(kwargs["budget_id"])
        page = self.paginate_queryset(self.rows_of(budget, query.get("entity_id"))) or []
        return self.get_paginated_response(self.show(budget, page))


class BudgetPeriodsView(_BudgetList):
    """The history of a budget."""

    ordering: ClassVar = ("-starts_at", "-id")
    serializer_class = schemas.AllowanceSchema

    def rows_of(self, budget: Budget, entity_id: str | None) -> QuerySet[BudgetPeriod]:
        return budget_periods(budget, entity_id=entity_id)

    def show(self, budget: Budget, rows: Sequence[BudgetPeriod]) -> list[dict[str, Any]]:
        return [renderings.allowance(period) for period in period_statuses(budget, rows)]

    @extend_schema(operation_id="list_budget_periods", summary="The periods of a budget, the latest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class BudgetOverrunsView(_BudgetList):
    """Money spent beyond a budget."""

    serializer_class = schemas.OverrunSchema

    def rows_of(self, budget: Budget, entity_id: str | None) -> QuerySet[BudgetOverrun]:
        return budget_overruns(budget, entity_id=entity_id)

    def show(self, budget: Budget, rows: Sequence[BudgetOverrun]) -> list[dict[str, Any]]:
        return [renderings.overrun(row, budget.currency) for row in rows]

    @extend_schema(
        operation_id="list_budget_overruns",
        summary="What was spent beyond a budget and why, the latest first",
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class BudgetCrossingsView(_BudgetList):
    """Thresholds that were crossed."""

    serializer_class = schemas.CrossingSchema

    def rows_of(self, budget: Budget, entity_id: str | None) -> QuerySet[BudgetCrossing]:
        return budget_crossings(budget, entity_id=entity_id)

    def show(self, budget: Budget, rows: Sequence[BudgetCrossing]) -> list[dict[str, Any]]:
        return [renderings.crossing(row, budget.currency) for row in rows]

    @extend_schema(
        operation_id="list_budget_crossings", summary="The thresholds that were crossed, the latest first"
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


def _etag(budget: Budget) -> str:
    """The version of what can be changed of a budget; what is spent of it moves all the time."""
    said = (
        budget.name, budget.limit, budget.enforcement, budget.thresholds, budget.rollover,
        budget.rollover_cap, budget.ends_on, budget.archived_at,
    )  # fmt: skip
    return etag_of(sha256("\n".join(map(str, said)).encode()).hexdigest()[:16])


def _answer(request: Request, status_of: BudgetStatus, status: int = 200) -> Response:
    budget = status_of.budget
    picked = status_of.period.entity_id if status_of.period is not None and budget.entity is None else None
    forecast = budget_forecast(budget, entity_id=picked)
    body = {**renderings.listed_budget(status_of), **renderings.forecast(forecast)}
    if status_of.period is None:
        body["entities"] = _entities(request, budget)
    return Response(body, status=status, headers={"ETag": _etag(budget)})


def _entities(request: Request, budget: Budget) -> Any:
    cursor = request.query_params.get("cursor") or None
    found = budget_entities(budget, cursor=cursor, limit=page_limit(request))
    pages = CursorPages()
    rows = pages.show(Page([*found.entities], found.next, found.previous), request)
    return pages.get_paginated_response([renderings.allowance(row) for row in rows]).data
