"""Filters of the lists of budgets and holds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from agent_factory_site.common.admin.filters import ChoiceFilter, SuggestingFilter
from agent_factory_site.common.selectors.entities import find_entities
from financial.models import Budget, BudgetOverride, Hold
from financial.selectors.budget_holds import holds_of_budget
from financial.selectors.budget_states import in_state

from .budget_cells import PERIODS


class StateFilter(ChoiceFilter):
    """How they stand."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [("exceeded", "Exceeded"), ("warning", "Warning"), ("ok", "Ok"), ("closed", "Closed")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value:
            case "ok" | "warning" | "exceeded" | "closed":
                return in_state(queryset, self.value)
        return queryset


class EnforcementFilter(ChoiceFilter):
    """Whether they refuse or tell."""

    title = label = "Enforcement"
    parameters = ("enforcement",)

    def options(self) -> list[tuple[str, str]]:
        return [("hard", "Hard"), ("soft", "Soft")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(enforcement=self.value) if self.value else queryset


class PeriodKindFilter(ChoiceFilter):
    """Of which periods."""

    title = label = "Period"
    parameters = ("period",)

    def options(self) -> list[tuple[str, str]]:
        return [*PERIODS.items(), ("rolling", "Rolling")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value == "rolling":
            return queryset.filter(period__startswith="rolling:")
        return queryset.filter(period=self.value) if self.value else queryset


class EntityTypeFilter(SuggestingFilter):
    """Whose spending they limit."""

    title = label = "Entity type"
    parameters = ("entity_type",)
    placeholder = "agent"

    def suggestions(self) -> list[str]:
        return list(
            Budget.objects.order_by("entity_type").values_list("entity_type", flat=True).distinct()[:50]
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(entity_type=self.value) if self.value else queryset


class ArchivedFilter(ChoiceFilter):
    """Archived ones are out of sight until they are asked for."""

    title = label = "Archived"
    parameters = ("archived",)

    def options(self) -> list[tuple[str, str]]:
        return [("yes", "Archived too"), ("only", "Archived alone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value == "only":
            return queryset.exclude(archived_at=None)
        if self.value == "yes" or request.GET.get("state") == "closed":
            return queryset
        return queryset.filter(archived_at=None)


class HoldStateFilter(ChoiceFilter):
    """Open ones, unless others are asked for."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [*((value, str(label)) for value, label in Hold.State.choices), ("all", "All states")]

    @property
    def open(self) -> bool:
        """Whether the list is of open holds."""
        return self.value in ("", Hold.State.HELD)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value == "all":
            return queryset
        return queryset.filter(state=self.value or Hold.State.HELD)


class HoldOwnerFilter(SuggestingFilter):
    """Whose they are: ``user:3``, ``api_key:…``."""

    title = label = "Owner"
    parameters = ("owner",)
    placeholder = "user:3"
    hint = "A user or a key by its id, as the page of a hold names it."

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(owner=self.value) if self.value else queryset


class HoldEntityFilter(SuggestingFilter):
    """For whose call: ``agent/support-bot``."""

    title = label = "Entity"
    parameters = ("entity",)
    placeholder = "agent/support-bot"

    def suggest_url(self) -> str:
        return reverse("admin:financial_costevent_entities")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value:
            return queryset
        kind, _, key = self.value.partition("/")
        if not kind or not key:
            return self.refuse(queryset, "An entity is a type and an id: agent/support-bot.")
        return queryset.filter(entity=find_entities([(kind, key)]).get((kind, key)))


class HoldBudgetFilter(SuggestingFilter):
    """Of which budget they take, by its id."""

    title = label = "Budget"
    parameters = ("budget",)
    hint = "The id of a budget; its page leads here."

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not self.value:
            return queryset
        budget = _budget(self.value)
        if budget is None:
            return self.refuse(queryset, "There is no budget of this id.")
        return holds_of_budget(queryset, budget)

    def described(self) -> str:
        budget = _budget(self.value) if self.value else None
        return self.value if budget is None else budget.name


def _budget(text: str) -> Budget | None:
    try:
        return Budget.objects.filter(pk=UUID(text)).first()
    except ValueError:
        return None


class OverrideStateFilter(ChoiceFilter):
    """How far they are."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [("open", "Waiting for approval"), ("approved", "Approved")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[BudgetOverride]) -> QuerySet[BudgetOverride]:
        match self.value:
            case "open":
                return queryset.filter(approved_at=None, ended_at=None)
            case "approved":
                return queryset.filter(approved_at__isnull=False, ended_at=None)
        return queryset
