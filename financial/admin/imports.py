"""Imports: files handed in here are read in the background, and followed by a progress bar."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import FileResponse, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.admin.actors import KIND_WORDS, actor_names
from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.filters import ChoiceFilter
from agent_factory_site.common.admin.jobs import clock, progress_bar, still_bar
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.templatetags.agent_factory import ago, grouped, money
from financial.domain.import_profiles import PROFILES
from financial.models import CostImport
from financial.models.cost_event import USAGE_FIELDS
from financial.services.import_costs import imports_folder
from financial.services.import_jobs import queue_import, resume_import

from .cost_detail import PART_NAMES
from .import_form import ImportForm

STATE_COLOURS = {
    "queued": None,
    "running": "info",
    "interrupted": "warning",
    "succeeded": "success",
    "rows rejected": "warning",
    "all rows rejected": "danger",
    "failed": "danger",
}
MOST_REJECTS_SHOWN = 20


class StateFilter(ChoiceFilter):
    """How they stand."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in CostImport.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(state=self.value) if self.value else queryset


class ProfileFilter(ChoiceFilter):
    """What kind of files."""

    title = label = "Profile"
    parameters = ("profile",)

    def options(self) -> list[tuple[str, str]]:
        return [(profile.name, profile.title) for profile in PROFILES.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(profile=self.value) if self.value else queryset


@admin.register(CostImport)
class CostImportAdmin(ReadOnlyAdmin):
    """Each import of a file, its counts and sums, and what was rejected."""

    scopes: ClassVar = {"view": "financial:read"}

    list_display = (
        "file_name",
        "state_label",
        "progress",
        "row_count",
        "reject_count",
        "total",
        "created",
        "took",
    )
    list_filter = (StateFilter, ProfileFilter)
    search_fields = ("file_name",)
    search_help_text = "File name"
    ordering = ("-id",)
    list_select_related = ("job",)
    list_before_template = "common/list_summary.html"
    change_form_template = "financial/cost_import.html"
    empty_words = "Import a file of past requests: CSV or JSON Lines, plain or gzip."
    actions_list = ("upload",)
    actions_detail = ("resume",)

    def _may_import(self, request: HttpRequest) -> bool:
        return holds_scope(request, "financial:write") or request.user.has_perm("financial.add_costimport")

    def has_upload_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may write money may import it."""
        return self._may_import(request)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whether there is something to go on with."""
        if not self._may_import(request):
            return False
        stopped = CostImport.objects.filter(
            state__in=[CostImport.State.FAILED, CostImport.State.INTERRUPTED]
        ).exclude(stored_file="")
        return object_id is None or stopped.filter(pk=object_id).exists()

    @display(description="State", label=STATE_COLOURS)
    def state_label(self, item: CostImport) -> str:
        return item.outcome

    @display(description="Progress")
    def progress(self, item: CostImport) -> SafeString | str:
        return import_progress(item)

    @display(description="Rows", ordering="rows")
    def row_count(self, item: CostImport) -> SafeString:
        return grouped(item.rows)

    @display(description="Rejected", ordering="rejected")
    def reject_count(self, item: CostImport) -> SafeString | str:
        if not item.rejected:
            return "0"
        return format_html('<span class="af-badge af-badge-bad">{}</span>', grouped(item.rejected))

    @display(description="Amount", ordering="amount")
    def total(self, item: CostImport) -> SafeString:
        return money(item.amount, settings.BASE_CURRENCY)

    @display(description="Started", ordering="created_at")
    def created(self, item: CostImport) -> SafeString:
        return ago(item.created_at)

    @display(description="Took")
    def took(self, item: CostImport) -> str:
        return took(item)

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        rejects = self.admin_site.admin_view(self.rejects_view)
        return [path("<uuid:object_id>/rejects/", rejects, name="financial_costimport_rejects"), *urls]

    @action(
        description="Import a file",
        icon="upload_file",
        variant=ActionVariant.PRIMARY,
        permissions=["upload"],
        url_path="upload",
    )
    def upload(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=ImportForm,
            perform=lambda form: self._queue(request, form),
            permitted=self._may_import(request),
            title="Import a file",
            intro="CSV or JSON Lines, plain or gzip. Repeating an import never charges a row twice.",
            submit="Import",
            cancel_url=reverse("admin:financial_costimport_changelist"),
            template="financial/import_form.html",
            extra={"profiles": list(PROFILES.values())},
        )

    def _queue(self, request: HttpRequest, form: ImportForm) -> HttpResponse:
        upload = form.cleaned_data["file"]
        row = queue_import(
            upload=upload, file_name=upload.name, profile=form.cleaned_data["profile"], options=form.options()
        )
        return HttpResponseRedirect(reverse("admin:financial_costimport_change", args=[row.pk]))

    @action(
        description="Go on",
        icon="play_arrow",
        permissions=["resume"],
        dialog={
            "title": "Go on with this import?",
            "description": "It begins where it stopped. Rows that are recorded already are not charged again.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Go on",
        },
    )
    def resume(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            resume_import(import_id=UUID(object_id))
            messages.success(request, "A worker goes on with it.")
        return HttpResponse(
            headers={"HX-Redirect": reverse("admin:financial_costimport_change", args=[object_id])}
        )

    def rejects_view(self, request: HttpRequest, object_id: UUID) -> HttpResponseBase:
        """The rejected rows with their reasons, as a file."""
        if not self.has_view_permission(request):
            raise Http404
        item = CostImport.objects.filter(pk=object_id).first()
        rejects = rejects_file(item) if item is not None else None
        if item is None or rejects is None:
            raise Http404("No rows of this import were rejected, or their file is gone.")
        return FileResponse(
            rejects.open("rb"), as_attachment=True, filename=f"{item.file_name}.rejects.jsonl"
        )

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        item = self.get_object(request, object_id)
        context: dict[str, Any] = {}
        if item is not None:
            actor = Actor(item.actor_kind, item.actor_id)
            rejects = rejects_file(item)
            context = {
                "item": item,
                "currency": settings.BASE_CURRENCY,
                "progress": import_progress(item),
                "actor": f"{KIND_WORDS.get(actor.kind, actor.kind)} {actor_names([actor])[actor]}",
                "profile": PROFILES.get(item.profile),
                "usage": [
                    (PART_NAMES[name], item.usage[name]) for name in USAGE_FIELDS if item.usage.get(name)
                ],
                "took": took(item),
                "costs_query": urlencode({"source": source_of(item)}),
                "rejects": _first_rejects(rejects) if rejects else [],
                "rejects_url": reverse("admin:financial_costimport_rejects", args=[item.pk])
                if rejects
                else "",
            }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})


def import_progress(item: CostImport) -> SafeString:
    """The bar of an import: that of its job, else how much of the file was read when the page was made."""
    if item.job is not None:
        return progress_bar(item.job)
    share = 100 if item.state == CostImport.State.SUCCEEDED else 0
    if item.bytes_total:
        share = item.bytes_done * 100 // item.bytes_total
    return still_bar(state=str(item.state), percent=share)


def took(item: CostImport) -> str:
    """How long the import ran."""
    if item.started_at is None or item.finished_at is None:
        return "–"
    return clock(item.finished_at - item.started_at)


def source_of(item: CostImport) -> str:
    """The source that the imported events bear."""
    profile = PROFILES.get(item.profile)
    default = profile.source if profile else ""
    return str(item.options.get("set", {}).get("source") or default)


def rejects_file(item: CostImport) -> Path | None:
    """The file of rejected rows, where it is one of ours and still there."""
    if not item.rejected or not item.rejects_path:
        return None
    file = Path(item.rejects_path)
    # A command may have been told to write it anywhere; the web serves nothing from there.
    inside = file.parent.resolve() == imports_folder().resolve()
    return file if inside and file.is_file() else None


def _first_rejects(file: Path) -> list[dict[str, Any]]:
    """The first rejected rows: where they stand, why, and what they say."""
    shown = []
    with file.open("r", encoding="utf-8", errors="replace") as lines:
        for line in islice(lines, MOST_REJECTS_SHOWN):
            try:
                reject = json.loads(line)
            except ValueError:
                # The last line of an import that is still running may be half written.
                break
            reasons = [f"{error['pointer']}: {error['detail']}" for error in reject.get("errors", [])]
            raw = reject.get("raw", "")
            raw = raw if isinstance(raw, str) else json.dumps(raw, ensure_ascii=False)
            shown.append({"line": reject.get("line"), "reasons": reasons, "raw": raw[:500]})
    return shown
