"""Making, changing and archiving maintenance windows; what they concern is counted anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError, Invalid, NotFound
from operations.slo.domain.exclusions import Maintenance
from operations.slo.domain.maintenance_input import MaintenanceInput, parse_maintenance
from operations.slo.domain.windows import format_duration
from operations.slo.models import MaintenanceWindow, Slo
from operations.slo.selectors.exclusion_minutes import maintenance_of

from .definition_parts import Check, refuse_archived
from .recount import recount
from .sli_lock import lock_all_slis


def create_maintenance_window(*, body: Mapping[str, Any]) -> MaintenanceWindow:
    """Make a maintenance window of the fields of the API; raises :class:`Invalid` with every bad field."""

    def store() -> MaintenanceWindow:
        with transaction.atomic():
            # Before anything is read: an objective that begins at this moment has to know of the window, or be known.
            lock_all_slis()
            parsed, slos = _parsed(body)
            row = insert_window(parsed, slos)
            recount(concerned(row), [parsed.when])
        return row

    return retry_conflicts(store)


def insert_window(parsed: MaintenanceInput, slos: Iterable[UUID]) -> MaintenanceWindow:
    """Make a window in the caller's transaction, without counting anything anew."""
    actor = current_actor()
    row = MaintenanceWindow(actor_kind=actor.kind, actor_id=actor.id)
    _fill(row, parsed)
    row.save(force_insert=True)
    row.slos.set(Slo.objects.filter(pk__in=list(slos)))
    return row


def change_maintenance_window(
    *, window: UUID, changes: Mapping[str, Any], check: Check | None = None
) -> MaintenanceWindow:
    """Change what is named of a window and nothing else; what it concerned and concerns is counted anew."""

    def store() -> MaintenanceWindow:
        with transaction.atomic():
            lock_all_slis()
            row = _locked(window)
            if check is not None:
                check(row)
            refuse_archived(row, "maintenance window")
            before = window_body(row)
            former, former_slos = maintenance_of(row), concerned(row)
            parsed, slos = _parsed({**before, **changes})
            _fill(row, parsed)
            row.slos.set(Slo.objects.filter(pk__in=slos))
            if window_body(row) != before:
                row.version += 1
                row.save()
                recount({*former_slos, *concerned(row)}, _distinct(former, parsed.when))
        return row

    return retry_conflicts(store)


def archive_maintenance_window(*, window: UUID) -> MaintenanceWindow:
    """Have a window exclude nothing, also of the past; a repeat changes nothing."""

    def store() -> MaintenanceWindow:
        with transaction.atomic():
            lock_all_slis()
            row = _locked(window)
            if row.archived_at is None:
                row.archived_at = timezone.now()
                row.version += 1
                row.save()
                recount(concerned(row), [maintenance_of(row)])
        return row

    return retry_conflicts(store)


def concerned(row: MaintenanceWindow) -> set[UUID]:
    """The SLOs in use that a window is for."""
    rows = Slo.objects.all() if row.all_slos else row.slos.all()
    return set(rows.filter(archived_at__isnull=True).values_list("pk", flat=True))


def window_body(row: MaintenanceWindow) -> dict[str, Any]:
    """A maintenance window in the fields of the API that can be written."""
    return {
        "name": row.name,
        "starts_at": row.starts_at.isoformat(),
        "duration": format_duration(timedelta(seconds=row.duration_seconds)),
        "rrule": row.rrule,
        "timezone": row.timezone,
        "kind": row.kind,
        "reason": row.reason,
        "slos": sorted(str(slo.pk) for slo in row.slos.all()),
        "all_slos": row.all_slos,
    }


def _distinct(*windows: Maintenance) -> list[Maintenance]:
    return list(dict.fromkeys(windows))


def _locked(window: UUID) -> MaintenanceWindow:
    row: MaintenanceWindow | None = MaintenanceWindow.objects.select_for_update().filter(pk=window).first()
    if row is None:
        raise NotFound("not_found", "There is no such maintenance window.")
    return row


def _parsed(body: Mapping[str, Any]) -> tuple[MaintenanceInput, list[UUID]]:
    errors: list[FieldError] = []
    parsed = parse_maintenance(body, errors)
    slos: list[UUID] = []
    if parsed is not None:
        slos = _named(parsed.slos, errors)
        if not slos and not parsed.all_slos and not errors:
            errors.append(FieldError("/slos", "required", "Name SLOs, or say all_slos."))
    if errors or parsed is None:
        raise Invalid.fields(*errors)
    return parsed, slos


def _named(names: Iterable[str], errors: list[FieldError]) -> list[UUID]:
    """The ids of SLOs named by key or id."""
    wanted = list(names)
    rows = Slo.objects.filter(key__in=wanted).values_list("key", "pk")
    known: dict[str, UUID] = dict(rows)
    ids = [found for name in wanted if (found := _uuid(name)) is not None]
    known |= {str(pk): pk for pk in Slo.objects.filter(pk__in=ids).values_list("pk", flat=True)}
    found_ids = []
    for place, name in enumerate(wanted):
        pk = known.get(name) or known.get(str(_uuid(name)))
        if pk is None:
            errors.append(FieldError(f"/slos/{place}", "unknown_slo", "There is no such SLO."))
        else:
            found_ids.append(pk)
    return list(dict.fromkeys(found_ids))


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _fill(row: MaintenanceWindow, parsed: MaintenanceInput) -> None:
    row.name = parsed.name
    row.starts_at = parsed.when.starts_at
    row.duration_seconds = int(parsed.when.duration.total_seconds())
    row.rrule = parsed.when.rrule
    row.timezone = str(parsed.when.zone)
    row.kind = parsed.kind
    row.reason = parsed.reason
    row.all_slos = parsed.all_slos
