"""Maintenance windows: when they come next, for whom, and how a rule reads in local time."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.actors import actor_words
from agent_factory_site.common.admin.base import holds_scope, refusals_as_messages
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.periods import Interval, parse_zone
from agent_factory_site.common.selectors.audit_events import find_audit_events
from operations.slo.domain.exclusions import Maintenance
from operations.slo.domain.kept import minutes_from
from operations.slo.domain.maintenance_input import parse_maintenance
from operations.slo.models import MaintenanceWindow, Slo
from operations.slo.selectors.exclusion_minutes import maintenance_of
from operations.slo.selectors.occurrences import next_occurrences, past_occurrences
from operations.slo.services.maintenance import (
    archive_maintenance_window,
    change_maintenance_window,
    create_maintenance_window,
)

from .maintenance_form import CUSTOM, MaintenanceForm, body_of, preset_of
from .previewed import PreviewedFormsAdmin
from .slis import StateFilter, unchanged_since
from .slo_cells import badge, length_words

SHOWN_SLOS = 3


def occurrence_words(occurrence: Interval, zone_name: str) -> str:
    """``Sun 2026-11-22 02:00 – 03:30`` by the clock of a zone."""
    zone = parse_zone(zone_name)
    start, end = occurrence.start.astimezone(zone), occurrence.end.astimezone(zone)
    last = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%a %Y-%m-%d %H:%M}"
    return f"{start:%a %Y-%m-%d %H:%M} – {last}"


def recurrence_words(window: MaintenanceWindow) -> str:
    """How it recurs: a preset in words, or the rule."""
    wall = window.starts_at.astimezone(parse_zone(window.timezone)).replace(tzinfo=None)
    preset = preset_of(window.rrule, wall)
    if preset == CUSTOM:
        return str(window.rrule)
    at = f"{wall:%H:%M}"
    return {
        "once": "once",
        "daily": f"every day at {at}",
        "workdays": f"Monday to Friday at {at}",
        "weekly": f"every {wall:%A} at {at}",
        "fortnightly": f"every other {wall:%A} at {at}",
        "monthly": f"on day {wall.day} of each month at {at}",
        "monthly_day": f"on the {_ordinal(wall.day)} {wall:%A} of each month at {at}",
    }[preset]


def _ordinal(day: int) -> str:
    return "last" if day > 28 else ("first", "second", "third", "fourth")[(day - 1) // 7]


def preview_words(when: Maintenance) -> list[str]:
    """The next five occurrences, by the clock of the zone."""
    found = next_occurrences(when, 5)
    if not found:
        return ["Nothing is to come: it lies in the past."]
    return [occurrence_words(one, when.zone.key) for one in found]


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(PreviewedFormsAdmin):
    """Windows are made, changed and archived through their services."""

    scopes: ClassVar = {"view": "operations:read"}
    preview_title = "The next five"
    preview_empty = "Say when it begins and how long it lasts."

    list_display = ("shown_name", "next_time", "how", "lasts", "whose", "why")
    list_filter = (StateFilter,)
    search_fields = ("name", "reason")
    search_help_text = "Name or reason"
    sortable_by = ()
    ordering = ("name", "pk")
    list_before_template = "common/list_summary.html"
    change_form_template = "operations/maintenance_window.html"
    empty_words = "What happens in a maintenance window spends no error budget."
    actions_list = ("make",)
    actions_detail = ("edit", "archive")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MaintenanceWindow]:
        rows: QuerySet[MaintenanceWindow] = super().get_queryset(request).prefetch_related("slos")
        return rows

    def get_urls(self) -> list[URLPattern]:
        preview = path(
            "preview/",
            self.admin_site.admin_view(self.preview),
            name="operations_maintenancewindow_preview",
        )
        return [preview, *super().get_urls()]

    def has_make_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may make windows."""
        return holds_scope(request, "operations:write")

    def has_edit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether the person may change this one."""
        return holds_scope(request, "operations:write") and (
            object_id is None or MaintenanceWindow.objects.filter(pk=object_id, archived_at=None).exists()
        )

    @display(description="Window")
    def shown_name(self, window: MaintenanceWindow) -> SafeString:
        kind = "" if window.kind == MaintenanceWindow.Kind.ANNOUNCED else badge("ad hoc")
        return format_html('<span class="af-strong">{}</span> {}', window.name, kind)

    @display(description="Next")
    def next_time(self, window: MaintenanceWindow) -> SafeString | str:
        if window.archived_at is not None:
            return badge("archived")
        found = next_occurrences(maintenance_of(window), 1)
        if not found:
            return badge("over")
        words = occurrence_words(found[0], window.timezone)
        if timezone.now() in found[0]:
            return format_html('{} <span class="af-nowrap">{}</span>', badge("now", "af-badge-warn"), words)
        return format_html('<span class="af-nowrap">{}</span>', words)

    @display(description="Recurs")
    def how(self, window: MaintenanceWindow) -> SafeString:
        return format_html('{} <span class="af-muted">{}</span>', recurrence_words(window), window.timezone)

    @display(description="Lasts")
    def lasts(self, window: MaintenanceWindow) -> str:
        return length_words(timedelta(seconds=window.duration_seconds))

    @display(description="For")
    def whose(self, window: MaintenanceWindow) -> str:
        if window.all_slos:
            return "all SLOs"
        names = [slo.name for slo in window.slos.all()]
        more = f" and {len(names) - SHOWN_SLOS} more" if len(names) > SHOWN_SLOS else ""
        return ", ".join(names[:SHOWN_SLOS]) + more

    @display(description="Reason")
    def why(self, window: MaintenanceWindow) -> str:
        return window.reason

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        window = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if window is not None:
            if not self.has_view_permission(request, window):
                raise PermissionDenied
            when = maintenance_of(window)
            context = {
                "window": window,
                "recurs": recurrence_words(window),
                "lasts": length_words(when.duration),
                "coming": [] if window.archived_at else preview_words(when),
                "past": [occurrence_words(one, window.timezone) for one in past_occurrences(when)],
                "first": occurrence_words(
                    Interval(when.starts_at, when.starts_at + when.duration), window.timezone
                ),
                "edge": minutes_from(timezone.now()),
                "by_hours": window.starts_at < minutes_from(timezone.now()),
                "slos": list(window.slos.order_by("key")),
                "made_by": actor_words({0: f"{window.actor_kind}:{window.actor_id}"})[0],
                "changes": find_audit_events(
                    target_type=MaintenanceWindow._meta.label, target_id=str(window.pk)
                ).order_by("-at", "-id")[:20],
                "title": window.name,
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def preview(self, request: HttpRequest) -> HttpResponse:
        """The next occurrences of what is being typed, or what is wrong with its time."""
        if not self.has_make_permission(request):
            raise PermissionDenied
        data: dict[str, Any] = {
            name: request.GET.get(name, "") for name in ("starts_at", "timezone", "duration")
        }
        data |= {"repeats": request.GET.get("repeats", ""), "rrule": request.GET.get("rrule", "")}
        body = body_of({**data, "timezone": data["timezone"] or "UTC", "name": "preview", "all_slos": True})
        errors: list[FieldError] = []
        parsed = parse_maintenance(body, errors)
        if parsed is None:
            typed = [error for error in errors if error.code != "required"]
            return JsonResponse({"lines": [error.detail for error in typed], "wrong": bool(typed)})
        return JsonResponse({"lines": preview_words(parsed.when), "wrong": False})

    @action(
        description="New window",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["make"],
        url_path="new",
    )
    def make(self, request: HttpRequest) -> HttpResponseBase:
        asked = request.GET.get("slo", "")
        known = (
            {str(pk) for pk in Slo.objects.filter(key=asked).values_list("pk", flat=True)} if asked else set()
        )
        return self.form_page(
            request,
            form=partial(MaintenanceForm, slo=next(iter(known), "")),
            perform=lambda form: self._made(request, form),
            permitted=self.has_make_permission(request),
            title="New maintenance window",
            intro="Whole minutes that spend no error budget. What happened in them stays: every page shows the view "
            "before exclusions too.",
            submit="Make the window",
        )

    def _made(self, request: HttpRequest, form: MaintenanceForm) -> HttpResponse:
        window = create_maintenance_window(body=form.body())
        messages.success(request, f"{window.name} is made; what it touches of the past is counted anew.")
        return self.to_page(window.pk)

    @action(description="Change", icon="edit", permissions=["edit"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        window = self.in_use(request, object_id)
        return self.form_page(
            request,
            window,
            form=partial(MaintenanceForm, window=window),
            perform=lambda form: self._changed(request, window, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Change {window.name}",
            intro="What it touched and what it will touch of the past is counted anew.",
            submit="Change the window",
        )

    def _changed(
        self, request: HttpRequest, window: MaintenanceWindow, form: MaintenanceForm
    ) -> HttpResponse:
        check = partial(unchanged_since, form)
        change_maintenance_window(window=window.pk, changes=form.body(), check=check)
        messages.success(request, "The window is changed." if form.changed_data else "Nothing was changed.")
        return self.to_page(window.pk)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["edit"],
        dialog={
            "title": "Archive this window?",
            "description": "It excludes nothing any more, also of the past: what it excluded is counted again. To end "
            "it and keep the past, give its rule an UNTIL instead.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            row = archive_maintenance_window(window=UUID(object_id))
            messages.success(request, f"{row.name} is archived.")
        url = reverse("admin:operations_maintenancewindow_change", args=[object_id])
        return HttpResponse(headers={"HX-Redirect": url})
