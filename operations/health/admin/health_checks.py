"""How everything is: this system's own checks, and those of agents and tools."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import refusals_as_messages
from agent_factory_site.common.admin.filters import ChoiceFilter
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.admin.steps import KeptRowsAdmin
from agent_factory_site.common.health_checks import all_checks, run_checks, worst
from agent_factory_site.common.selectors.audit_events import find_audit_events
from agent_factory_site.common.templatetags.agent_factory import ago
from operations.health.models import HealthCheck
from operations.health.selectors.health_checks import entity_name, get_health_check, results_of
from operations.health.services.health_checks import (
    archive_health_check,
    change_health_check,
    create_health_check,
    pause_health_check,
    resume_health_check,
)

from .check_form import HealthCheckForm

STATE_COLOURS = {
    "passing": "success",
    "failing": "danger",
    "unknown": None,
    "paused": "warning",
    "archived": None,
}
SHOWN_RESULTS = 100


def shown_state(check: HealthCheck) -> str:
    """Passing, failing or unknown, unless it is paused or archived."""
    if check.archived_at is not None:
        return "archived"
    return "paused" if check.paused_at is not None else check.state


class StateFilter(ChoiceFilter):
    """How checks stand; archived ones are hidden unless asked for."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        names = ("failing", "passing", "unknown", "paused", "archived")
        return [(name, name.capitalize()) for name in names]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value == "archived":
            return queryset.exclude(archived_at=None)
        rows = queryset.filter(archived_at=None)
        if self.value == "paused":
            return rows.exclude(paused_at=None)
        if self.value in ("failing", "passing", "unknown"):
            return rows.filter(state=self.value, paused_at=None)
        return rows


class KindFilter(ChoiceFilter):
    """Asked by us, or telling us."""

    title = label = "Kind"
    parameters = ("kind",)

    def options(self) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in HealthCheck.Kind.choices]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(kind=self.value) if self.value else queryset


@admin.register(HealthCheck)
class HealthCheckAdmin(KeptRowsAdmin):
    """Checks are made, changed, paused and archived through their services."""

    scopes: ClassVar = {"view": "operations:read"}
    write_scope = "operations:write"

    list_display = ("shown_key", "shown_state", "checked", "how", "last", "took", "why")
    list_filter = (StateFilter, KindFilter)
    search_fields = ("key", "name", "entity__key")
    search_help_text = "Key, name or what is checked"
    list_select_related = ("entity",)
    sortable_by = ()
    # Failing comes before passing, and passing before unknown.
    ordering = ("state", "key")
    list_before_template = "operations/system_health.html"
    change_form_template = "operations/health_check.html"
    empty_words = "Agents and tools are asked over HTTP, or send heartbeats: New health check."
    actions_list = ("make",)
    actions_detail = ("edit", "pause", "resume", "archive")

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether it can be paused."""
        return self.may_change(request, object_id, paused_at=None)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether it is paused and can go on."""
        return self.may_change(request, object_id, paused_at__isnull=False)

    @display(description="Check")
    def shown_key(self, check: HealthCheck) -> SafeString:
        return format_html('<code class="af-code">{}</code> {}', check.key, check.name)

    @display(description="State", label=STATE_COLOURS)
    def shown_state(self, check: HealthCheck) -> str:
        return shown_state(check)

    @display(description="Checked")
    def checked(self, check: HealthCheck) -> str:
        return entity_name(check) or "–"

    @display(description="How")
    def how(self, check: HealthCheck) -> str:
        what = "asked" if check.kind == HealthCheck.Kind.HTTP else "tells"
        return f"{what} every {every(check.interval_seconds)}"

    @display(description="Last result")
    def last(self, check: HealthCheck) -> SafeString | str:
        return ago(check.last_at) if check.last_at else "none yet"

    @display(description="Took")
    def took(self, check: HealthCheck) -> str:
        return f"{check.last_seconds * 1000:,.0f} ms" if check.last_seconds is not None else "–"

    @display(description="Why")
    def why(self, check: HealthCheck) -> str:
        return check.last_text if not check.last_ok else ""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        results = run_checks(all_checks())
        context = {"system": results, "system_status": worst(results)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        check = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if check is not None:
            results = list(results_of(check).order_by("-number")[:SHOWN_RESULTS])
            context = {
                "check": check,
                "state": shown_state(check),
                "entity": entity_name(check),
                "every": every(check.interval_seconds),
                "grace": every(check.grace_seconds),
                "results": results[:20],
                "strip": list(reversed(results)),
                "good": sum(result.ok for result in results),
                "changes": find_audit_events(
                    target_type="operations.HealthCheck", target_id=str(check.pk)
                ).order_by("-at", "-id")[:20],
                "host": request.build_absolute_uri("/").rstrip("/"),
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="New health check",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["make"],
        url_path="new",
    )
    def make(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=HealthCheckForm,
            perform=lambda form: self._made(request, form),
            permitted=self.may_write(request),
            title="New health check",
            intro="An agent or tool is asked over HTTP, or sends a heartbeat when it is alive.",
            submit="Make the check",
            cancel_url=reverse("admin:operations_healthcheck_changelist"),
            extra={"grid": True},
        )

    def _made(self, request: HttpRequest, form: HealthCheckForm) -> HttpResponse:
        check = create_health_check(body=form.body())
        messages.success(request, f"The check {check.key} is made.")
        return HttpResponseRedirect(self.page_of(check.pk))

    @action(description="Change", icon="edit", permissions=["edit"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        check = get_health_check(object_id)
        return service_form_page(
            self,
            request,
            form=partial(HealthCheckForm, check=check),
            perform=lambda form: self._changed(request, check, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Change {check.key}",
            submit="Change the check",
            cancel_url=self.page_of(check.pk),
            extra={"grid": True},
        )

    def _changed(self, request: HttpRequest, check: HealthCheck, form: HealthCheckForm) -> HttpResponse:
        change_health_check(name=check.pk, changes=form.body())
        messages.success(request, f"The check {check.key} is changed.")
        return HttpResponseRedirect(self.page_of(check.pk))

    @action(
        description="Pause",
        icon="pause_circle",
        permissions=["pause"],
        dialog={
            "title": "Pause this check?",
            "description": "It is neither asked nor expected until it is resumed; its state is unknown.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Pause it",
        },
    )
    def pause(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            messages.success(request, f"{pause_health_check(name=object_id)} is paused.")
        return self.back_to(object_id)

    @action(
        description="Resume",
        icon="play_circle",
        permissions=["resume"],
        dialog={
            "title": "Resume this check?",
            "description": "It is asked, or expected, again from now on.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Resume it",
        },
    )
    def resume(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            messages.success(request, f"{resume_health_check(name=object_id)} goes on.")
        return self.back_to(object_id)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["edit"],
        dialog={
            "title": "Archive this check?",
            "description": "It is never asked again, its headers are forgotten, and its key stays taken.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            messages.success(request, f"{archive_health_check(name=object_id)} is archived.")
        return self.back_to(object_id)


def every(seconds: int) -> str:
    """``90 s``, ``5 min``, ``1 h``: a whole number of the largest unit that fits."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds and seconds % size == 0:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
