"""Leases: a named right that at most one process holds, kept in the database that all processes share.

Every decision is one conditional UPDATE, and the clock is the database's, so that neither two
processes nor two machines whose clocks differ can hold the same lease.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from agent_factory_site.common.models.lease import Lease

LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def acquire_lease(*, name: str, holder: str, duration: timedelta) -> bool:
    """Take the lease ``name`` for ``duration``, or extend it when ``holder`` has it already.

    True when ``holder`` now holds it; False when somebody else does and has not let it run out.
    """
    with transaction.atomic():
        if _take(name, holder, duration):
            return True
        # The first time ever there is no row to update: it begins as one that has run out.
        vacant = Lease(name=name, holder="", expires_at=LONG_AGO, renewed_at=LONG_AGO)
        Lease.objects.bulk_create([vacant], ignore_conflicts=True)
        return _take(name, holder, duration)


def renew_lease(*, name: str, holder: str, duration: timedelta) -> bool:
    """Extend a lease that ``holder`` still holds; False when it has run out or is somebody else's."""
    with transaction.atomic():
        held = Lease.objects.filter(name=name, holder=holder, expires_at__gt=Now())
        return held.update(expires_at=Now() + duration, renewed_at=Now()) == 1


def release_lease(*, name: str, holder: str) -> bool:
    """Give the lease back, so that the next one need not wait; False when ``holder`` did not have it."""
    with transaction.atomic():
        return Lease.objects.filter(name=name, holder=holder).update(holder="", expires_at=Now()) == 1


def _take(name: str, holder: str, duration: timedelta) -> bool:
    free = Lease.objects.filter(Q(holder=holder) | Q(expires_at__lte=Now()), name=name)
    return free.update(holder=holder, expires_at=Now() + duration, renewed_at=Now()) == 1
