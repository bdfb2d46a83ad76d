"""Asking what is due: claimed in the database, asked outside of any transaction, recorded once."""

from __future__ import annotations

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.http_client import OutgoingFailed, OutgoingRefused, Response, send
from agent_factory_site.common.secrets import SecretLost, decrypt
from operations.health.domain.standing import next_due, status_fits
from operations.health.models import HealthCheck

from .results import Outcome, apply_outcome

log = logging.getLogger(__name__)

MARGIN: Final = timedelta(seconds=30)
"""How long beyond its timeout a probe may take before another worker takes it for dead."""
MAX_BODY: Final = 64 * 1024
AT_ONCE: Final = 100
THREADS: Final = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to probe a check once; ``number`` is that of the result."""

    check: HealthCheck
    number: int


def probe_due_checks(*, now: datetime | None = None, most: int = AT_ONCE) -> int:
    """Probe what is due, a few at a time; how many results were recorded.

    It can be killed at any point: what was claimed and not recorded is claimed again when the claim has run
    out. Any number of workers may run it at once.
    """
    claims = claim_due(now=now, most=most)
    if not claims:
        return 0
    recorded = 0
    with ThreadPoolExecutor(max_workers=min(THREADS, len(claims))) as pool:
        for claim, outcome in zip(claims, pool.map(_probe_in_thread, claims), strict=True):
            recorded += record_probe(claim, outcome)
    return recorded


def claim_due(*, now: datetime | None = None, most: int = AT_ONCE) -> list[Claim]:
    """Take the probes that are due and nobody else has, each by one conditional UPDATE."""
    moment = now or timezone.now()
    free = Q(claimed_until=None) | Q(claimed_until__lte=moment)
    due = HealthCheck.objects.filter(
        free, kind=HealthCheck.Kind.HTTP, archived_at=None, paused_at=None, due_at__lte=moment
    ).order_by("due_at", "pk")
    claims = []
    for check in list(due[:most]):
        until = moment + timedelta(seconds=check.timeout_seconds) + MARGIN
        taken = due.order_by().filter(pk=check.pk, number=check.number)
        if taken.update(number=F("number") + 1, claimed_until=until):
            claims.append(Claim(check, check.number + 1))
    return claims


def probe(check: HealthCheck) -> Outcome:
    """Ask once, through the outgoing client; touches no row."""
    try:
        headers = json.loads(decrypt(check.sealed_headers)) if check.sealed_headers else {}
        answer = send(
            check.method,
            check.url,
            headers=headers,
            deadline=check.timeout_seconds,
            max_bytes=MAX_BODY,
            truncate=True,
        )
    except OutgoingRefused as refusal:
        return Outcome(False, f"Not asked: {refusal.detail}")
    except OutgoingFailed as failure:
        return Outcome(False, failure.detail)
    except SecretLost as error:
        return Outcome(False, f"Not asked: {error}")
    return judged(check, answer)


def judged(check: HealthCheck, answer: Response) -> Outcome:
    """Whether an answer is what the check expects."""
    seconds = round(answer.elapsed, 6)
    if not status_fits(answer.status, check.expected_statuses):
        expected = ", ".join(check.expected_statuses)
        return Outcome(False, f"Answered {answer.status}, expected {expected}.", seconds, answer.status)
    if check.contains and check.contains not in answer.body.decode("utf-8", "replace"):
        beyond = f" in its first {MAX_BODY // 1024} KiB" if answer.truncated else ""
        text = f"Answered {answer.status}, but the expected text is not there{beyond}."
        return Outcome(False, text, seconds, answer.status)
    return Outcome(True, "", seconds, answer.status)


def record_probe(claim: Claim, outcome: Outcome, *, now: datetime | None = None) -> bool:
    """Write what a claimed probe said; ``False`` where the claim was lost, and nothing is written.

    It is lost to a pause, an archiving, or another worker that took this one for dead.
    """

    def store() -> bool:
        with transaction.atomic():
            rows = HealthCheck.objects.select_related("entity").select_for_update(of=("self",))
            check: HealthCheck | None = rows.filter(
                pk=claim.check.pk, number=claim.number, claimed_until__isnull=False
            ).first()
            if check is None or check.due_at is None:
                return False
            at = now or timezone.now()
            check.due_at = next_due(check.due_at, timedelta(seconds=check.interval_seconds), at)
            apply_outcome(check, outcome, at)
        return True

    return retry_conflicts(store)


def _probe_in_thread(claim: Claim) -> Outcome:
    try:
        return probe(claim.check)
    except Exception as error:
        # A defect in one probe must not lose the others' results.
        log.exception("the probe of %s broke", claim.check.key)
        return Outcome(False, f"The probe itself broke: {type(error).__name__}.")
    finally:
        # The look at the allowed networks opened a connection of this thread.
        connection.close()
