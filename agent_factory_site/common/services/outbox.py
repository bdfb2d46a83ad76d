"""Delivering domain events to their subscribers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import OutboxDelivery, OutboxMessage
from agent_factory_site.common.outbox import handler_of

log = logging.getLogger(__name__)

FIRST_RETRY: Final = timedelta(seconds=10)
LAST_RETRY: Final = timedelta(hours=1)
KEPT: Final = timedelta(days=30)
_PAGE: Final = 100
_PRUNED: Final = 1000
_ERROR_LENGTH: Final = 2000


@dataclass(frozen=True, slots=True)
class Dispatched:
    """What one run of the dispatcher did; ``more`` tells that it stopped at its limit."""

    delivered: int
    failed: int
    more: bool


def retry_delay(attempts: int) -> timedelta:
    """How long to wait after the ``attempts``-th failure: 10 s, doubling up to an hour."""
    return min(FIRST_RETRY * (1 << min(attempts - 1, 20)), LAST_RETRY)


def dispatch(*, limit: int = 1000, now: datetime | None = None) -> Dispatched:
    """Deliver what is due, oldest first, at most ``limit`` deliveries; any number of these may run at once.

    A delivery is claimed by moving its next attempt into the future, which is committed before the
    handler runs: one that kills its process waits as long as one that fails, and holds up nobody.
    """
    delivered = failed = last = 0
    while delivered + failed < limit:
        moment = now or timezone.now()
        page = list(
            OutboxDelivery.objects.filter(delivered_at=None, next_attempt_at__lte=moment, pk__gt=last)
            .order_by("id")
            .values_list("id", "attempts")[: min(_PAGE, limit - delivered - failed)]
        )
        if not page:
            return Dispatched(delivered, failed, more=False)
        for delivery_id, attempts in page:
            last = delivery_id
            if _claim(delivery_id, moment, moment + retry_delay(attempts + 1)):
                if _deliver(delivery_id):
                    delivered += 1
                else:
                    failed += 1
    return Dispatched(delivered, failed, more=True)


def _claim(delivery_id: int, moment: datetime, until: datetime) -> bool:
    due = OutboxDelivery.objects.filter(pk=delivery_id, delivered_at=None, next_attempt_at__lte=moment)
    with transaction.atomic():
        # A row that is locked is being delivered: never wait for the handler.
        if connection.features.has_select_for_update and not due.select_for_update(skip_locked=True).exists():
            return False
        return bool(due.update(attempts=F("attempts") + 1, next_attempt_at=until))


def _deliver(delivery_id: int) -> bool:
    try:
        with transaction.atomic():
            delivery = _lock(delivery_id)
            if delivery is None:
                # The claim had run out, and another dispatcher has delivered or is about to.
                return False
            message = delivery.message
            handle = handler_of(message.topic, delivery.subscriber, message.payload)
            with acting(Actor.system(delivery.subscriber), request_id=f"outbox:{message.id}"):
                handle()
            OutboxDelivery.objects.filter(pk=delivery_id).update(delivered_at=timezone.now(), error="")
    except Exception as error:
        # Whatever a subscriber raises is its own affair and must not stop the others.
        log.exception("delivery %s failed", delivery_id)
        text = f"{type(error).__name__}: {error}"[:_ERROR_LENGTH]
        OutboxDelivery.objects.filter(pk=delivery_id, delivered_at=None).update(error=text)
        return False
    return True


def _lock(delivery_id: int) -> OutboxDelivery | None:
    rows = OutboxDelivery.objects.filter(pk=delivery_id, delivered_at=None).select_related("message")
    if connection.features.has_select_for_update:
        rows = rows.select_for_update(skip_locked=True, of=("self",))
    return rows.first()


def prune_outbox(*, now: datetime | None = None) -> int:
    """Delete messages older than 30 days that every subscriber has; how many went."""
    waiting = OutboxDelivery.objects.filter(message=OuterRef("pk"), delivered_at=None)
    old = OutboxMessage.objects.filter(
        ~Exists(waiting), created_at__lt=(now or timezone.now()) - KEPT
    ).order_by("created_at")
    pruned = 0
    while ids := list(old.values_list("pk", flat=True)[:_PRUNED]):
        with transaction.atomic():
            OutboxDelivery.objects.filter(message__in=ids).delete()
            pruned += OutboxMessage.objects.filter(pk__in=ids).delete()[0]
    return pruned
