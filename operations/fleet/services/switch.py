"""The switch of an agent: paused until it is resumed, or killed."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.errors import Conflict, Invalid
from operations.fleet.models import Agent
from operations.fleet.selectors.agents import get_agent

Check = Callable[[Agent], None]


def pause_agent(*, agent: str | UUID, reason: str) -> Agent:
    """Let an agent start no runs until it is resumed; those that run learn of it at their next step."""
    return _switch(agent, Agent.State.PAUSED, reason)


def resume_agent(*, agent: str | UUID, reason: str = "") -> Agent:
    """Let an agent that was paused or killed run again."""
    return _switch(agent, Agent.State.ACTIVE, reason)


def kill_agent(*, agent: str | UUID, reason: str) -> Agent:
    """Let an agent start no runs any more, and tell those that run to stop."""
    return _switch(agent, Agent.State.KILLED, reason)


def _switch(agent: str | UUID, state: Agent.State, reason: str) -> Agent:
    if state != Agent.State.ACTIVE and not reason.strip():
        raise Invalid.field_error("/reason", "required", "Say why.")
    if len(reason) > 500:
        raise Invalid.field_error("/reason", "too_long", "At most 500 characters.")
    with transaction.atomic():
        row: Agent = Agent.objects.select_for_update(no_key=True).get(pk=get_agent(agent).pk)
        if row.archived_at is not None and state == Agent.State.ACTIVE:
            raise Conflict("archived", "This agent is archived.")
        if row.state == state and row.state_reason == reason:
            return row
        row.state, row.state_reason, row.state_since = state.value, reason, timezone.now()
        row.version += 1
        row.save(update_fields=["state", "state_reason", "state_since", "version", "updated_at"])
    return row
