"""Making an experiment and changing it: one form, and the services behind it."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.errors import DomainError, NotFound
from research.models import Experiment
from research.selectors.experiments import get_experiment
from research.services.experiments import change_experiment, create_experiment

from .experiment_form import ExperimentForm
from .experiment_outcome import OutcomeSteps

State = Experiment.State


class DefinitionSteps(OutcomeSteps):
    """The buttons that lead to the form."""

    def has_new_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may write experiments makes them."""
        return self._may_write(request)

    def has_edit_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An archived one stays as it is."""
        return self._may(request, object_id, State.DRAFT, State.RUNNING, State.PAUSED, State.STOPPED)

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

    def _page(self, experiment: UUID) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:research_experiment_change", args=[experiment]))
