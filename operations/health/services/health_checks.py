"""Making, changing, pausing and archiving health checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.http_client import OutgoingRefused, parse_url
from agent_factory_site.common.models import Entity
from agent_factory_site.common.networks import refusal_of
from agent_factory_site.common.outbox import publish
from agent_factory_site.common.secrets import encrypt
from agent_factory_site.common.selectors.allowed_networks import allowed_ranges
from agent_factory_site.common.services.entities import resolve_entities
from operations.health.domain.check_input import HEARTBEAT, HTTP, CheckInput, parse_check
from operations.health.domain.standing import UNKNOWN
from operations.health.events import HealthCheckChanged
from operations.health.models import HealthCheck
from operations.health.selectors.health_checks import entity_name, get_health_check

FIXED: Final = ("key", "kind")
"""What programs and indicators rely on, and never changes."""
_COPIED: Final = (
    "name", "description", "url", "method", "contains", "interval_seconds", "timeout_seconds", "grace_seconds",
    "failure_threshold", "success_threshold",
)  # fmt: skip

Check = Callable[[HealthCheck], None]


def create_health_check(*, body: Mapping[str, Any]) -> HealthCheck:
    """Make a check of the fields of the API. A probe is due at once, a heartbeat after the first was sent.

    Raises :class:`Invalid` with every bad field, :class:`Conflict` where the key is taken.
    """

    def store() -> HealthCheck:
        with transaction.atomic():
            parsed = _parsed(body)
            if HealthCheck.objects.filter(key=parsed.key).exists():
                raise _taken(parsed.key)
            check = HealthCheck(key=parsed.key, kind=parsed.kind)
            _fill(check, parsed, parsed.headers or {})
            if parsed.kind == HTTP:
                check.due_at = timezone.now()
            check.save(force_insert=True)
        return check

    try:
        return retry_conflicts(store)
    except IntegrityError:
        # Somebody else was faster by less than the time between looking and writing.
        raise _taken(str(body.get("key"))) from None


def change_health_check(
    *, name: UUID | str, changes: Mapping[str, Any], check: Check | None = None
) -> HealthCheck:
    """Change what is named and nothing else. Another URL forgets the headers unless they are sent with it.

    ``check`` is called with the locked row, and may raise to refuse. Raises :class:`Invalid` with every bad
    field, :class:`Conflict` for an archived check.
    """

    def store() -> HealthCheck:
        with transaction.atomic():
            row = locked(name)
            if check is not None:
                check(row)
            _refuse_archived(row)
            before = body_of(row)
            fixed = [
                FieldError(f"/{field}", "fixed", "Never changes.")
                for field in FIXED
                if field in changes and changes[field] != before[field]
            ]
            body = {**before, **changes, **{field: before[field] for field in FIXED}}
            parsed = _parsed(body, fixed)
            headers = parsed.headers
            if headers is None and parsed.url != row.url:
                # Whoever may change the target must not learn the secret that the former one was sent.
                headers = {}
            _fill(row, parsed, headers)
            if body_of(row) != before or headers is not None:
                row.version += 1
                row.save()
        return row

    return retry_conflicts(store)


def archive_health_check(*, name: UUID | str) -> HealthCheck:
    """Take a check out of use for good: its key stays taken, its secret is forgotten. A repeat changes nothing."""

    def store() -> HealthCheck:
        with transaction.atomic():
            row = locked(name)
            if row.archived_at is None:
                row.archived_at = timezone.now()
                row.sealed_headers, row.header_names = "", []
                row.version += 1
                forget_state(row, "The check was archived.")
                row.save()
        return row

    return retry_conflicts(store)


def pause_health_check(*, name: UUID | str) -> HealthCheck:
    """Stop asking and expecting; what is not looked at is unknown. A repeat changes nothing."""

    def store() -> HealthCheck:
        with transaction.atomic():
            row = locked(name)
            _refuse_archived(row)
            if row.paused_at is None:
                row.paused_at = timezone.now()
                row.version += 1
                forget_state(row, "The check was paused.")
                row.save()
        return row

    return retry_conflicts(store)


def resume_health_check(*, name: UUID | str) -> HealthCheck:
    """Ask again from now on; a heartbeat has its interval and grace from now. A repeat changes nothing."""

    def store() -> HealthCheck:
        with transaction.atomic():
            row = locked(name)
            _refuse_archived(row)
            if row.paused_at is not None:
                row.paused_at = None
                row.version += 1
                row.due_at = timezone.now()
                if row.kind == HEARTBEAT:
                    row.due_at += timedelta(seconds=row.interval_seconds + row.grace_seconds)
                row.save()
        return row

    return retry_conflicts(store)


def body_of(check: HealthCheck) -> dict[str, Any]:
    """A check in the fields of the API that can be written and read; headers can only be written."""
    return {
        "key": check.key,
        "kind": check.kind,
        "name": check.name,
        "description": check.description,
        "entity_type": check.entity.type if check.entity is not None else None,
        "entity_id": check.entity.key if check.entity is not None else None,
        "url": check.url,
        "method": check.method,
        "expected_statuses": list(check.expected_statuses),
        "contains": check.contains,
        "interval_seconds": check.interval_seconds,
        "timeout_seconds": check.timeout_seconds,
        "grace_seconds": check.grace_seconds,
        "failure_threshold": check.failure_threshold,
        "success_threshold": check.success_threshold,
    }


def locked(name: UUID | str) -> HealthCheck:
    """The row of a key or id, locked until the transaction ends; raises :class:`NotFound`."""
    found = get_health_check(name)
    rows = HealthCheck.objects.select_related("entity").select_for_update(of=("self",))
    row: HealthCheck = rows.get(pk=found.pk)
    return row


def forget_state(check: HealthCheck, why: str) -> None:
    """Nothing is known any more of how it is; the caller saves. A probe in flight is discarded."""
    now = timezone.now()
    before = check.state
    check.state, check.failures, check.successes = UNKNOWN, 0, 0
    check.claimed_until = None
    check.number += 1
    if before != UNKNOWN:
        check.state_since = now
        tell_change(check, before, why)


def tell_change(check: HealthCheck, before: str, text: str) -> None:
    """Publish and record that the state of ``check`` is another than ``before``."""
    assert check.state_since is not None
    publish(
        HealthCheckChanged(
            str(check.pk), check.key, entity_name(check), before, check.state, check.state_since, text
        )
    )
    record_audit(
        action="health_check_changed",
        target_type=check._meta.label,
        target_id=str(check.pk),
        changes={"state": [before, check.state]},
    )


def _parsed(body: Mapping[str, Any], faults: list[FieldError] | None = None) -> CheckInput:
    errors = list(faults or [])
    parsed = parse_check(body, errors)
    if parsed is not None and parsed.kind == HTTP:
        _check_target(parsed.url, errors)
    if errors or parsed is None:
        raise Invalid.fields(*errors)
    return parsed


def _check_target(url: str, errors: list[FieldError]) -> None:
    """What the outgoing client would refuse for ever is said now; a name is judged at each probe."""
    try:
        target = parse_url(url)
    except OutgoingRefused as refusal:
        errors.append(FieldError("/url", refusal.code, refusal.detail))
        return
    if target.literal is None:
        return
    kind = refusal_of(target.literal, target.port, allowed_ranges())
    if kind is not None:
        detail = f"{target.literal} ({kind}) is not public, and port {target.port} there is not allowed."
        errors.append(FieldError("/url", "address", detail))


def _fill(check: HealthCheck, parsed: CheckInput, headers: Mapping[str, str] | None) -> None:
    for field in _COPIED:
        setattr(check, field, getattr(parsed, field))
    check.expected_statuses = list(parsed.expected_statuses)
    if headers is not None:
        check.sealed_headers = encrypt(json.dumps(dict(headers))) if headers else ""
        check.header_names = sorted(headers)
    if parsed.entity_type is None or parsed.entity_id is None:
        check.entity = None
    else:
        name = (parsed.entity_type, parsed.entity_id)
        check.entity = Entity.objects.get(pk=resolve_entities([name])[name])


def _refuse_archived(check: HealthCheck) -> None:
    if check.archived_at is not None:
        raise Conflict("archived", "This health check is archived.")


def _taken(key: str) -> Conflict:
    error = FieldError("/key", "taken", f"There is a health check {key} already.")
    return Conflict("duplicate_key", error.detail, [error])
