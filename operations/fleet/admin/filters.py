"""Filters of the lists of agents and of runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from agent_factory_site.common.admin.filters import ChoiceFilter, PeriodFilter, SuggestingFilter
from agent_factory_site.common.models import Entity, Team
from agent_factory_site.common.money import MoneyError, parse_amount
from operations.fleet.models import Agent, AgentAlias, Run, RunVariant
from operations.fleet.selectors.runs import costing_at_least
from operations.health.models import HealthCheck

SILENT_AFTER = timedelta(days=7)


class SwitchFilter(ChoiceFilter):
    """How agents are switched; archived ones are hidden unless asked for."""

    title = label = "Switch"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [*((value, label) for value, label in Agent.State.choices), ("archived", "Archived or merged")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        if self.value == "archived":
            return queryset.exclude(archived_at=None)
        rows = queryset.filter(archived_at=None)
        return rows.filter(state=self.value) if self.value in Agent.State.values else rows


class OwnerFilter(ChoiceFilter):
    """Whose agents are."""

    title = label = "Owner"
    parameters = ("owner",)
    unknown: ClassVar[str] = "-"

    def options(self) -> list[tuple[str, str]]:
        teams = Team.objects.order_by("name", "key").values_list("key", "name")[:500]
        return [(self.unknown, "Unknown"), *((key, name or key) for key, name in teams)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        if self.value == self.unknown:
            return queryset.filter(owner=None)
        return queryset.filter(owner__key=self.value) if self.value else queryset


class HealthFilter(ChoiceFilter):
    """What the health checks on agents say."""

    title = label = "Health"
    parameters = ("health",)

    def options(self) -> list[tuple[str, str]]:
        return [("failing", "A check fails"), ("none", "No check")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        checks = HealthCheck.objects.filter(archived_at=None, entity__isnull=False)
        if self.value == "failing":
            failing = checks.filter(state="failing", paused_at=None).values("entity")
            return queryset.filter(pk__in=AgentAlias.objects.filter(entity__in=failing).values("agent"))
        if self.value == "none":
            checked = AgentAlias.objects.filter(entity__in=checks.values("entity")).values("agent")
            return queryset.exclude(pk__in=checked)
        return queryset


class SeenFilter(ChoiceFilter):
    """When agents were last heard of."""

    title = label = "Last seen"
    parameters = ("seen",)

    def options(self) -> list[tuple[str, str]]:
        return [("day", "Within a day"), ("silent", "Not for a week")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        now = timezone.now()
        if self.value == "day":
            return queryset.filter(last_seen_at__gte=now - timedelta(days=1))
        if self.value == "silent":
            return queryset.filter(Q(last_seen_at=None) | Q(last_seen_at__lt=now - SILENT_AFTER))
        return queryset


class ContentFilter(ChoiceFilter):
    """Of which agents prompts and completions are kept."""

    title = label = "Prompts"
    parameters = ("content",)

    def options(self) -> list[tuple[str, str]]:
        return [("kept", "Kept"), ("not", "Not kept")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Agent]) -> QuerySet[Agent]:
        if self.value in ("kept", "not"):
            return queryset.filter(keep_content=self.value == "kept")
        return queryset


class StartedFilter(PeriodFilter):
    """When runs began."""

    field = "started_at"


class AgentFilter(SuggestingFilter):
    """Whose runs: any name that leads to an agent, with what was merged into it."""

    title = label = "Agent"
    parameters = ("agent",)
    placeholder = "support-bot"

    def suggest_url(self) -> str:
        return reverse("admin:operations_agent_suggest")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not self.value:
            return queryset
        target = AgentAlias.objects.filter(key=self.value).values_list("agent", flat=True).first()
        if target is None:
            return self.refuse(queryset, "No agent goes by this name.")
        members = Agent.objects.filter(Q(pk=target) | Q(merged_into=target)).values_list("pk", flat=True)
        return queryset.filter(agent__in=list(members))


class StatusFilter(ChoiceFilter):
    """How runs went."""

    title = label = "Status"
    parameters = ("status",)
    bad: ClassVar[str] = "bad"

    def options(self) -> list[tuple[str, str]]:
        return [(self.bad, "Failed or lost"), *((value, str(label)) for value, label in Run.Status.choices)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value == self.bad:
            return queryset.filter(status__in=[Run.Status.FAILED, Run.Status.LOST])
        return queryset.filter(status=self.value) if self.value in Run.Status.values else queryset


class PriceFilter(ChoiceFilter):
    """Whether all that runs were charged for has a price."""

    title = label = "Price"
    parameters = ("unpriced",)

    def options(self) -> list[tuple[str, str]]:
        return [("yes", "Something unpriced"), ("no", "All priced")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if self.value == "yes":
            return queryset.filter(unpriced__gt=0)
        return queryset.filter(unpriced=0) if self.value == "no" else queryset


class CostFilter(SuggestingFilter):
    """What runs cost at least."""

    title = label = "Costs at least"
    parameters = ("min_cost",)
    placeholder = "0.50"
    hint = "In the base currency."

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not self.value:
            return queryset
        try:
            return costing_at_least(queryset, parse_amount(self.value))
        except MoneyError as error:
            return self.refuse(queryset, f"This is no amount: {error.detail}.")


class UnderReportedFilter(ChoiceFilter):
    """Whether runs reported more than was charged."""

    title = label = "Under-reported"
    parameters = ("under_reported",)

    def options(self) -> list[tuple[str, str]]:
        return [("yes", "Reported more than was charged")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(under_reported=True) if self.value == "yes" else queryset


class VariantFilter(SuggestingFilter):
    """The arm that runs were served: ``support-prompt`` or ``support-prompt=v2``."""

    title = label = "Experiment"
    parameters = ("variant",)
    placeholder = "support-prompt=v2"
    hint = "An experiment, or one of its variants."

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not self.value:
            return queryset
        experiment, _, variant = self.value.partition("=")
        served = RunVariant.objects.filter(experiment=experiment.strip())
        if variant.strip():
            served = served.filter(variant=variant.strip())
        return queryset.filter(pk__in=served.values("run_id"))


class UserFilter(SuggestingFilter):
    """For whom runs ran."""

    title = label = "User"
    parameters = ("user",)
    placeholder = "customer-42"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not self.value:
            return queryset
        person = Entity.objects.filter(type="user", key=self.value).values_list("pk", flat=True).first()
        if person is None:
            return self.refuse(queryset, "No user of this id is known.")
        return queryset.filter(user=person)


class SessionFilter(SuggestingFilter):
    """The conversation that runs belong to."""

    title = label = "Session"
    parameters = ("session",)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(session=self.value) if self.value else queryset


class TraceFilter(SuggestingFilter):
    """The trace that tells of runs."""

    title = label = "Trace"
    parameters = ("trace",)
    hint = "32 hexadecimal digits."

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not self.value:
            return queryset
        try:
            return queryset.filter(trace_id=UUID(self.value))
        except ValueError:
            return self.refuse(queryset, "A trace id is 32 hexadecimal digits.")


class SourceFilter(ChoiceFilter):
    """What told of runs."""

    title = label = "Told by"
    parameters = ("source",)

    def options(self) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Run.Source.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(source=self.value) if self.value in Run.Source.values else queryset


AGENT_FILTERS: tuple[Any, ...] = (SwitchFilter, OwnerFilter, HealthFilter, SeenFilter, ContentFilter)
RUN_FILTERS: tuple[Any, ...] = (
    StartedFilter, AgentFilter, StatusFilter, PriceFilter, CostFilter, UnderReportedFilter, VariantFilter, UserFilter,
    SessionFilter, TraceFilter, SourceFilter,
)  # fmt: skip
