"""Experiments: how each stands, what came of it so far, and the steps of its life."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import refusals_as_messages
from agent_factory_site.common.admin.keyset import KeysetAdminMixin
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.errors import DomainError, NotFound
from agent_factory_site.common.templatetags.agent_factory import grouped
from research.models import Experiment
from research.selectors.experiments import get_experiment
from research.selectors.standings import standings
from research.services.experiments import change_experiment, create_experiment
from research.services.lifecycle import (
    approve_experiment,
    archive_experiment,
    pause_experiment,
    resume_experiment,
    start_experiment,
    stop_arm,
    stop_experiment,
)
from research.services.overrides import put_override, remove_override

from .experiment_filters import GroupFilter, OwnerFilter, StateFilter, UnitFilter
from .experiment_form import ExperimentForm
from .experiment_outcome import OutcomeSteps
from .experiment_page import experiment_page
from .experiment_steps import ArmStopForm, OverrideForm, OverrideRemovalForm, ReasonForm, StopForm
from .experiment_words import STATE_COLOURS, days_words

State = Experiment.State


@admin.register(Experiment)
class ExperimentAdmin(KeysetAdminMixin, OutcomeSteps):
    """Services alone make, change and run experiments."""

    scopes: ClassVar = {"view": "research:read"}
    keyset = ("-id",)

    list_display = ("shown_key", "shown_state", "unit", "units", "days", "primary", "group", "shown_owner")
    list_display_links = ("shown_key",)
    list_filter = (StateFilter, UnitFilter, OwnerFilter, GroupFilter)
    list_select_related = ("exclusion_group", "owner")
    list_per_page = 50
    search_fields = ("key", "name")
    search_help_text = "Key or name"
    list_before_template = "common/list_summary.html"
    change_form_template = "research/experiment.html"
    empty_words = (
        "An experiment says which of several prompts, models or tools serves better, and by how much."
    )
    actions_list = ("new", "planner")
    actions_detail = (
        "edit", "start", "approve", "decide", "analyse", "pause", "resume",
        {
            "title": "More",
            "icon": "more_horiz",
            "items": ["plan", "stop", "arm", "override", "drop_override", "archive"],
        },
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Experiment]:
        rows: QuerySet[Experiment] = super().get_queryset(request)
        return rows.select_related("exclusion_group", "owner", "requested_by", "approved_by")

    # --- Who may do what, as long as the state leaves it ----------------------------------------

    def has_new_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may write experiments makes them."""
        return self._may_write(request)

    def has_edit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An archived one stays as it is."""
        return self._may(request, object_id, State.DRAFT, State.RUNNING, State.PAUSED, State.STOPPED)

    def has_start_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """A draft is started."""
        return self._may(request, object_id, State.DRAFT)

    def has_approve_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """A draft is approved, where that is asked for."""
        return settings.EXPERIMENTS_NEED_APPROVAL and self._may(request, object_id, State.DRAFT)

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """One that runs is paused."""
        return self._may(request, object_id, State.RUNNING)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """One that is paused goes on."""
        return self._may(request, object_id, State.PAUSED)

    def has_stop_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """One that has begun is stopped, as a whole or an arm of it."""
        return self._may(request, object_id, State.RUNNING, State.PAUSED)

    def has_override_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Units are given a variant until it has ended."""
        return self._may(request, object_id, State.DRAFT, State.RUNNING, State.PAUSED)

    def has_archive_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """A draft or one that has ended is put away."""
        return self._may(request, object_id, State.DRAFT, State.STOPPED)

    # --- The list -------------------------------------------------------------------------------

    def prepare_page(self, request: HttpRequest, rows: list[Any]) -> None:
        found = standings(rows)
        for row in rows:
            row.standing = found[row.pk]

    @display(description="Experiment")
    def shown_key(self, experiment: Experiment) -> SafeString:
        code = format_html('<code class="af-code">{}</code>', experiment.key)
        if experiment.name in ("", experiment.key):
            return code
        return format_html('<span><span class="af-strong">{}</span><br>{}</span>', experiment.name, code)

    @display(description="State", label=STATE_COLOURS)
    def shown_state(self, experiment: Experiment) -> str:
        return str(experiment.state)

    @display(description="Units")
    def units(self, experiment: Any) -> SafeString:
        return grouped(experiment.standing.units)

    @display(description="Days running")
    def days(self, experiment: Any) -> SafeString:
        return format_html('<span class="af-num">{}</span>', days_words(experiment.standing.running))

    @display(description="Primary metric")
    def primary(self, experiment: Any) -> str:
        return str(experiment.standing.primary)

    @display(description="Exclusion group")
    def group(self, experiment: Experiment) -> str:
        return str(experiment.exclusion_group) if experiment.exclusion_group else "–"

    @display(description="Owner")
    def shown_owner(self, experiment: Experiment) -> str:
        owner = experiment.owner
        return "–" if owner is None else owner.name or f"{owner.type}/{owner.key}"

    # --- One experiment -------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        experiment = self.get_object(request, object_id)
        if experiment is None:
            return super().change_view(request, object_id, form_url, extra_context)
        if not self.has_view_permission(request, experiment):
            raise PermissionDenied
        try:
            context = experiment_page(experiment, asked=request.GET, now=timezone.now())
        except NotFound as refusal:
            raise Http404(refusal.detail) from refusal
        context |= {
            "needs_approval": settings.EXPERIMENTS_NEED_APPROVAL and experiment.state == State.DRAFT,
            "host": request.build_absolute_uri("/").rstrip("/"),
            "title": str(experiment),
        }
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    @action(
        description="New experiment",
        icon="add",
        variant=ActionVariant.PRIMARY,
        permissions=["new"],
        url_path="new",
    )
    def new(self, request: HttpRequest) -> HttpResponseBase:
        return service_form_page(
            self,
            request,
            form=ExperimentForm,
            perform=lambda form: self._created(request, form),
            permitted=self._may_write(request),
            title="New experiment",
            intro="It is a draft until it is started: nobody is served before, and everything may change.",
            submit="Make the draft",
            cancel_url=reverse("admin:research_experiment_changelist"),
            template="research/experiment_form.html",
        )

    def _created(self, request: HttpRequest, form: ExperimentForm) -> HttpResponse:
        try:
            experiment = create_experiment(definition=form.body())
        except DomainError as refusal:
            raise form.place(refusal) from None
        messages.success(request, f"{experiment} is a draft.")
        return self._page(experiment.pk)

    @action(description="Change", icon="edit", permissions=["edit"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        try:
            experiment = get_experiment(UUID(object_id))
        except NotFound as refusal:
            raise Http404(refusal.detail) from refusal
        begun = experiment.state in (State.RUNNING, State.PAUSED)
        return service_form_page(
            self,
            request,
            form=partial(ExperimentForm, experiment=experiment),
            perform=lambda form: self._changed(request, experiment, form),
            permitted=self.has_edit_permission(request, object_id),
            title=f"Change {experiment}",
            intro="Other weights, targeting or payloads open a new phase: units that are in keep their arms, and the "
            "new phase analyses those that come from now on. Coverage only grows."
            if begun
            else "",
            submit="Change the experiment",
            cancel_url=reverse("admin:research_experiment_change", args=[experiment.pk]),
            template="research/experiment_form.html",
        )

    def _changed(self, request: HttpRequest, experiment: Experiment, form: ExperimentForm) -> HttpResponse:
        try:
            changed = change_experiment(
                experiment=experiment.pk,
                changes=form.body(),
                remove_variants=form.removed("variants"),
                remove_metrics=form.removed("metrics"),
            )
        except DomainError as refusal:
            raise form.place(refusal) from None
        if changed.version == experiment.version:
            messages.info(request, "Nothing was changed.")
        else:
            phases = len(changed.phases.all()) - len(experiment.phases.all())
            new_phase = " A new phase has begun." if phases else ""
            messages.success(request, f"{changed} is changed.{new_phase}")
        return self._page(experiment.pk)

    @action(
        description="Start",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        permissions=["start"],
        dialog={
            "title": "Start this experiment?",
            "description": "From the next request on units are assigned. Variants, metrics, unit and analysis "
            "are fixed from then on.",
            "form_class": ReasonForm,
            "form_submit_text": "Start it",
        },
    )
    def start(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return self._step(request, object_id, partial(start_experiment, reason=reason), "runs")

    @action(
        description="Approve",
        icon="how_to_reg",
        permissions=["approve"],
        dialog={
            "title": "Approve this experiment?",
            "description": "It may then be started as it stands. Whoever wrote it last cannot approve it.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Approve it",
        },
    )
    def approve(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, approve_experiment, "is approved")

    @action(
        description="Pause",
        icon="pause",
        permissions=["pause"],
        dialog={
            "title": "Pause this experiment?",
            "description": "Nobody is served and nothing is counted until it is resumed. Units keep their arms.",
            "form_class": ReasonForm,
            "form_submit_text": "Pause it",
        },
    )
    def pause(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return self._step(request, object_id, partial(pause_experiment, reason=reason), "is paused")

    @action(
        description="Resume",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        permissions=["resume"],
        dialog={
            "title": "Resume this experiment?",
            "description": "It goes on where it was paused, in the same phase.",
            "form_class": ReasonForm,
            "form_submit_text": "Resume it",
        },
    )
    def resume(self, request: HttpRequest, form: ReasonForm, object_id: str) -> HttpResponse:
        reason = form.cleaned_data["reason"]
        return self._step(request, object_id, partial(resume_experiment, reason=reason), "runs again")

    @action(
        description="Stop",
        icon="stop",
        variant=ActionVariant.DANGER,
        permissions=["stop"],
        dialog={
            "title": "Stop this experiment for good?",
            "description": "Nobody is assigned any more, results of later events do not count, and its range of an "
            "exclusion group becomes free. It cannot be started again.",
            "form_class": StopForm,
            "form_submit_text": "Stop it",
        },
    )
    def stop(self, request: HttpRequest, form: StopForm, object_id: str) -> HttpResponse:
        said = {name: form.cleaned_data[name] for name in ("decision", "reason")}
        return self._step(request, object_id, partial(stop_experiment, **said), "is stopped")

    @action(
        description="Stop an arm",
        icon="block",
        permissions=["stop"],
        dialog={
            "title": "Stop an arm?",
            "description": "It takes no new units. Those it has are served the baseline and stay analysed in it.",
            "form_class": ArmStopForm,
            "form_submit_text": "Stop the arm",
        },
    )
    def arm(self, request: HttpRequest, form: ArmStopForm, object_id: str) -> HttpResponse:
        said = {name: form.cleaned_data[name] for name in ("variant", "reason")}
        return self._step(request, object_id, partial(stop_arm, **said), f"has stopped {said['variant']}")

    @action(
        description="Override a unit",
        icon="science",
        permissions=["override"],
        dialog={
            "title": "Serve a variant to one unit",
            "description": "For trying it out, also in a draft and while paused.",
            "form_class": OverrideForm,
            "form_submit_text": "Override it",
        },
    )
    def override(self, request: HttpRequest, form: OverrideForm, object_id: str) -> HttpResponse:
        said = {name: form.cleaned_data[name] for name in ("unit", "variant")}
        with refusals_as_messages(request):
            put_override(experiment=UUID(object_id), **said)
            messages.success(request, f"{said['unit']} is served {said['variant']}.")
        return self._back(object_id)

    @action(
        description="Remove an override",
        icon="backspace",
        permissions=["override"],
        dialog={
            "title": "Serve a unit as any other again",
            "description": "It stays out of the analysis.",
            "form_class": OverrideRemovalForm,
            "form_submit_text": "Remove the override",
        },
    )
    def drop_override(self, request: HttpRequest, form: OverrideRemovalForm, object_id: str) -> HttpResponse:
        unit = form.cleaned_data["unit"]
        with refusals_as_messages(request):
            remove_override(experiment=UUID(object_id), unit=unit)
            messages.success(request, f"{unit} is served as any other again.")
        return self._back(object_id)

    @action(
        description="Archive",
        icon="archive",
        variant=ActionVariant.DANGER,
        permissions=["archive"],
        dialog={
            "title": "Archive this experiment?",
            "description": "It leaves the list. Its results stay, and its key stays taken.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self._step(request, object_id, archive_experiment, "is archived")

    def _step(
        self, request: HttpRequest, object_id: str, service: Callable[..., Experiment], words: str
    ) -> HttpResponse:
        with refusals_as_messages(request):
            messages.success(request, f"{service(experiment=UUID(object_id))} {words}.")
        return self._back(object_id)

    def _page(self, experiment: UUID) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:research_experiment_change", args=[experiment]))
