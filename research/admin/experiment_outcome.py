"""What follows from an experiment's results: deciding it, analysing it now, planning the next one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import Job
from research.models import Experiment
from research.selectors.experiments import get_experiment
from research.services.analyse import request_analysis
from research.services.decide import decide_experiment

from .experiment_steps import DecideForm
from .planner_page import planner_page, question_of

State = Experiment.State


class OutcomeSteps(ReadOnlyAdmin):
    """The buttons that follow from results, and who may press which in which state."""

    def _may_write(self, request: HttpRequest) -> bool:
        return holds_scope(request, "research:write") or request.user.has_perm("research.change_experiment")

    def _may(self, request: HttpRequest, object_id: Any, *states: str) -> bool:
        if not self._may_write(request):
            return False
        return object_id is None or self._state(request, object_id) in states

    def _state(self, request: HttpRequest, object_id: Any) -> str | None:
        """The state as the page began, read once for all the buttons on it."""
        known: dict[str, str | None] = request.__dict__.setdefault("experiment_states", {})
        if str(object_id) not in known:
            rows = Experiment.objects.filter(pk=object_id)
            known[str(object_id)] = rows.values_list("state", flat=True).first()
        return known[str(object_id)]

    def has_decide_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """One that has begun is decided, and one that has ended anew."""
        return self._may(request, object_id, State.RUNNING, State.PAUSED, State.STOPPED)

    def has_analyse_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """There is something to analyse from the start on."""
        return self._may(request, object_id, State.RUNNING, State.PAUSED, State.STOPPED)

    def has_plan_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may see experiments plans them: nothing is stored."""
        return self.has_view_permission(request)

    @action(
        description="Decide",
        icon="gavel",
        variant=ActionVariant.PRIMARY,
        permissions=["decide"],
        dialog={
            "title": "What comes of this experiment?",
            "description": "One that still runs is stopped with it, for good. The verdict of now is kept beside the "
            "decision, so that a decision against it can be seen.",
            "form_class": DecideForm,
            "form_submit_text": "Decide it",
        },
    )
    def decide(self, request: HttpRequest, form: DecideForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            decided = decide_experiment(experiment=UUID(object_id), **form.said())
            messages.success(request, f"{decided} is decided: {decided.decision}.")
        return self._back(object_id)

    @action(
        description="Analyse now",
        icon="query_stats",
        permissions=["analyse"],
        dialog={
            "title": "Analyse this experiment now?",
            "description": "Every unit is read anew: quantiles, winsorised values, segments and days follow, a look "
            "that is due is taken, and an arm that breaches a guardrail is stopped. It happens each hour by itself.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Analyse it",
        },
    )
    def analyse(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        with refusals_as_messages(request):
            made = request_analysis(experiment=UUID(object_id))
            if isinstance(made, Job):
                url = reverse("admin:common_job_change", args=[made.pk])
                messages.info(
                    request, format_html('A <a href="{}">job</a> reads its units in the background.', url)
                )
            else:
                messages.success(request, "Every unit was read anew.")
        return self._back(object_id)

    @action(description="Plan", icon="straighten", permissions=["plan"], url_path="plan-one")
    def plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The planner with what this experiment's primary metric has shown."""
        try:
            query = question_of(get_experiment(UUID(object_id)))
        except NotFound as refusal:
            raise Http404(refusal.detail) from refusal
        return HttpResponseRedirect(f"{reverse('admin:research_experiment_planner')}?{query}")

    @action(description="Planner", icon="straighten", permissions=["plan"], url_path="planner")
    def planner(self, request: HttpRequest) -> HttpResponseBase:
        """How many units, for how long, and what they show."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**self.admin_site.each_context(request), "opts": self.opts, **planner_page(request.GET)}
        context["media"] = self.media + context["form"].media
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "research/planner.html", context)

    def _back(self, object_id: str) -> HttpResponse:
        url = reverse("admin:research_experiment_change", args=[object_id])
        return HttpResponse(headers={"HX-Redirect": url})
