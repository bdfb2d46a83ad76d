"""Reading the audit trail."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Model, QuerySet

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import AuditEvent


def audit_events(
    *,
    actor: Actor | None = None,
    action: str | None = None,
    target_type: str | None = None,
    target_id: str | None = None,
    request_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> QuerySet[AuditEvent]:
    """Audit events, the latest first; each argument given narrows them. ``[start, end)`` is half-open."""
    events = AuditEvent.objects.order_by("-at", "-id")
    if actor is not None:
        events = events.filter(actor_kind=actor.kind, actor_id=actor.id)
    if action is not None:
        events = events.filter(action=action)
    if target_type is not None:
        events = events.filter(target_type=target_type)
    if target_id is not None:
        events = events.filter(target_id=target_id)
    if request_id is not None:
        events = events.filter(request_id=request_id)
    if start is not None:
        events = events.filter(at__gte=start)
    if end is not None:
        events = events.filter(at__lt=end)
    return events


def history_of(instance: Model) -> QuerySet[AuditEvent]:
    """What happened to one row, the latest first."""
    return audit_events(target_type=instance._meta.label, target_id=str(instance.pk))
