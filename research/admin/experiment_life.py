"""The steps of an experiment's life as buttons: each calls the service of its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import refusals_as_messages
from agent_factory_site.common.admin.steps import reasoned_step
from research.models import Experiment
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

from .experiment_outcome import OutcomeSteps
from .experiment_steps import ArmStopForm, OverrideForm, OverrideRemovalForm, ReasonForm, StopForm

State = Experiment.State


class LifeSteps(OutcomeSteps):
    """The buttons that start, pause and end an experiment, an arm or a unit's variant, while the state allows it."""

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

    start = reasoned_step(
        "start",
        start_experiment,
        "runs",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        title="Start this experiment?",
        text="From the next request on units are assigned. Variants, metrics, unit and analysis are fixed from then "
        "on.",
        form=ReasonForm,
    )
    pause = reasoned_step(
        "pause",
        pause_experiment,
        "is paused",
        icon="pause",
        title="Pause this experiment?",
        text="Nobody is served and nothing is counted until it is resumed. Units keep their arms.",
        form=ReasonForm,
    )
    resume = reasoned_step(
        "resume",
        resume_experiment,
        "runs again",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        title="Resume this experiment?",
        text="It goes on where it was paused, in the same phase.",
        form=ReasonForm,
    )

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
        return self.carry_out(request, object_id, approve_experiment, "is approved")

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
        return self.carry_out(request, object_id, partial(stop_experiment, **said), "is stopped")

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
        return self.carry_out(request, object_id, partial(stop_arm, **said), f"has stopped {said['variant']}")

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
        return self.carry_out(request, object_id, archive_experiment, "is archived")

    def carry_out(
        self, request: HttpRequest, object_id: str, service: Callable[..., Experiment], done: str
    ) -> HttpResponse:
        """Call a service with the experiment, and tell what came of it on its page."""
        with refusals_as_messages(request):
            messages.success(request, f"{service(experiment=UUID(object_id))} {done}.")
        return self._back(object_id)
