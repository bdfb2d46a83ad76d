"""The trail of audit events as tests read it."""

from __future__ import annotations

from agent_factory_site.common.models import AuditEvent

Told = tuple[str, str, str, object]


def trail(*, skip: int = 0) -> list[Told]:
    """The events after the first ``skip``, oldest first."""
    rows = AuditEvent.objects.order_by("id").values_list("action", "target_type", "target_id", "changes")
    return list(rows)[skip:]


def mark() -> int:
    return AuditEvent.objects.count()
