"""Filters of the list of costs; together they say what :class:`CostFilters` asks for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any, ClassVar, Literal

from django.contrib.admin import ListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from agent_factory_site.common.admin.filters import (
    ChoiceFilter,
    ParameterFilter,
    PeriodFilter,
    SuggestingFilter,
)
from financial.domain.cost_input import CostType
from financial.models import CostEvent
from financial.selectors.cost_events import CostFilters
from financial.selectors.series import series_labels

COST_TYPES: dict[str, str] = {
    "llm": "LLM",
    "tool": "Tool",
    "compute": "Compute",
    "storage": "Storage",
    "human": "Human",
    "other": "Other",
}
assert set(COST_TYPES) == set(CostType.__args__)  # type: ignore[attr-defined]


class Criterion(ParameterFilter):
    """A filter that contributes to the criteria and leaves the queryset alone."""

    def criteria(self) -> dict[str, Any]:
        """What it asks for."""
        return {}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


class OccurredFilter(Criterion, PeriodFilter):
    """When it was spent."""

    field = "occurred_at"

    def criteria(self) -> dict[str, Any]:
        start, end = self.bounds() or (None, None)
        return {"start": start, "end": end}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return PeriodFilter.queryset(self, request, queryset) if self.bounds() is None else queryset


class EntityFilter(Criterion, SuggestingFilter):
    """Whose it is: ``agent/support-bot``."""

    title = label = "Entity"
    parameters = ("entity",)
    placeholder = "agent/support-bot"
    hint = "Type and id. Costs show at every entity they are attributed to."

    def suggest_url(self) -> str:
        return reverse("admin:financial_costevent_entities")

    def criteria(self) -> dict[str, Any]:
        kind, _, key = self.value.partition("/")
        return {"entity_type": kind, "entity_id": key} if kind and key else {}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value and not self.criteria():
            return self.refuse(queryset, "An entity is a type and an id: agent/support-bot.")
        return queryset


class CostTypeFilter(Criterion, ChoiceFilter):
    """What it was spent on."""

    title = label = "Cost type"
    parameters = ("cost_type",)

    def options(self) -> list[tuple[str, str]]:
        return list(COST_TYPES.items())

    def criteria(self) -> dict[str, Any]:
        return {"cost_type": self.value} if self.value else {}


class SeriesFilter(Criterion, SuggestingFilter):
    """One of the names of a series, suggested from those that occur."""

    series_field: ClassVar[Literal["cost_type", "provider", "model"]]

    def suggestions(self) -> list[str]:
        return series_labels(self.series_field)

    def criteria(self) -> dict[str, Any]:
        return {self.series_field: self.value} if self.value else {}


class ProviderFilter(SeriesFilter):
    """Who is paid."""

    title = label = "Provider"
    parameters = ("provider",)
    series_field = "provider"
    placeholder = "openai"


class ModelFilter(SeriesFilter):
    """For which model."""

    title = label = "Model"
    parameters = ("model",)
    series_field = "model"
    placeholder = "gpt-4o"


class PricedFilter(Criterion, ChoiceFilter):
    """Whether a price was known."""

    title = label = "Price"
    parameters = ("unpriced",)

    def options(self) -> list[tuple[str, str]]:
        return [("yes", "Unpriced"), ("no", "Priced")]

    def criteria(self) -> dict[str, Any]:
        return {"unpriced": self.value == "yes"} if self.value in ("yes", "no") else {}


class KindFilter(Criterion, ChoiceFilter):
    """Charges, credits or corrections."""

    title = label = "Kind"
    parameters = ("kind",)

    def options(self) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in CostEvent.Kind.choices]

    def criteria(self) -> dict[str, Any]:
        return {"kind": self.value} if self.value in CostEvent.Kind.values else {}


class TagFilter(Criterion, SuggestingFilter):
    """What the sender said about it: ``env=prod``."""

    title = label = "Tag"
    parameters = ("tag",)
    placeholder = "env=prod"

    def criteria(self) -> dict[str, Any]:
        key, equals, value = self.value.partition("=")
        return {"tags": ((key.strip(), value.strip()),)} if equals and key.strip() else {}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value and not self.criteria():
            return self.refuse(queryset, "A tag is a name and a value: env=prod.")
        return queryset


class SourceFilter(Criterion, SuggestingFilter):
    """Who sent it."""

    title = label = "Source"
    parameters = ("source",)

    def criteria(self) -> dict[str, Any]:
        return {"source": self.value} if self.value else {}


class EventIdFilter(Criterion, SuggestingFilter):
    """The sender's own id of it."""

    title = label = "Event id"
    parameters = ("event_id",)
    hint = "With a source it is found at once, whatever the size of the ledger."

    def criteria(self) -> dict[str, Any]:
        return {"event_id": self.value} if self.value else {}


COST_FILTERS = (
    OccurredFilter, EntityFilter, CostTypeFilter, ProviderFilter, ModelFilter, PricedFilter, KindFilter,
    TagFilter, SourceFilter, EventIdFilter,
)  # fmt: skip


def criteria_of(specs: Iterable[ListFilter], run_id: str) -> CostFilters:
    """What the filters and the search box ask for together."""
    said: dict[str, Any] = {"run_id": run_id or None}
    for spec in specs:
        if isinstance(spec, Criterion):
            said.update(spec.criteria())
    return CostFilters(**said)


def export_query(filters: CostFilters) -> str:
    """The same set in the parameters of the API's export."""
    query: dict[str, str] = {}
    for field in fields(filters):
        value = getattr(filters, field.name)
        if field.name == "tags":
            query |= {f"tag:{key}": text for key, text in value or ()}
        elif isinstance(value, bool):
            query[field.name] = "true" if value else "false"
        elif isinstance(value, datetime):
            query[field.name] = value.isoformat().replace("+00:00", "Z")
        elif value is not None:
            query[field.name] = value
    return urlencode(query)
