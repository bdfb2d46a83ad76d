"""SLOs: worst first, each with its budget, its burn and what happened; services alone change them."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from agent_factory_site.common.admin.base import holds_scope, refusals_as_messages
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.charts import ratio_format, sparkline
from agent_factory_site.common.errors import NotFound
from operations.slo.domain.burn_alerts import percent
from operations.slo.models import Slo
from operations.slo.selectors.status import Status
from operations.slo.services.archiving import archive_slo_because
from operations.slo.services.remarks import adjust_budget, annotate
from operations.slo.services.slos import change_slo, create_slo

from .previewed import PreviewedFormsAdmin
from .remark_forms import AdjustmentForm, AnnotationForm
from .slis import WhyForm, unchanged_since
from .slo_address import Asked
from .slo_cells import UNKNOWN, burn_cell, left_bar, level_text, state_badges, window_words
from .slo_filters import OwnerFilter, SourceFilter, StandingFilter, WindowFilter
from .slo_form import SloForm, preview
from .slo_list import TREND_DAYS, WorstFirstChangeList
from .slo_page import slo_page


@admin.register(Slo)
class SloAdmin(PreviewedFormsAdmin):
    """The list says how each stands; the page of one says why."""

    scopes: ClassVar = {"view": "operations:read"}
    preview_title = "What that means"
    preview_empty = "Say what the objective is."

    list_display = (
        "shown_name",
        "standing",
        "objective",
        "shown_level",
        "left",
        "burn_hour",
        "burn_six",
        "trend",
    )
    list_display_links = ("shown_name",)
    list_filter = (StandingFilter, OwnerFilter, SourceFilter, WindowFilter)
    list_select_related = ("sli", "owner", "team")
    list_per_page = 50
    search_fields = ("key", "name", "sli__key", "sli__name")
    search_help_text = "Name or key of the SLO or its SLI"
    sortable_by = ()
    ordering = ("key",)
    list_before_template = "common/list_summary.html"
    change_form_template = "operations/slo.html"
    empty_words = (
        "An SLO promises which share of an indicator's events is good, and counts what is left to get wrong."
    )
    actions_list = ("make",)
    actions_detail = ("edit", "adjust", "write", "archive")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[WorstFirstChangeList]:
        return WorstFirstChangeList

    def get_urls(self) -> list[URLPattern]:
        shown = path("preview/", self.admin_site.admin_view(self.preview), name="operations_slo_preview")
        return [shown, *super().get_urls()]

    def has_make_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may make SLOs."""
        return holds_scope(request, "operations:write")

    def has_edit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may change this one."""
        return holds_scope(request, "operations:write") and (
            object_id is None or Slo.objects.filter(pk=object_id, archived_at=None).exists()
        )

    @display(description="SLO")
    def shown_name(self, slo: Slo) -> SafeString:
        owner = slo.team.key if slo.team else f"{slo.owner.type}/{slo.owner.key}" if slo.owner else ""
        return format_html(
            '<span class="af-strong">{}</span><br><span class="af-plain af-muted">{}</span>',
            slo.name,
            owner or slo.key,
        )

    @display(description="Objective")
    def objective(self, slo: Any) -> SafeString:
        definition = slo.standing.definition
        return format_html(
            '<span class="af-num">{}</span><br><span class="af-muted">{}</span>',
            percent(definition.target),
            window_words(definition.window),
        )

    @display(description="Level")
    def shown_level(self, slo: Any) -> SafeString:
        status: Status = slo.standing
        if status.sli is None:
            return UNKNOWN
        return format_html(
            '<span class="af-num {}" title="{}">{}</span><br>{}',
            "af-hot" if status.budget.met is False else "",
            status.text,
            level_text(status.sli),
            _coverage(status),
        )

    @display(description="Budget left")
    def left(self, slo: Any) -> SafeString:
        return left_bar(slo.standing)

    @display(description="Burn 1 h")
    def burn_hour(self, slo: Any) -> SafeString:
        return burn_cell(_burn(slo.standing, 60))

    @display(description="6 h")
    def burn_six(self, slo: Any) -> SafeString:
        return burn_cell(_burn(slo.standing, 360))

    @display(description=f"{TREND_DAYS} days")
    def trend(self, slo: Any) -> SafeString:
        return format_html(
            '<span class="af-trend">{}</span>',
            sparkline(
                title=f"{slo.name}, level by day", values=slo.trend, style=ratio_format(), width=90, height=24
            ),
        )

    @display(description="State")
    def standing(self, slo: Any) -> SafeString:
        if slo.archived_at is not None:
            return format_html('<span class="af-badge">{}</span>', "archived")
        return state_badges(slo.standing)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        slo = self.get_object(request, object_id)
        if slo is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, slo):
            raise PermissionDenied
        try:
            context = slo_page(slo, Asked.of(request.GET.dict()))
        except NotFound as refusal:
            raise Http404(refusal.detail) from refusal
        context |= {"may_write": self.has_make_permission(request), "title": slo.name}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def preview(self, request: HttpRequest) -> HttpResponse:
        """What is being typed would allow, and when its alerts would tell."""
        if not self.has_make_permission(request):
            raise PermissionDenied
        lines, wrong = preview(request.GET.dict())
        return JsonResponse({"lines": lines, "wrong": wrong})

    @action(
        description="New SLO", icon="add", variant=ActionVariant.PRIMARY, permissions=["make"], url_path="new"
    )
    def make(self, request: HttpRequest) -> HttpResponseBase:
        return self.form_page(
            request,
            form=partial(SloForm, sli=request.GET.get("sli", "")),
            perform=lambda form: self._made(request, form),
            permitted=self.has_make_permission(request),
            title="New SLO",
            intro="A service level objective: which share of an indicator's events is good over a window. What may go "
            "wrong is its error budget. Samples of the indicator that are still kept count from the start.",
            submit="Make the SLO",
        )

    def _made(self, request: HttpRequest, form: SloForm) -> HttpResponse:
        slo = create_slo(body=form.body())
        messages.success(request, f"The SLO {slo.key} is made.")
        return self.to_page(slo.pk)

    @action(description="Change", icon="edit", permissions=["edit"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        slo = self.in_use(request, object_id)
        return self.form_page(
            request,
            slo,
            form=partial(SloForm, slo=slo),
            perform=lambda form: self._changed(request, slo, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Change {slo.name}",
            intro="Another indicator or other groups begin a new count, of the samples still kept. All else is "
            "judged anew at once; reports stay as they were frozen.",
            submit="Change the SLO",
        )

    def _changed(self, request: HttpRequest, slo: Slo, form: SloForm) -> HttpResponse:
        change_slo(slo=slo.pk, changes=form.body(), check=partial(unchanged_since, form))
        messages.success(request, "The SLO is changed." if form.changed_data else "Nothing was changed.")
        return self.to_page(slo.pk)

    @action(description="Adjust the budget", icon="balance", permissions=["edit"], url_path="adjust")
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        slo = self.in_use(request, object_id)
        return service_form_page(
            self,
            request,
            form=partial(AdjustmentForm, slo=slo),
            perform=lambda form: self._adjusted(request, slo, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Adjust the budget: {slo.name}",
            intro="What somebody else broke can be given back, what nobody measured taken away. It is never changed "
            "afterwards: another adjustment corrects it.",
            submit="Adjust it",
            cancel_url=reverse("admin:operations_slo_change", args=[slo.pk]),
        )

    def _adjusted(self, request: HttpRequest, slo: Slo, form: AdjustmentForm) -> HttpResponse:
        adjust_budget(slo=slo.pk, **form.arguments())
        messages.success(request, "The budget is adjusted.")
        return self.to_page(slo.pk)

    @action(description="Annotate", icon="edit_note", permissions=["edit"], url_path="annotate")
    def write(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        slo = self.in_use(request, object_id)
        return service_form_page(
            self,
            request,
            form=AnnotationForm,
            perform=lambda form: self._written(request, slo, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Annotate {slo.name}",
            intro="A remark on its timeline: a deployment, an incident, a change of suppliers.",
            submit="Write it",
            cancel_url=reverse("admin:operations_slo_change", args=[slo.pk]),
        )

    def _written(self, request: HttpRequest, slo: Slo, form: AnnotationForm) -> HttpResponse:
        annotate(slo=slo.pk, **form.cleaned_data)
        messages.success(request, "It stands on the timeline.")
        return self.to_page(slo.pk)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["edit"],
        dialog={
            "title": "Archive this SLO?",
            "description": "It counts nothing any more and its alerts end. What it counted, its reports and its key "
            "stay. It cannot be taken back into use.",
            "form_class": WhyForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: WhyForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            row = archive_slo_because(slo=object_id, reason=form.cleaned_data["reason"])
            messages.success(request, f"{row.name} is archived.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:operations_slo_change", args=[object_id])})


def _coverage(status: Status) -> SafeString:
    return format_html(
        '<span class="af-num af-small" title="{}">data {} %</span>',
        status.sentences["coverage"],
        max(1, int((status.coverage or 0) * 100)),
    )


def _burn(status: Status, minutes: int) -> Any:
    return next(
        (burn for length, burn in status.burns.items() if length.total_seconds() == minutes * 60), None
    )
