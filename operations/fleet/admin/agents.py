"""Agents: what they spend and achieve, whether they are healthy, whose they are, and their switch."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from agent_factory_site.common.admin.base import holds_scope
from agent_factory_site.common.admin.keyset import KeysetAdminMixin
from agent_factory_site.common.charts import money_format, sparkline
from agent_factory_site.common.templatetags.agent_factory import ago, unknown
from operations.fleet.models import Agent, AgentAlias
from operations.fleet.selectors.agent_figures import WINDOW, AgentFigures, agent_figures

from .agent_actions import AgentActions
from .agent_page import agent_page
from .cells import change, health_badge, runs_url, seconds, spend, state_badge, success
from .filters import AGENT_FILTERS

SUGGESTED = 20


@admin.register(Agent)
class AgentAdmin(KeysetAdminMixin, AgentActions):
    """Registered on sight; services alone change them. Numbers are of the last 30 days, today included."""

    scopes: ClassVar = {"view": "operations:read"}
    keyset = ("key",)
    pager_words = ("Previous", "Next")

    list_display = (
        "shown_name", "owned_by", "switch", "health", "spent", "runs_of", "succeeded", "latency", "last_seen",
    )  # fmt: skip
    list_display_links = ("shown_name",)
    list_filter = AGENT_FILTERS
    list_select_related = ("owner", "entity")
    list_per_page = 50
    search_fields = ("key", "name", "aliases__key")
    search_help_text = "Name or key, also former ones"
    list_before_template = "operations/agents_before.html"
    change_form_template = "operations/agent.html"
    empty_words = (
        "Agents appear here when their first run or cost comes in: point OTEL_EXPORTER_OTLP_ENDPOINT here."
    )
    actions_detail = ("claim", "pause", "resume", "edit", "rename", "merge", "kill", "archive", "restore")

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        suggest = self.admin_site.admin_view(self.suggest_view)
        return [path("suggest/", suggest, name="operations_agent_suggest"), *urls]

    def suggest_view(self, request: HttpRequest) -> HttpResponseBase:
        """Names that begin with ``term``, for filters and forms."""
        if not self.has_view_permission(request):
            return JsonResponse({"results": []}, status=403)
        names = AgentAlias.objects.filter(key__istartswith=request.GET.get("term", ""))
        found = names.order_by("key").values_list("key", flat=True)[:SUGGESTED]
        return JsonResponse({"results": list(found)})

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        figures = agent_figures(rows, now=timezone.now())
        may_write = self.may_write(request)
        for row in rows:
            row.figures = figures[row.pk]
            row.may_write = may_write

    @display(description="Agent")
    def shown_name(self, agent: Agent) -> SafeString:
        if agent.name and agent.name != agent.key:
            return format_html(
                '<span class="af-strong">{}</span><br><span class="af-plain af-clip">{}</span>',
                agent.name,
                agent.key,
            )
        return format_html('<span class="af-strong af-clip" title="{0}">{0}</span>', agent.key)

    @display(description="Switch")
    def switch(self, agent: Any) -> SafeString:
        shown = state_badge(agent)
        if not agent.may_write or agent.archived_at is not None:
            return shown
        deed = "pause" if agent.state == Agent.State.ACTIVE else "resume"
        url = reverse(f"admin:operations_agent_{deed}", args=[agent.pk])
        link = render_to_string("financial/dialog_link.html", {"url": url, "words": deed.capitalize()})
        return format_html('<span class="af-switch">{} {}</span>', shown, link)

    @display(description="Health")
    def health(self, agent: Any) -> SafeString:
        figures: AgentFigures = agent.figures
        return health_badge(figures.health, figures.failing_checks)

    @display(description=f"Spend, {WINDOW} days")
    def spent(self, agent: Any) -> SafeString:
        figures: AgentFigures = agent.figures
        shown = spend(figures.amount, figures.events, figures.unpriced)
        if not figures.events and not figures.amount:
            return shown
        shape = sparkline(
            title=f"Spend by day of {agent}",
            # Without today, which is not over and would look like a fall.
            values=figures.daily[:-1],
            style=money_format(settings.BASE_CURRENCY),
            width=64,
            height=22,
        )
        return format_html(
            '<span class="af-spend"><span>{1}<br>{2}</span><span class="af-spend-line">{0}</span></span>',
            shape,
            shown,
            change(figures.amount, figures.before),
        )

    @display(description="Runs")
    def runs_of(self, agent: Any) -> SafeString:
        figures: AgentFigures = agent.figures
        if not figures.runs.started:
            return format_html('<span class="af-unknown" title="{}">–</span>', "No runs in these days.")
        return format_html(
            '<a class="af-cell-link af-num" href="{}">{}</a>',
            runs_url(agent=agent.key),
            f"{figures.runs.started:,}",
        )

    @display(description="Success")
    def succeeded(self, agent: Any) -> SafeString:
        return success(agent.figures.runs)

    @display(description="Latency")
    def latency(self, agent: Any) -> SafeString:
        figures: AgentFigures = agent.figures
        if figures.p50 is None:
            return unknown()
        return format_html(
            '<span title="Half of the runs took at most this">{}</span><br>'
            '<span class="af-plain af-nowrap" title="95 % of the runs took at most this">p95 {}</span>',
            seconds(figures.p50),
            seconds(figures.p95),
        )

    @display(description="Last seen")
    def last_seen(self, agent: Agent) -> SafeString:
        return ago(agent.last_seen_at)

    @display(description="Owner")
    def owned_by(self, agent: Agent) -> SafeString:
        if agent.owner is None:
            return format_html('<span class="af-unknown" title="{}">unknown</span>', "Nobody has claimed it.")
        return format_html(
            '<span title="{}">{}</span>', agent.owner_note, agent.owner.name or agent.owner.key
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        agent = self.get_object(request, object_id)
        if agent is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, agent):
            raise PermissionDenied
        context = agent_page(
            agent,
            now=timezone.now(),
            failed_runs=request.GET.get("runs") == "failed",
            may_see_money=holds_scope(request, "financial:read") or request.user.is_superuser,
        )
        context |= {"title": str(agent), "may_claim": self.has_claim_permission(request, object_id)}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})
