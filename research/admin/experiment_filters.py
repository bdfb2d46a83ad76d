"""Filters of the list of experiments."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from agent_factory_site.common.admin.filters import ChoiceFilter, SuggestingFilter
from research.domain.definition_input import parse_owner
from research.models import Experiment


class StateFilter(ChoiceFilter):
    """In which state they are; archived ones are hidden unless asked for."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in Experiment.State.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value:
            return queryset.filter(state=self.value)
        return queryset.exclude(state=Experiment.State.ARCHIVED)


class UnitFilter(SuggestingFilter):
    """What they assign."""

    title = label = "Unit"
    parameters = ("unit",)
    placeholder = "user"

    def suggestions(self) -> list[str]:
        return ["user", "agent", "run", "session"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> QuerySet[Experiment]:
        return queryset.filter(unit=self.value) if self.value else queryset


class OwnerFilter(SuggestingFilter):
    """Whose they are, as ``type/id``."""

    title = label = "Owner"
    parameters = ("owner",)
    placeholder = "team/growth"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> QuerySet[Experiment]:
        if not self.value:
            return queryset
        owner = parse_owner(self.value, [])
        if owner is None:
            return self.refuse(queryset, "An owner is written as type/id, such as team/growth.")
        return queryset.filter(owner__type=owner[0], owner__key=owner[1])


class GroupFilter(SuggestingFilter):
    """In which exclusion group they are."""

    title = label = "Exclusion group"
    parameters = ("group",)
    placeholder = "checkout"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Experiment]) -> QuerySet[Experiment]:
        return queryset.filter(exclusion_group__key=self.value) if self.value else queryset
