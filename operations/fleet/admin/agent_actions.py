"""What people do to an agent on its page; each deed calls the service that does it over the API."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from agent_factory_site.common.admin.base import ReadOnlyAdmin, holds_scope, refusals_as_messages
from agent_factory_site.common.admin.service_form import service_form_page
from agent_factory_site.common.admin.steps import reasoned_step
from operations.fleet.models import Agent
from operations.fleet.services.agent_changes import (
    archive_agent,
    change_agent,
    merge_agents,
    rename_agent,
    restore_agent,
)
from operations.fleet.services.switch import kill_agent, pause_agent, resume_agent

from .agent_forms import AgentForm, ClaimForm, MergeForm, ReasonForm, RenameForm, ResumeForm

WRITE = "operations:write"
ADMIN = "operations:admin"


def page_of(agent: UUID | str) -> str:
    """The address of an agent's page."""
    return reverse("admin:operations_agent_change", args=[agent])


class AgentActions(ReadOnlyAdmin):
    """The deeds, and who may do them to which agent."""

    def may_write(self, request: HttpRequest) -> bool:
        """Whether the person may change agents."""
        return holds_scope(request, WRITE) or request.user.has_perm("operations.change_agent")

    def _is(self, request: HttpRequest, object_id: Any, **state: Any) -> bool:
        if not self.may_write(request):
            return False
        return object_id is None or Agent.objects.filter(pk=object_id, **state).exists()

    def has_claim_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An agent that nobody has claimed."""
        return self._is(request, object_id, owner=None, archived_at=None)

    def has_keep_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An agent in use."""
        return self._is(request, object_id, archived_at=None)

    def has_merge_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """It cannot be undone: whoever administers operations."""
        return holds_scope(request, ADMIN) and self.has_keep_permission(request, object_id)

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An agent that runs."""
        return self._is(request, object_id, state=Agent.State.ACTIVE, archived_at=None)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An agent that was paused or killed."""
        stopped = [Agent.State.PAUSED, Agent.State.KILLED]
        return self._is(request, object_id, state__in=stopped, archived_at=None)

    def has_kill_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An agent that is not killed yet."""
        return self._is(
            request, object_id, state__in=[Agent.State.ACTIVE, Agent.State.PAUSED], archived_at=None
        )

    def has_restore_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """An agent that was put away, not one that was merged."""
        return self._is(request, object_id, archived_at__isnull=False, merged_into=None)

    pause = reasoned_step(
        "pause",
        pause_agent,
        "is paused",
        icon="pause",
        title="Pause this agent?",
        text="It starts no runs until it is resumed: a start is answered 423. Runs that are under way learn of it at "
        "their next step.",
        form=ReasonForm,
    )
    resume = reasoned_step(
        "resume",
        resume_agent,
        "may run again",
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
        title="Resume this agent?",
        text="It may start runs again.",
        form=ResumeForm,
    )
    kill = reasoned_step(
        "kill",
        kill_agent,
        "is killed",
        icon="dangerous",
        variant=ActionVariant.DANGER,
        title="Kill this agent?",
        text="It starts no runs any more, and those that are under way are told to stop at their next step. It can be "
        "resumed.",
        form=ReasonForm,
    )

    @action(
        description="Archive",
        icon="archive",
        permissions=["keep"],
        url_path="archive",
        dialog={
            "title": "Archive this agent?",
            "description": "It leaves the list. Its history stays, and runs that come are recorded still.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Archive it",
        },
    )
    def archive(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self.carry_out(request, object_id, archive_agent, "is archived")

    @action(
        description="Restore",
        icon="unarchive",
        permissions=["restore"],
        url_path="restore",
        dialog={
            "title": "Restore this agent?",
            "description": "It stands in the list again.",
            "form_class": BaseDialogForm,
            "form_submit_text": "Restore it",
        },
    )
    def restore(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        return self.carry_out(request, object_id, restore_agent, "is back")

    def carry_out(
        self, request: HttpRequest, object_id: str, service: Callable[..., Agent], done: str
    ) -> HttpResponse:
        """Call a service with the agent, and tell what came of it on the agent's page."""
        with refusals_as_messages(request):
            agent = service(agent=UUID(object_id))
            messages.success(request, f"{agent} {done}.")
        return HttpResponse(headers={"HX-Redirect": page_of(object_id)})

    @action(
        description="Claim",
        icon="badge",
        variant=ActionVariant.PRIMARY,
        permissions=["claim"],
        url_path="claim",
    )
    def claim(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        agent = self._found(request, object_id)
        return service_form_page(
            self,
            request,
            form=lambda **data: ClaimForm(agent=agent, **data),
            perform=lambda form: self._changed(request, agent, form, "has an owner"),
            permitted=self.has_claim_permission(request, object_id),
            title=f"Claim {agent}",
            intro="It was registered when it was first seen. Say who answers for it.",
            submit="Claim it",
            cancel_url=page_of(agent.pk),
        )

    @action(description="Change", icon="edit", permissions=["keep"], url_path="edit")
    def edit(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        agent = self._found(request, object_id)
        return service_form_page(
            self,
            request,
            form=lambda **data: AgentForm(agent=agent, **data),
            perform=lambda form: self._changed(request, agent, form, "is changed"),
            permitted=self.has_keep_permission(request, object_id),
            title=f"Change {agent}",
            submit="Change the agent",
            cancel_url=page_of(agent.pk),
            extra={"grid": True},
        )

    def _changed(self, request: HttpRequest, agent: Agent, form: ClaimForm, done: str) -> HttpResponse:
        wanted = form.changes()
        present = {name: getattr(agent, name) for name in wanted if name != "owner"}
        present["owner"] = agent.owner.key if agent.owner is not None else None
        # Only what was changed, so that two people who change different things both get what they meant.
        changed = change_agent(
            agent=agent.pk, changes={name: value for name, value in wanted.items() if value != present[name]}
        )
        messages.success(request, f"{changed} {done}.")
        return HttpResponseRedirect(page_of(agent.pk))

    @action(description="Rename", icon="drive_file_rename_outline", permissions=["keep"], url_path="rename")
    def rename(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        agent = self._found(request, object_id)
        return service_form_page(
            self,
            request,
            form=lambda **data: RenameForm(agent=agent, **data),
            perform=lambda form: self._renamed(request, agent, form),
            permitted=self.has_keep_permission(request, object_id),
            title=f"Rename {agent.key}",
            intro="Its costs, budgets and history stay with it; a name for reading alone is given by Change.",
            submit="Rename it",
            cancel_url=page_of(agent.pk),
        )

    def _renamed(self, request: HttpRequest, agent: Agent, form: RenameForm) -> HttpResponse:
        changed = rename_agent(agent=agent.pk, key=form.cleaned_data["key"])
        messages.success(request, f"It is called {changed.key} now; {agent.key} leads to it still.")
        return HttpResponseRedirect(page_of(agent.pk))

    @action(description="Merge", icon="merge", permissions=["merge"], url_path="merge")
    def merge(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        agent = self._found(request, object_id)
        return service_form_page(
            self,
            request,
            form=partial(MergeForm, suggest_url=reverse("admin:operations_agent_suggest")),
            perform=lambda form: self._merged(request, agent, form),
            permitted=self.has_merge_permission(request, object_id),
            title=f"Merge {agent.key} into another agent",
            intro="For one agent under two names. All names of this one lead to the other from now on, this one is "
            "put away, and what both did and cost is shown together. It cannot be undone.",
            submit="Merge them",
            cancel_url=page_of(agent.pk),
        )

    def _merged(self, request: HttpRequest, agent: Agent, form: MergeForm) -> HttpResponse:
        target = merge_agents(agent=agent.pk, into=form.cleaned_data["into"])
        messages.success(request, f"{agent.key} is merged into {target}.")
        return HttpResponseRedirect(page_of(target.pk))

    def _found(self, request: HttpRequest, object_id: str) -> Agent:
        agent = self.get_object(request, object_id)
        if not isinstance(agent, Agent):
            raise Http404
        return agent
