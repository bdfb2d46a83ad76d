"""Filters of the list of SLOs. How they stand is worked out: that filter chooses among what was read."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Q
from django.http import HttpRequest

from agent_factory_site.common.admin.filters import ChoiceFilter, SuggestingFilter
from operations.slo.models import Sli, Slo
from operations.slo.selectors.status import Status

WINDOW_WORDS = {
    "rolling": "Rolling",
    **{str(value): f"Calendar {label.lower()}" for value, label in Slo.Calendar.choices},
}


class StandingFilter(ChoiceFilter):
    """How they stand; archived ones are hidden unless asked for."""

    title = label = "State"
    parameters: ClassVar = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [
            ("firing", "Burning: an alert fires or is held"),
            ("missed", "Missed"),
            ("met", "Met"),
            ("no_data", "No data"),
            ("archived", "Archived"),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(archived_at__isnull=self.value != "archived")

    def chosen(self, found: Status) -> bool:
        """Whether an SLO that stands so is to be shown."""
        if self.value == "firing":
            return bool(found.firing)
        return (
            self.value in ("", "archived")
            or self.value not in dict(self.options())
            or found.state == self.value
        )


class OwnerFilter(SuggestingFilter):
    """Who answers for them: a team's key or an entity as type/id."""

    title = label = "Owner"
    parameters: ClassVar = ("owner",)
    placeholder = "team/platform"
    hint = "type/id, or a team's key"

    def suggestions(self) -> list[str]:
        owned = Slo.objects.filter(archived_at__isnull=True)
        rows = owned.filter(owner__isnull=False).values_list("owner__type", "owner__key").distinct()[:200]
        teams = owned.filter(team__isnull=False).values_list("team__key", flat=True).distinct()[:200]
        return sorted({f"{kind}/{key}" for kind, key in rows} | set(teams))

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not self.value:
            return queryset
        kind, _, key = self.value.partition("/")
        return queryset.filter(Q(team__key=self.value) | Q(owner__type=kind, owner__key=key))


class SourceFilter(ChoiceFilter):
    """Where the events of the indicator come from."""

    title = label = "SLI source"
    parameters: ClassVar = ("source",)

    def options(self) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in Sli.Source.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(sli__source=self.value) if self.value else queryset


class WindowFilter(ChoiceFilter):
    """Rolling, or which period of the calendar."""

    title = label = "Window"
    parameters: ClassVar = ("window",)

    def options(self) -> list[tuple[str, str]]:
        return list(WINDOW_WORDS.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value == "rolling":
            return queryset.filter(calendar__isnull=True)
        return queryset.filter(calendar=self.value) if self.value else queryset
