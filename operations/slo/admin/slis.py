"""Indicators: what is measured, whether anything arrives, and which objectives stand on it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.filters import ChoiceFilter
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.charts import Series, Slot, bar_chart, count_format, plain_format
from agent_factory_site.common.errors import Conflict
from agent_factory_site.common.selectors.audit_events import find_audit_events
from operations.slo.models import Sli
from operations.slo.selectors.sli_activity import sli_activity
from operations.slo.services.archiving import archive_sli_because
from operations.slo.services.slis import change_sli, create_sli

from .form_parts import plain
from .sli_form import KIND_WORDS, SOURCE_WORDS, SliForm
from .slo_cells import UNKNOWN

OPS = {"lte": "≤", "lt": "<", "gte": "≥", "gt": ">"}


class WhyForm(BaseDialogForm):  # type: ignore[misc]
    """A reason that stays."""

    reason = forms.CharField(max_length=2000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))


class StateFilter(ChoiceFilter):
    """Archived ones are hidden unless asked for."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [("active", "In use"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(archived_at__isnull=self.value != "archived")


class KindFilter(ChoiceFilter):
    """What is measured."""

    title = label = "Kind"
    parameters = ("kind",)

    def options(self) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in Sli.Kind.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(kind=self.value) if self.value else queryset


class SourceFilter(ChoiceFilter):
    """Where events come from."""

    title = label = "Source"
    parameters = ("source",)

    def options(self) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in Sli.Source.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(source=self.value) if self.value else queryset


def good_words(sli: Sli) -> str:
    """What makes an event good."""
    parts = []
    if sli.threshold is None:
        parts.append("good of total")
    else:
        parts.append(f"value {OPS[sli.op]} {plain(sli.threshold)} {sli.unit}".rstrip())
    if sli.slice_target is not None:
        parts.append(f"a minute is good from {plain(sli.slice_target, 100)} % on")
    return "; ".join(parts)


@admin.register(Sli)
class SliAdmin(ReadOnlyAdmin):
    """Indicators are made, changed and archived through their services."""

    scopes: ClassVar = {"view": "operations:read"}

    list_display = ("shown_key", "what", "where", "good", "objectives")
    list_filter = (StateFilter, KindFilter, SourceFilter)
    search_fields = ("key", "name")
    search_help_text = "Key or name"
    sortable_by = ()
    ordering = ("key",)
    list_before_template = "common/list_summary.html"
    change_form_template = "operations/sli.html"
    empty_words = "An indicator says which events are good: requests, latencies, scores, prices."
    actions_list = ("make",)
    actions_detail = ("edit", "archive")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Sli]:
        rows: QuerySet[Sli] = super().get_queryset(request)
        return rows.annotate(slo_count=Count("slos", filter=Q(slos__archived_at=None)))

    def has_make_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may make indicators."""
        return holds_scope(request, "operations:write")

    def has_edit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may change this one."""
        return holds_scope(request, "operations:write") and (
            object_id is None or Sli.objects.filter(pk=object_id, archived_at=None).exists()
        )

    @display(description="Indicator")
    def shown_key(self, sli: Sli) -> SafeString:
        return format_html(
            '<span class="af-strong">{}</span><br><code class="af-code">{}</code>',
            sli.name or sli.key,
            sli.key,
        )

    @display(description="Kind")
    def what(self, sli: Sli) -> str:
        return sli.kind

    @display(description="Source")
    def where(self, sli: Sli) -> str:
        return SOURCE_WORDS[sli.source]

    @display(description="An event is good")
    def good(self, sli: Sli) -> str:
        return good_words(sli)

    @display(description="SLOs")
    def objectives(self, sli: Any) -> int:
        return int(sli.slo_count)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        sli = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if sli is not None:
            if not self.has_view_permission(request, sli):
                raise PermissionDenied
            context = {
                "sli": sli,
                "kind_words": KIND_WORDS[sli.kind],
                "source_words": SOURCE_WORDS[sli.source],
                "good_words": good_words(sli),
                **_activity(sli),
                "slos": sli.slos.order_by("archived_at", "key"),
                "changes": find_audit_events(target_type=Sli._meta.label, target_id=str(sli.pk)).order_by(
                    "-at", "-id"
                )[:20],
                "host": request.build_absolute_uri("/").rstrip("/"),
                "title": sli.name or sli.key,
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="New SLI", icon="add", variant=ActionVariant.PRIMARY, permissions=["make"], url_path="new"
    )
    def make(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=SliForm,
            perform=lambda form: self._made(request, form),
            permitted=self.has_make_permission(request),
            title="New SLI",
            intro="A service level indicator: one thing that is measured event by event, and what makes one good.",
            submit="Make the SLI",
            cancel_url=reverse("admin:operations_sli_changelist"),
            extra={"grid": True},
        )

    def _made(self, request: HttpRequest, form: SliForm) -> HttpResponse:
        sli = create_sli(body=form.body())
        messages.success(request, f"The SLI {sli.key} is made. An SLO promises something about it.")
        return HttpResponseRedirect(reverse("admin:operations_sli_change", args=[sli.pk]))

    @action(description="Change", icon="edit", permissions=["edit"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        sli = self.get_object(request, object_id)
        if sli is None:
            raise PermissionDenied
        return service_form_page(
            self,
            request,
            form=partial(SliForm, sli=sli),
            perform=lambda form: self._changed(request, sli, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Change {sli.key}",
            intro="Where what is good changes, every SLO of it begins anew: what was judged stays as it was, and the "
            "samples that are still kept are judged again.",
            submit="Change the SLI",
            cancel_url=reverse("admin:operations_sli_change", args=[sli.pk]),
            extra={"grid": True},
        )

    def _changed(self, request: HttpRequest, sli: Sli, form: SliForm) -> HttpResponse:
        body = form.body()
        changes = {name: value for name, value in body.items() if name in form.changed_data}
        change_sli(sli=sli.key, changes=changes, check=partial(unchanged_since, form))
        messages.success(request, "The SLI is changed." if changes else "Nothing was changed.")
        return HttpResponseRedirect(reverse("admin:operations_sli_change", args=[sli.pk]))

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["edit"],
        dialog={
            "title": "Archive this SLI?",
            "description": "It takes no more samples, and its key stays taken. SLOs that use it are archived first.",
            "form_class": WhyForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: WhyForm, object_id: str) -> HttpResponse:
        sli = self.get_object(request, object_id)
        with refusals_as_messages(request):
            if sli is not None:
                archive_sli_because(sli=sli.key, reason=form.cleaned_data["reason"])
                messages.success(request, f"{sli.key} is archived.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:operations_sli_change", args=[object_id])})


def _activity(sli: Sli) -> dict[str, Any]:
    activity = sli_activity(sli)
    slots = [Slot(f"{at:%H}:00", f"{at:%Y-%m-%d %H}:00 UTC") for at, _ in activity.hours]
    if slots:
        slots[-1] = replace(slots[-1], partial=True)
    series = [Series("events", [events for _, events in activity.hours])]
    value = plain_format(sli.unit, 4).full

    def chart(width: float, height: float) -> SafeString:
        return bar_chart(
            title="Events by hour",
            slots=slots,
            series=series,
            style=count_format(),
            width=width,
            height=height,
        )

    return {
        "activity": activity,
        "chart": chart(960, 180) if slots else "",
        "narrow_chart": chart(340, 180) if slots else "",
        "quantiles": [
            (f"{q * 100:g} % up to", UNKNOWN if found is None else value(found))
            for q, found in activity.quantiles
        ],
    }


def unchanged_since(form: forms.Form, row: Any) -> None:
    """Refuses to change a row that somebody else has changed since the form was made of it."""
    if form.cleaned_data["version"] not in (None, row.version):
        raise Conflict("changed_meanwhile", "Somebody has changed it in the meantime: look at it again.")
