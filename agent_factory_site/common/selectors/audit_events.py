"""Reading the audit trail."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import AuditEvent


def find_audit_events(
    *,
    actor: Actor | None = None,
    action: str | None = None,
    target_type: str | None = None,
    target_id: str | None = None,
    request_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> QuerySet[AuditEvent]:
    """The events of ``[since, until)`` that match whatever is given, in no order."""
    events = AuditEvent.objects.all()
    if actor is not None:
        events = events.filter(actor_kind=actor.kind, actor_id=actor.id)
    exact = {"action": action, "target_type": target_type, "target_id": target_id, "request_id": request_id}
    events = events.filter(**{name: value for name, value in exact.items() if value is not None})
    if since is not None:
        events = events.filter(at__gte=since)
    if until is not None:
        events = events.filter(at__lt=until)
    return events
