"""Making, changing and archiving SLOs.

Locks are taken in one order: indicators by number, then the SLO, then its maintenance windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError, Invalid
from agent_factory_site.common.models import Entity, Team
from operations.slo.domain.burn_alert_input import rules_as_json
from operations.slo.domain.definitions import SliInput, SloInput, parse_slo
from operations.slo.domain.exclusions import Maintenance
from operations.slo.domain.maintenance_input import MaintenanceInput
from operations.slo.domain.windows import RollingWindow, format_duration
from operations.slo.models import MaintenanceWindow, Sli, Slo
from operations.slo.selectors.exclusion_minutes import maintenance_of
from operations.slo.selectors.slos import get_slo

from .definition_parts import Check, check_free, key_fixed, refuse_archived, taken
from .maintenance import insert_window
from .objectives import end_objective, renew_objective
from .recount import recount
from .sli_lock import lock_slis
from .slis import insert_sli


def create_slo(*, body: Mapping[str, Any]) -> Slo:
    """Make an SLO of the fields of the API, with its indicator where that is defined in it.

    Samples of the indicator that are still kept are counted. Raises :class:`Invalid` with every bad field,
    :class:`Conflict` where another SLO or SLI has the key.
    """
    errors: list[FieldError] = []
    parsed = parse_slo(body, errors)
    if parsed is None:
        raise Invalid.fields(*errors)

    def store() -> Slo:
        with transaction.atomic():
            check_free(Slo, parsed.key)
            if isinstance(parsed.sli, SliInput):
                sli: Sli | None = insert_sli(parsed.sli)
            else:
                sli = _sli(parsed, parsed.sli, errors)
            if sli is not None:
                sli = lock_slis([sli.pk])[0]
            row = Slo(key=parsed.key)
            _fill(row, parsed, sli, errors)
            windows = _windows(parsed, errors)
            if errors or sli is None:
                raise Invalid.fields(*errors)
            row.save(force_insert=True)
            _exclude(row, windows, [])
            renew_objective(row)
        return row

    try:
        return retry_conflicts(store)
    except IntegrityError:
        # Somebody else was faster by less than the time between looking and writing.
        raise taken(Slo, parsed.key) from None


def change_slo(*, slo: UUID | str, changes: Mapping[str, Any], check: Check | None = None) -> Slo:
    """Change what is named of an SLO and nothing else.

    Where what is counted changes (the indicator, the grouping), a new objective begins, into which the samples
    still kept are counted. ``check`` is called with the locked row, and may raise to refuse.
    """

    def store() -> Slo:
        with transaction.atomic():
            row = _locked(slo, changes.get("sli"))
            if check is not None:
                check(row)
            refuse_archived(row, "SLO")
            before = slo_body(row)
            errors: list[FieldError] = []
            key_fixed(row, changes, errors)
            if isinstance(changes.get("sli"), Mapping):
                detail = "Name an SLI by its key; change the SLI itself where it is to be another."
                errors.append(FieldError("/sli", "not_a_key", detail))
            parsed = parse_slo({**before, **changes}, errors) if not errors else None
            if parsed is None:
                raise Invalid.fields(*errors)
            sli = _sli(parsed, cast(str, parsed.sli), errors)
            _fill(row, parsed, sli, errors)
            windows = _windows(parsed, errors)
            if errors:
                raise Invalid.fields(*errors)
            renew_objective(row)
            if "exclusions" in changes:
                _exclude(row, windows, list(row.maintenance_windows.all()))
            if slo_body(row) != before:
                row.version += 1
                row.save()
        return row

    return retry_conflicts(store)


def archive_slo(*, slo: UUID | str) -> Slo:
    """Count no more for an SLO; what it counted stays. A repeat changes nothing."""

    def store() -> Slo:
        with transaction.atomic():
            row = _locked(slo, None)
            if row.archived_at is None:
                row.archived_at = timezone.now()
                row.version += 1
                row.save()
                end_objective(row, row.archived_at)
        return row

    return retry_conflicts(store)


def slo_body(row: Slo) -> dict[str, Any]:
    """An SLO in the fields of the API that can be written; exclusions are the windows that name it."""
    if row.rolling_seconds is not None:
        window = {"rolling": format_duration(timedelta(seconds=row.rolling_seconds))}
    else:
        window = {"calendar": str(row.calendar), "timezone": row.timezone}
    return {
        "key": row.key,
        "name": row.name,
        "description": row.description,
        "sli": row.sli.key,
        "target": row.target.normalize(),
        "window": window,
        "budgeting": row.budgeting,
        "group_by": row.group_by,
        "min_traffic": row.min_traffic,
        "exclusions": sorted(
            str(window.pk) for window in row.maintenance_windows.all() if window.archived_at is None
        ),
        "burn_alerts": row.burn_alerts,
        "owner": None if row.owner is None else f"{row.owner.type}/{row.owner.key}",
        "team": None if row.team is None else row.team.key,
    }


def _locked(name: UUID | str, other: object) -> Slo:
    """An SLO and its indicator, and the one it is to have, theirs alone until the transaction ends."""
    found = get_slo(name)
    numbers = {found.sli_id}
    if isinstance(other, str):
        numbers.update(Sli.objects.filter(key=other).values_list("pk", flat=True))
    lock_slis(numbers)
    row: Slo = Slo.objects.select_for_update(of=("self",)).get(pk=found.pk)
    return row


def _sli(parsed: SloInput, key: str, errors: list[FieldError]) -> Sli | None:
    row: Sli | None = Sli.objects.filter(key=key).first()
    if row is None:
        errors.append(FieldError("/sli", "unknown_sli", "There is no SLI with this key."))
    elif row.archived_at is not None:
        errors.append(FieldError("/sli", "archived", "This SLI is archived."))
    elif parsed.budgeting == "timeslices" and row.slice_target is None:
        detail = "Budgeting by time slices needs an SLI with a slice_target."
        errors.append(FieldError("/sli", "required", detail))
    return row


def _windows(parsed: SloInput, errors: list[FieldError]) -> list[MaintenanceInput | MaintenanceWindow]:
    found: list[MaintenanceInput | MaintenanceWindow] = []
    for place, item in enumerate(parsed.exclusions):
        if isinstance(item, MaintenanceInput):
            found.append(item)
            continue
        row = MaintenanceWindow.objects.filter(pk=item, archived_at__isnull=True).first()
        if row is None:
            detail = "There is no such maintenance window in use."
            errors.append(FieldError(f"/exclusions/{place}", "unknown_window", detail))
        elif not row.all_slos:
            found.append(row)
    return found


def _exclude(
    row: Slo, wanted: list[MaintenanceInput | MaintenanceWindow], former: list[MaintenanceWindow]
) -> None:
    """Have ``wanted``, and of ``former`` only those that are archived, name the SLO; count the others anew."""
    kept = {window.pk for window in wanted if isinstance(window, MaintenanceWindow)}
    changed: list[Maintenance] = []
    for window in former:
        if window.archived_at is None and window.pk not in kept:
            window.slos.remove(row)
            changed.append(maintenance_of(window))
    known = {window.pk for window in former}
    for item in wanted:
        if isinstance(item, MaintenanceInput):
            insert_window(item, [row.pk])
            changed.append(item.when)
        elif item.pk not in known:
            item.slos.add(row)
            changed.append(maintenance_of(item))
    if changed:
        recount([row.pk], changed)


def _fill(row: Slo, parsed: SloInput, sli: Sli | None, errors: list[FieldError]) -> None:
    if sli is not None:
        row.sli = sli
    row.name = parsed.name
    row.description = parsed.description
    row.target = parsed.target
    if isinstance(parsed.window, RollingWindow):
        row.rolling_seconds = int(parsed.window.length.total_seconds())
        row.calendar, row.timezone = None, "UTC"
    else:
        row.rolling_seconds = None
        row.calendar, row.timezone = parsed.window.unit, str(parsed.window.zone)
    row.budgeting = parsed.budgeting
    row.group_by = list(parsed.group_by)
    row.min_traffic = parsed.min_traffic
    row.burn_alerts = rules_as_json(parsed.burn_alerts)
    row.owner = row.team = None
    if parsed.owner is not None:
        row.owner = Entity.objects.filter(type=parsed.owner[0], key=parsed.owner[1]).first()
        if row.owner is None:
            errors.append(FieldError("/owner", "unknown_entity", "There is no such entity."))
    if parsed.team is not None:
        row.team = Team.objects.filter(key=parsed.team).first()
        if row.team is None:
            errors.append(FieldError("/team", "unknown_team", "There is no team with this key."))
