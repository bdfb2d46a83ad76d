"""What waits in the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Min, Q

from agent_factory_site.common.models import OutboxDelivery


@dataclass(frozen=True, slots=True)
class Backlog:
    """Deliveries not yet made: all, those that have failed before, and when the oldest was published."""

    waiting: int
    failing: int
    oldest: datetime | None


def outbox_backlog() -> Backlog:
    """The present backlog, in one query."""
    found = OutboxDelivery.objects.filter(delivered_at=None).aggregate(
        waiting=Count("pk"), failing=Count("pk", filter=~Q(error="")), oldest=Min("message__created_at")
    )
    return Backlog(**found)
