"""Background jobs: how far they are, what came of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import Job
from agent_factory_site.common.selectors.jobs import Progress, progress_of
from agent_factory_site.common.services.jobs import cancel_job
from agent_factory_site.common.templatetags.agent_factory import ago

from .actors import KIND_WORDS, actor_names
from .base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from .filters import ChoiceFilter, SuggestingFilter

STATE_COLOURS = {
    "queued": None,
    "running": "info",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
}
UNFINISHED = (Job.State.QUEUED, Job.State.RUNNING)
MOST_WATCHED = 50


class StateFilter(ChoiceFilter):
    """Where jobs stand."""

    title = label = "State"
    parameters = ("state",)

    def options(self) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Job.State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(state=self.value) if self.value else queryset


class KindFilter(SuggestingFilter):
    """What jobs do."""

    title = label = "Kind"
    parameters = ("kind",)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Job]) -> QuerySet[Job]:
        return queryset.filter(kind=self.value) if self.value else queryset


def duration_of(job: Job) -> str:
    """How long it ran or has been running, as ``1:02:03``."""
    if job.started_at is None:
        return "–"
    end: datetime = job.finished_at or timezone.now()
    return clock(end - job.started_at)


def clock(span: timedelta) -> str:
    """``1:02:03``, ``2:03``."""
    hours, rest = divmod(max(0, int(span.total_seconds())), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def shown_progress(job: Job) -> dict[str, Any]:
    """What a progress bar shows and its script asks for."""
    progress = progress_of(job)
    return {
        "id": str(job.pk),
        "state": job.state,
        "finished": job.state not in UNFINISHED,
        "percent": None if progress.share is None else int(progress.share * 100),
        "note": "" if job.state not in UNFINISHED else _note(job, progress),
    }


def _note(job: Job, progress: Progress) -> str:
    said = [job.progress_note] if job.progress_note else []
    if progress.rate and not said:
        said.append(f"{progress.rate:,.0f} per second")
    if progress.left is not None:
        said.append(f"{clock(progress.left)} left")
    return ", ".join(said)


def progress_bar(job: Job) -> SafeString:
    """A bar that follows the job while the page is open."""
    return SafeString(  # nosec B703 - the template escapes what it is given
        render_to_string(
            "common/progress.html",
            {"progress": shown_progress(job), "url": reverse("admin:common_job_progress")},
        )
    )


def still_bar(*, state: str, percent: int) -> SafeString:
    """A bar of something that is not a job."""
    shown = {"id": "", "state": state, "finished": True, "percent": percent, "note": ""}
    return SafeString(  # nosec B703 - the template escapes what it is given
        render_to_string("common/progress.html", {"progress": shown, "url": ""})
    )


class JobScreen(ReadOnlyAdmin):
    """What every screen over jobs shows."""

    ordering = ("-created_at",)
    list_per_page = 50
    empty_words = "Imports and other background work show up here."

    @display(description="State", label=STATE_COLOURS)
    def shown_state(self, job: Job) -> str:
        return str(job.state)

    @display(description="Progress")
    def progress(self, job: Job) -> SafeString:
        return progress_bar(job)

    @display(description="Created", ordering="created_at")
    def created(self, job: Job) -> SafeString:
        return ago(job.created_at)

    @display(description="Took")
    def took(self, job: Job) -> str:
        return duration_of(job)

    @display(description="Started by")
    def started_by(self, job: Job) -> str:
        actor = Actor(job.actor_kind, job.actor_id)  # type: ignore[arg-type]
        return f"{KIND_WORDS.get(actor.kind, actor.kind)} {actor_names([actor])[actor]}"


@admin.register(Job)
class JobAdmin(JobScreen):
    """All background work."""

    scopes: ClassVar = {"view": "common:read"}
    actions_detail = ("cancel",)

    list_display = ("kind", "shown_state", "progress", "created", "took", "attempts")
    list_filter = (StateFilter, KindFilter)
    fields = (
        "kind", "shown_state", "progress", "progress_note", "started_by", "created", "started_at",
        "finished_at",
        "took", "attempts", "error", "parameters", "result",
    )  # fmt: skip
    readonly_fields = fields

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever administers may stop what is not over."""
        if not holds_scope(request, "common:admin"):
            return False
        return object_id is None or Job.objects.filter(pk=object_id, state__in=UNFINISHED).exists()

    @action(
        description="Cancel",
        icon="stop_circle",
        variant=ActionVariant.DANGER,
        permissions=["cancel"],
        dialog={
            "title": "Cancel this job?",
            "description": "It stops at its next sign of life. What it has done so far stays done.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Cancel the job",
        },
    )
    def cancel(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            cancel_job(job_id=UUID(object_id))
            messages.success(request, "The job is cancelled.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:common_job_change", args=[object_id])})

    def get_urls(self) -> list[URLPattern]:
        urls: list[URLPattern] = super().get_urls()
        watch = self.admin_site.admin_view(self.progress_view)
        return [path("progress/", watch, name="common_job_progress"), *urls]

    def progress_view(self, request: HttpRequest) -> HttpResponseBase:
        """How far the jobs named in ``ids`` are: those of one's own, and all for whoever may see jobs."""
        wanted = []
        for text in request.GET.get("ids", "").split(",")[:MOST_WATCHED]:
            try:
                wanted.append(UUID(text))
            except ValueError:
                continue
        jobs = Job.objects.filter(pk__in=wanted)
        if not self.has_view_permission(request):
            jobs = jobs.filter(actor_kind="user", actor_id=str(request.user.pk))
        return JsonResponse(
            {"jobs": [shown_progress(job) for job in jobs]}, headers={"Cache-Control": "no-store"}
        )
