"""Holds that nobody ended in time: their money goes back, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.retry import retry_conflicts
from financial.models import Budget, Hold
from financial.selectors.budget_index import rule_of
from financial.selectors.holds import held_parts

from .budget_opening import refresh_period
from .budget_periods import Traces, lock_periods
from .budget_spending import return_held

BATCH: Final = 500


def expire_holds(*, now: datetime | None = None, progress: Callable[[int], None] = lambda holds: None) -> int:
    """Return the money of every hold that expired by ``now``; how many there were.

    Safe to run in many processes at once: each hold is taken by one of them.
    """
    at = now or timezone.now()
    done = 0
    while True:
        count = retry_conflicts(lambda: _expire(Q(expires_at__lte=at), at))
        done += count
        progress(done)
        if count < BATCH:
            return done


def make_room(period: int, amount: int, now: datetime) -> bool:
    """Bring a period row that refused ``amount`` up to date; whether it admits it now."""

    def renew() -> bool:
        with transaction.atomic():
            _expire(Q(expires_at__lte=now, parts__period=period), now)
            (row,) = lock_periods([period], now)
            if row.stale:
                traces = Traces(now)
                rule = rule_of(Budget.objects.get(pk=row.budget))
                refresh_period(row, rule, traces, cause=None)
                traces.write({row.id: rule})
        return not row.hard or row.settled + row.held + amount <= row.limit

    return retry_conflicts(renew)


def _expire(condition: Q, now: datetime) -> int:
    with transaction.atomic():
        due = (
            Hold.objects.filter(condition, state=Hold.State.HELD).order_by("pk").values_list("pk", flat=True)
        )
        ids: Sequence[UUID] = list(due.select_for_update(skip_locked=True, of=("self",))[:BATCH])
        if not ids:
            return 0
        Hold.objects.filter(pk__in=ids).update(state=Hold.State.EXPIRED, ended_at=now)
        return_held([part for parts in held_parts(ids).values() for part in parts], now)
        record_audit(
            action="expire",
            target_type="financial.Hold",
            target_id=str(ids[0]) if len(ids) == 1 else "",
            changes={"holds": [str(pk) for pk in ids]},
        )
    return len(ids)
