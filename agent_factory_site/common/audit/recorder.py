"""Writing audit events: in the transaction of what they tell of, under the acting actor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.utils import timezone

from agent_factory_site.common.actors import current_actor, current_request_id
from agent_factory_site.common.db.bulk import Insert, write_all
from agent_factory_site.common.ids import uuid7, uuid7_batch
from agent_factory_site.common.models.audit_event import AuditEvent

from .plan import AuditPlan, Pending, json_safe

CHUNK: Final = 1000


def record_audit(
    *,
    action: str,
    target_type: str,
    target_id: str = "",
    changes: Mapping[str, Any] | None = None,
    event_id: UUID | None = None,
) -> UUID:
    """Record one event by hand, as for a whole batch of rows: one INSERT.

    Call it within the transaction of the change it tells of. ``event_id`` lets the rows of the batch
    name the event before it is written. Raises ``NoActor`` when nobody is acting.
    """
    insert = audit_insert(
        action=action, target_type=target_type, target_id=target_id, changes=changes, event_id=event_id
    )
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.in_atomic_block:
        write_all(connection, [insert])
    else:
        with transaction.atomic():
            write_all(connection, [insert])
    written: UUID = insert.rows[0][0]
    return written


_COLUMNS: Final = tuple(field.attname for field in AuditEvent._meta.concrete_fields)


def audit_insert(
    *,
    action: str,
    target_type: str,
    target_id: str = "",
    changes: Mapping[str, Any] | None = None,
    event_id: UUID | None = None,
) -> Insert:
    """The row of :func:`record_audit`, for who writes it together with others."""
    actor = current_actor()
    values = {
        "id": event_id or uuid7(),
        "at": timezone.now(),
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "action": action,
        "target_type": target_type,
        "target_id": target_id,
        "changes": json.dumps(json_safe(changes or {})),
        "request_id": current_request_id(),
    }
    return Insert(AuditEvent._meta.db_table, _COLUMNS, [tuple(values[name] for name in _COLUMNS)])


def write_events(pending: Sequence[Pending], using: str = DEFAULT_DB_ALIAS) -> None:
    """Write events in bulk; the number of queries grows with the chunks, not with the events."""
    if not pending:
        return
    actor = current_actor()
    request_id = current_request_id()
    now = timezone.now()
    events = [
        AuditEvent(
            id=event_id,
            at=now,
            actor_kind=actor.kind,
            actor_id=actor.id,
            action=item.action,
            target_type=item.target_type,
            target_id=item.target_id,
            changes=item.changes,
            request_id=request_id,
        )
        for event_id, item in zip(uuid7_batch(len(pending)), pending)
    ]
    if len(events) == 1:
        events[0].save(force_insert=True, using=using)
    else:
        AuditEvent.objects.using(using).bulk_create(events, batch_size=CHUNK)


def link_events(plan: AuditPlan, rows: Iterable[models.Model], action: str) -> list[Pending]:
    """Events of rows that appear in (``add``) or vanish from (``remove``) a many-to-many table."""
    link = plan.link
    assert link is not None
    members: dict[Any, list[Any]] = {}
    for row in rows:
        members.setdefault(getattr(row, link.owner_attname), []).append(getattr(row, link.member_attname))
    return [
        Pending(
            action,
            link.owner_label,
            str(owner),
            json_safe({link.field_name: [[], sorted(ids)] if action == "add" else [sorted(ids), []]}),
        )
        for owner, ids in sorted(members.items())
    ]


def creation_events(plan: AuditPlan, rows: Iterable[models.Model]) -> list[Pending]:
    """Events of rows that were inserted."""
    if plan.link:
        return link_events(plan, rows, "add")
    return [plan.created(row.pk, plan.values(row)) for row in rows]


def deletion_events(plan: AuditPlan, rows: Iterable[models.Model]) -> list[Pending]:
    """Events of rows about to be deleted."""
    if plan.link:
        return link_events(plan, rows, "remove")
    return [plan.deleted(row.pk, plan.values(row)) for row in rows]
