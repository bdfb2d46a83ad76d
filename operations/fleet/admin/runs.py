"""Runs: how they went, what they took and what they cost, down to each step; and those of this moment."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope
from agent_factory_site.common.admin.keyset import KeysetAdminMixin
from agent_factory_site.common.templatetags.agent_factory import compact, utc
from operations.fleet.models import Run, run_key

from .agent_actions import WRITE
from .cells import run_cost, status_badge, took
from .filters import RUN_FILTERS
from .live_runs import EVERY_SECONDS, STATUSES, live_runs
from .run_page import run_page
from .unpriced_models import unpriced_page


@admin.register(Run)
class RunAdmin(KeysetAdminMixin, ReadOnlyAdmin):
    """Read only: runs are what their sources tell of them."""

    scopes: ClassVar = {"view": "operations:read"}
    keyset = ("-started_at", "-id")

    list_display = (
        "when", "agent_name", "shown_status", "duration", "steps_of", "tokens_in", "tokens_out", "cost_of", "remarks",
    )  # fmt: skip
    list_display_links = ("when",)
    list_filter = RUN_FILTERS
    list_select_related = ("agent",)
    search_fields = ("run_id",)
    search_help_text = "Run id"
    list_before_template = "common/list_summary.html"
    change_form_template = "operations/run.html"
    empty_words = "Runs come in as traces over OTLP, or over the API."
    actions_list = ("live", "unpriced")

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        rows = self.admin_site.admin_view(self.live_rows_view)
        return [path("live/rows/", rows, name="operations_run_live_rows"), *urls]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        # A run's key is made of its id: found at once, whatever the number of runs.
        found = queryset.filter(pk=run_key(search_term.strip())) if search_term.strip() else queryset
        return found, False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        wanted = request.GET.get("q", "").strip()
        if wanted and self.has_view_permission(request) and Run.objects.filter(pk=run_key(wanted)).exists():
            return HttpResponseRedirect(reverse("admin:operations_run_change", args=[run_key(wanted)]))
        response: HttpResponse = super().changelist_view(request, extra_context)
        return response

    @display(description="Started (UTC)")
    def when(self, run: Run) -> str:
        return utc(run.started_at).removesuffix(" UTC")

    @display(description="Agent")
    def agent_name(self, run: Run) -> SafeString:
        return format_html(
            '<a class="af-cell-link af-clip" href="{}" title="{}">{}</a>',
            reverse("admin:operations_agent_change", args=[run.agent_id]),
            run.agent.key,
            str(run.agent),
        )

    @display(description="Status")
    def shown_status(self, run: Run) -> SafeString:
        if not run.error_type:
            return status_badge(run)
        return format_html(
            '<span class="af-nowrap">{} <span class="af-muted af-clip af-clip-short" title="{}">{}</span></span>',
            status_badge(run),
            run.error_message or run.error_type,
            run.error_type,
        )

    @display(description="Took")
    def duration(self, run: Run) -> SafeString:
        return took(run.latency)

    @display(description="Steps")
    def steps_of(self, run: Run) -> SafeString:
        words = f"{run.calls} model calls, {run.tool_calls} tool calls"
        if run.failed_calls:
            words += f", {run.failed_calls} failed calls"
        return format_html('<span class="af-num" title="{}">{}</span>', words, f"{run.steps:,}")

    @display(description="In")
    def tokens_in(self, run: Run) -> SafeString | str:
        return compact(run.input_tokens) if run.input_tokens else ""

    @display(description="Out")
    def tokens_out(self, run: Run) -> SafeString | str:
        return compact(run.output_tokens) if run.output_tokens else ""

    @display(description="Cost")
    def cost_of(self, run: Run) -> SafeString:
        return run_cost(run)

    @display(description="")
    def remarks(self, run: Run) -> SafeString | str:
        if run.under_reported:
            return format_html(
                '<span class="af-badge af-badge-warn" title="{}">under-reported</span>',
                "It reported more than was charged.",
            )
        if run.provisional:
            return format_html(
                '<span class="af-badge" title="{}">provisional</span>',
                "The span of the agent itself has not come.",
            )
        return ""

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        run = self.get_object(request, object_id)
        if run is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        context = run_page(run, may_read_content=holds_scope(request, WRITE))
        context["title"] = f"Run of {run.agent}"
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def has_live_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may see runs."""
        return bool(self.has_view_permission(request))

    @action(description="Live", icon="sensors", permissions=["live"], url_path="live")
    def live(self, request: HttpRequest) -> HttpResponseBase:
        """The newest runs, kept up while the page is looked at."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Live runs",
            "opts": self.opts,
            "rows_url": reverse("admin:operations_run_live_rows"),
            "every": EVERY_SECONDS,
            "agent": request.GET.get("agent", ""),
            "status": request.GET.get("status", ""),
            "statuses": STATUSES,
        }
        return TemplateResponse(request, "operations/live_runs.html", context)

    def live_rows_view(self, request: HttpRequest) -> HttpResponseBase:
        """The newest runs as JSON; 304 while nothing has changed since the ``If-None-Match``."""
        if not self.has_view_permission(request):
            return JsonResponse({"runs": []}, status=403)
        found = live_runs(agent=request.GET.get("agent", ""), status=request.GET.get("status", ""))
        if request.headers.get("If-None-Match") == found.etag:
            response = HttpResponse(status=304)
        else:
            response = JsonResponse({"runs": found.rows, "at": utc(timezone.now())})
        response["ETag"] = found.etag
        response["Cache-Control"] = "no-store"
        return response

    def has_unpriced_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may see runs, or the money."""
        return bool(self.has_view_permission(request)) or holds_scope(request, "financial:read")

    @action(description="Unpriced models", icon="money_off", permissions=["unpriced"], url_path="unpriced")
    def unpriced(self, request: HttpRequest) -> HttpResponseBase:
        """Models that were used without a price."""
        if not self.has_unpriced_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Unpriced models",
            "opts": self.opts,
            **unpriced_page(request.GET.get("days", ""), now=timezone.now()),
            "may_set": holds_scope(request, "financial:admin"),
            "may_see_costs": holds_scope(request, "financial:read"),
        }
        return TemplateResponse(request, "operations/unpriced_models.html", context)
