"""What people change of agents: who owns them, what they are called, and which of them are one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.models import Team
from agent_factory_site.common.services.entities import resolve_entities
from operations.fleet.domain.names import MAX_KEY, OTHER, key_of
from operations.fleet.models import Agent, AgentAlias
from operations.fleet.selectors.agents import get_agent

from .agents import AGENT

Check = Callable[[Agent], None]
FIELDS: Final = frozenset({"name", "owner", "owner_note", "costs_from", "keep_content", "content_days"})


def change_agent(*, agent: str | UUID, changes: Mapping[str, Any], check: Check | None = None) -> Agent:
    """Change what is named of an agent: name, owner (a team's key or null), note, and how it is recorded.

    ``check`` is called with the locked row before anything changes. Raises :class:`Invalid`, :class:`NotFound`.
    """
    with transaction.atomic():
        row = _locked(agent)
        if check is not None:
            check(row)
        values, errors = _values(changes)
        if errors:
            raise Invalid.fields(*errors)
        for name, value in values.items():
            setattr(row, name, value)
        if values:
            row.version += 1
            row.save(update_fields=[*values, "version", "updated_at"])
    return row


def _values(changes: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
    values: dict[str, Any] = {}
    errors = [
        FieldError(f"/{name}", "unknown_field", "There is no such field.")
        for name in changes
        if name not in FIELDS
    ]
    for name, longest in (("name", 255), ("owner_note", 500)):
        if name in changes:
            text = changes[name]
            if not isinstance(text, str) or len(text) > longest or "\0" in text:
                errors.append(
                    FieldError(f"/{name}", "bad_value", f"Is a text of at most {longest} characters.")
                )
            else:
                values[name] = text
    if "owner" in changes:
        key = changes["owner"]
        team = Team.objects.filter(key=key).first() if isinstance(key, str) else None
        if key is not None and team is None:
            errors.append(FieldError("/owner", "unknown_team", "Is the key of a team, or null."))
        values["owner"] = team
    if "costs_from" in changes:
        if changes["costs_from"] not in Agent.CostsFrom.values:
            errors.append(FieldError("/costs_from", "bad_value", "Is spans, api or empty."))
        values["costs_from"] = changes["costs_from"]
    if "keep_content" in changes:
        if not isinstance(changes["keep_content"], bool):
            errors.append(FieldError("/keep_content", "not_a_truth", "Must be true or false."))
        values["keep_content"] = changes["keep_content"]
    if "content_days" in changes:
        days = changes["content_days"]
        if not isinstance(days, int) or isinstance(days, bool) or not 1 <= days <= 3650:
            errors.append(FieldError("/content_days", "out_of_range", "Is from 1 to 3650 days."))
        values["content_days"] = days
    return values, errors


def rename_agent(*, agent: str | UUID, key: str) -> Agent:
    """Call an agent by another key. What it was called leads to it still, and its costs go where they went.

    Raises :class:`Conflict` for a key that leads to another agent, which is merged instead.
    """
    wanted = key_of(key)
    if wanted != key or len(key) > MAX_KEY:
        raise Invalid.field_error("/key", "bad_key", f"Is a name of at most {MAX_KEY} printable characters.")
    with transaction.atomic():
        row = _locked(agent)
        _refuse_other(row)
        _refuse_archived(row)
        alias = AgentAlias.objects.filter(key=wanted).first()
        if alias is not None and alias.agent_id != row.pk:
            raise Conflict("key_taken", "Another agent goes by this name: merge it instead.")
        if alias is None:
            entity = resolve_entities([(AGENT, wanted)])[AGENT, wanted]
            AgentAlias.objects.create(key=wanted, agent=row, entity_id=entity)
        if row.key != wanted:
            row.key = wanted
            row.version += 1
            row.save(update_fields=["key", "version", "updated_at"])
    return row


def merge_agents(*, agent: str | UUID, into: str | UUID) -> Agent:
    """Have all names of one agent lead to another; the other. What it did and cost stays, and is shown with it."""
    source, target = get_agent(agent), get_agent(into)
    if source.pk == target.pk:
        raise Invalid.field_error("/into", "same", "Is the same agent.")
    with transaction.atomic():
        rows = {
            row.pk: row
            for row in Agent.objects.select_for_update(no_key=True)
            .filter(pk__in=[source.pk, target.pk])
            .order_by("pk")
        }
        source, target = rows[source.pk], rows[target.pk]
        _refuse_other(source)
        _refuse_archived(source)
        _refuse_archived(target)
        for alias in AgentAlias.objects.filter(agent=source).order_by("key"):
            alias.agent = target
            alias.save(update_fields=["agent"])
        # Those that were merged into it before follow, so that every way leads to the end in one step.
        for row in Agent.objects.filter(merged_into=source).order_by("pk"):
            row.merged_into = target
            row.save(update_fields=["merged_into"])
        source.merged_into, source.archived_at = target, timezone.now()
        source.version += 1
        source.save(update_fields=["merged_into", "archived_at", "version", "updated_at"])
    merged: Agent = target
    return merged


def archive_agent(*, agent: str | UUID) -> Agent:
    """Put an agent away, with its history; its runs are recorded still."""
    with transaction.atomic():
        row = _locked(agent)
        if row.archived_at is None:
            row.archived_at = timezone.now()
            row.version += 1
            row.save(update_fields=["archived_at", "version", "updated_at"])
    return row


def restore_agent(*, agent: str | UUID) -> Agent:
    """Bring an archived agent back; one that was merged stays where it is."""
    with transaction.atomic():
        row = _locked(agent)
        if row.merged_into_id is not None:
            raise Conflict("merged", "This agent was merged into another.")
        if row.archived_at is not None:
            row.archived_at = None
            row.version += 1
            row.save(update_fields=["archived_at", "version", "updated_at"])
    return row


def _locked(agent: str | UUID) -> Agent:
    row: Agent = Agent.objects.select_for_update(no_key=True).get(pk=get_agent(agent).pk)
    return row


def _refuse_other(row: Agent) -> None:
    if row.key == OTHER:
        raise Conflict("reserved", "This is the agent of all runs whose agent is one too many.")


def _refuse_archived(row: Agent) -> None:
    if row.archived_at is not None:
        raise Conflict("archived", "This agent is archived.")
