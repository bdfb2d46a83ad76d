"""The books of ``Idempotency-Key``: who may answer a request, and what was answered before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from agent_factory_site.common.errors import Conflict, KeyReused
from agent_factory_site.common.models import IdempotencyRecord

_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry out a request once; lost when ``locked_until`` has passed and another took over."""

    record_id: int
    locked_until: datetime


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """What the first request with this key was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def claim_key(*, principal: str, key: str, fingerprint: str) -> Claim | StoredAnswer:
    """Take ``key`` for a request with ``fingerprint``, or learn what it was answered already.

    Committed at once, so that a second request sees it. Raises KeyReused where the key came with
    another fingerprint, and Conflict while the first request is still being carried out. A claim
    whose owner died is free again when its lock has run out; a record older than
    ``IDEMPOTENCY_KEY_TTL`` no longer counts.
    """
    for _ in range(_ATTEMPTS):
        now = timezone.now()
        locked_until = now + settings.IDEMPOTENCY_LOCK
        # Read before writing: on SQLite the first request may hold the write lock all the while.
        found = IdempotencyRecord.objects.filter(principal=principal, key=key).first()
        if found is None:
            record = IdempotencyRecord(
                principal=principal,
                key=key,
                fingerprint=fingerprint,
                created_at=now,
                locked_until=locked_until,
            )
            try:
                with transaction.atomic():
                    record.save(force_insert=True)
            except IntegrityError:
                continue
            return Claim(record.pk, locked_until)
        version = IdempotencyRecord.objects.filter(
            pk=found.pk, status=found.status, locked_until=found.locked_until
        )
        in_flight = found.status is None and found.locked_until > now
        if found.created_at <= now - settings.IDEMPOTENCY_KEY_TTL and not in_flight:
            version.delete()
            continue
        if found.fingerprint != fingerprint:
            raise KeyReused(
                "idempotency_key_reused", "This Idempotency-Key came with another request before."
            )
        if found.status is not None:
            return StoredAnswer(found.status, found.headers, bytes(found.body))
        if in_flight:
            seconds = max(1, round((found.locked_until - now).total_seconds()))
            raise _in_flight(seconds)
        # The later lock is what tells the new owner from the old one, should that one still live.
        if version.update(locked_until=locked_until):
            return Claim(found.pk, locked_until)
    raise _in_flight(1)


def complete_claim(claim: Claim, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Store the answer, in the transaction of what it answers; raises Conflict when the claim was lost."""
    stored = _owned(claim).update(status=status, headers=dict(headers), body=body)
    if not stored:
        raise Conflict("idempotency_claim_lost", "The request took too long and was carried out by another.")


def release_claim(claim: Claim) -> None:
    """Forget a claim whose request changed nothing: the key may be used again."""
    _owned(claim).delete()


def prune_idempotency_records() -> int:
    """Delete the records that no longer count; how many there were."""
    now = timezone.now()
    old = IdempotencyRecord.objects.filter(created_at__lte=now - settings.IDEMPOTENCY_KEY_TTL)
    return old.filter(locked_until__lte=now).delete()[0]


def _owned(claim: Claim) -> models.QuerySet[IdempotencyRecord]:
    return IdempotencyRecord.objects.filter(pk=claim.record_id, status=None, locked_until=claim.locked_until)


def _in_flight(seconds: int) -> Conflict:
    return Conflict(
        "idempotency_in_flight",
        "A request with this Idempotency-Key is being carried out.",
        extensions={"retry_after": seconds},
    )
