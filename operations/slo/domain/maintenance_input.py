"""What may stand in a maintenance window; every fault is named by its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.periods import parse_zone

from .exclusions import MAX_DURATION, Maintenance, ends_before, rule_fault
from .values import check_fields, one_of, parse_length, parse_text

KINDS: Final = ("announced", "ad_hoc")
FIELDS: Final = ("name", "starts_at", "duration", "rrule", "timezone", "kind", "reason", "slos", "all_slos")
MAX_NAME: Final = 200
MAX_REASON: Final = 10_000
MAX_SLOS: Final = 1000
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MaintenanceInput:
    """A maintenance window that is whole and right; ``slos`` are keys or ids of the objectives it is for."""

    name: str
    when: Maintenance
    kind: str
    reason: str
    slos: tuple[str, ...]
    all_slos: bool


def parse_maintenance(body: object, errors: list[FieldError], pointer: str = "") -> MaintenanceInput | None:
    """The maintenance window that a body states; None and what is wrong with it in ``errors``.

    ``starts_at`` is a time with an offset, ``duration`` such as ``90m``; the rule recurs by the clock of ``timezone``.
    """
    before = len(errors)
    if not isinstance(body, Mapping):
        errors.append(FieldError(pointer, "not_an_object", "A maintenance window is an object."))
        return None
    check_fields(body, FIELDS, pointer, errors)
    name = parse_text(body, "name", MAX_NAME, errors, pointer)
    if not name and not any(error.pointer == f"{pointer}/name" for error in errors):
        errors.append(FieldError(f"{pointer}/name", "required", "Is needed."))
    starts_at = _instant(body.get("starts_at"), f"{pointer}/starts_at", errors)
    duration = _duration(body.get("duration"), f"{pointer}/duration", errors)
    kind = one_of(body.get("kind", "announced"), KINDS, f"{pointer}/kind", errors)
    reason = parse_text(body, "reason", MAX_REASON, errors, pointer)
    rule = body.get("rrule")
    fault = "Must be a string." if not isinstance(rule, str | None) else rule_fault(rule) if rule else ""
    if fault:
        errors.append(FieldError(f"{pointer}/rrule", "bad_rule", fault))
    zone = None
    try:
        zone = parse_zone(body.get("timezone", "UTC"))
    except (ValueError, TypeError, AttributeError):
        detail = "Is not a time zone of the IANA database, such as Europe/Berlin."
        errors.append(FieldError(f"{pointer}/timezone", "unknown_timezone", detail))
    if (
        rule
        and not fault
        and starts_at is not None
        and zone is not None
        and ends_before(rule, starts_at, zone)
    ):
        errors.append(FieldError(f"{pointer}/rrule", "bad_rule", "The rule ends before it begins."))
    slos = _slos(body.get("slos", []), f"{pointer}/slos", errors)
    all_slos = body.get("all_slos", False)
    if not isinstance(all_slos, bool):
        errors.append(FieldError(f"{pointer}/all_slos", "bad_value", "Is true or false."))
    elif all_slos and slos:
        errors.append(FieldError(f"{pointer}/slos", "unexpected", "A window for all SLOs names none."))
    if len(errors) > before or starts_at is None or duration is None or zone is None:
        return None
    when = Maintenance(starts_at, duration, rule or None, zone)
    return MaintenanceInput(name, when, kind, reason, slos, bool(all_slos))


def parse_exclusions(
    value: object, pointer: str, errors: list[FieldError]
) -> tuple[MaintenanceInput | str, ...]:
    """Maintenance windows of an objective: ids of existing ones, or definitions, which may overlap."""
    if not isinstance(value, list):
        errors.append(FieldError(pointer, "not_a_list", "Is a list of maintenance windows."))
        return ()
    if len(value) > 100:
        errors.append(FieldError(pointer, "too_many", "At most 100 maintenance windows."))
        return ()
    found: list[MaintenanceInput | str] = []
    for place, item in enumerate(value):
        at = f"{pointer}/{place}"
        if isinstance(item, str):
            try:
                found.append(str(UUID(item)))
            except ValueError:
                errors.append(FieldError(at, "bad_id", "Is not the id of a maintenance window."))
            continue
        window = parse_maintenance(item, errors, at)
        if window is not None and (window.slos or window.all_slos):
            detail = "Inside an objective a maintenance window is for that objective alone."
            errors.append(FieldError(f"{at}/slos", "unexpected", detail))
        elif window is not None:
            found.append(window)
    return tuple(found)


def _instant(value: object, pointer: str, errors: list[FieldError]) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            value = ""
    if value is None:
        errors.append(FieldError(pointer, "required", "Is needed."))
    elif not isinstance(value, datetime) or value.tzinfo is None:
        detail = "Is a time with its offset, such as 2026-11-22T02:00:00+01:00."
        errors.append(FieldError(pointer, "bad_time", detail))
    elif not EARLIEST <= value < LATEST:
        errors.append(FieldError(pointer, "out_of_range", "Is between the years 2000 and 2099."))
    elif value.second or value.microsecond:
        errors.append(FieldError(pointer, "bad_time", "Begins with a whole minute."))
    else:
        return value.astimezone(UTC)
    return None


def _duration(value: object, pointer: str, errors: list[FieldError]) -> timedelta | None:
    duration = parse_length(value, pointer, errors)
    if duration is not None and duration > MAX_DURATION:
        errors.append(FieldError(pointer, "out_of_range", f"Is at most {MAX_DURATION.days} days."))
        return None
    return duration


def _slos(value: object, pointer: str, errors: list[FieldError]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        errors.append(FieldError(pointer, "not_a_list", "Is a list of keys or ids of SLOs."))
        return ()
    if len(value) > MAX_SLOS:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_SLOS} SLOs."))
        return ()
    return tuple(dict.fromkeys(value))
