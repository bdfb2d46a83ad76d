"""What may stand in the definition of a service level; every fault is named by its field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, cast

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.periods import parse_zone

from .burn_alert_input import fitted_rules, parse_burn_alerts, rule_warnings
from .burn_alerts import BurnRule
from .counts import BUDGETING, Budgeting
from .maintenance_input import MaintenanceInput, parse_exclusions
from .sample_input import LABEL, MAX_VALUE
from .values import check_fields, one_of, parse_decimal, parse_key, parse_length, parse_text, token
from .windows import CALENDAR_UNITS, CalendarWindow, RollingWindow, Window

KINDS: Final = ("ratio", "threshold", "timeslice", "freshness", "quality", "cost")
SOURCES: Final = ("samples", "http", "health", "runs")
OPS: Final = ("lte", "lt", "gte", "gt")
_DEFAULT_OP: Final = {"quality": "gte"}
_NEEDS_THRESHOLD: Final = ("threshold", "quality", "cost")
DEFAULT_SLICE_TARGET: Final = Decimal("0.95")
"""The share of good from which a minute is a good slice, where slices are asked for and nothing is said."""
FILTERS: Final = {
    "http": ("method", "route", "path_prefix"),
    "health": ("check", "entity", "kind"),
    "runs": ("agent", "environment", "release", "measure"),
}
"""What a filter may name; anything else would be there and filter nothing."""
MAX_NAME: Final = 200
MAX_DESCRIPTION: Final = 10_000
MAX_UNIT: Final = 50
MAX_FILTER: Final = 20
MAX_GROUPS: Final = 5
MAX_TRAFFIC: Final = 10**12
SHORTEST: Final = timedelta(hours=1)
LONGEST: Final = timedelta(days=366)
DECIMALS: Final = 9

SLI_FIELDS: Final = (
    "key", "name", "description", "kind", "source", "source_filter", "unit", "threshold", "op", "slice_target",
)  # fmt: skip
SLO_FIELDS: Final = (
    "key", "name", "description", "sli", "target", "window", "budgeting", "group_by", "min_traffic",
    "exclusions", "burn_alerts", "owner", "team",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SliInput:
    """An indicator that is whole and right. ``threshold`` is None where only good of total is counted."""

    key: str
    name: str
    description: str
    kind: str
    source: str
    source_filter: dict[str, str]
    unit: str
    threshold: Decimal | None
    op: str
    slice_target: Decimal | None


@dataclass(frozen=True, slots=True)
class SloInput:
    """An objective that is whole and right; ``sli`` is a definition or the key of an existing indicator.

    ``exclusions`` are maintenance windows to be made, or ids of existing ones. ``burn_alerts`` is the name of a set
    (``default``, ``extended``) or the rules themselves; ``warnings`` tell what is allowed and yet of no use.
    """

    key: str
    name: str
    description: str
    sli: SliInput | str
    target: Decimal
    window: Window
    budgeting: Budgeting
    group_by: tuple[str, ...]
    min_traffic: int
    exclusions: tuple[MaintenanceInput | str, ...]
    burn_alerts: str | tuple[BurnRule, ...]
    owner: tuple[str, str] | None
    team: str | None
    warnings: tuple[FieldError, ...] = field(default=())

    @property
    def rules(self) -> tuple[BurnRule, ...]:
        """The burn rules, those of a named set fitted to the window."""
        return fitted_rules(self.burn_alerts, self.window)


def parse_sli(body: object, errors: list[FieldError], pointer: str = "") -> SliInput | None:
    """The indicator that a body states; None and what is wrong with it in ``errors``."""
    before = len(errors)
    if not isinstance(body, Mapping):
        errors.append(FieldError(pointer, "not_an_object", "An indicator is an object."))
        return None
    check_fields(body, SLI_FIELDS, pointer, errors)
    key = parse_key(body.get("key"), f"{pointer}/key", errors)
    name = parse_text(body, "name", MAX_NAME, errors, pointer) or key
    description = parse_text(body, "description", MAX_DESCRIPTION, errors, pointer)
    kind = one_of(body.get("kind"), KINDS, f"{pointer}/kind", errors)
    source = one_of(body.get("source", "samples"), SOURCES, f"{pointer}/source", errors)
    source_filter = _source_filter(body.get("source_filter", {}), source, f"{pointer}/source_filter", errors)
    unit = parse_text(body, "unit", MAX_UNIT, errors, pointer)
    op = one_of(body.get("op", _DEFAULT_OP.get(kind, "lte")), OPS, f"{pointer}/op", errors)
    threshold = _threshold(body.get("threshold"), kind, f"{pointer}/threshold", errors)
    slice_target = None
    if body.get("slice_target") is not None:
        slice_target = parse_decimal(body["slice_target"], f"{pointer}/slice_target", errors, DECIMALS)
        if slice_target is not None and not 0 < slice_target <= 1:
            detail = "Is the share of good in a good minute, above 0 and up to 1."
            errors.append(FieldError(f"{pointer}/slice_target", "out_of_range", detail))
    elif kind == "timeslice":
        slice_target = DEFAULT_SLICE_TARGET
    if len(errors) > before:
        return None
    return SliInput(key, name, description, kind, source, source_filter, unit, threshold, op, slice_target)


def parse_slo(body: object, errors: list[FieldError]) -> SloInput | None:
    """The objective that a body states; None and what is wrong with it in ``errors``."""
    before = len(errors)
    if not isinstance(body, Mapping):
        errors.append(FieldError("", "not_an_object", "An objective is an object."))
        return None
    check_fields(body, SLO_FIELDS, "", errors)
    key = parse_key(body.get("key"), "/key", errors)
    sli = _sli(body.get("sli"), errors)
    target = parse_target(body.get("target"), "/target", errors)
    window = parse_window(body.get("window"), "/window", errors)
    found = one_of(body.get("budgeting", "occurrences"), BUDGETING, "/budgeting", errors)
    alerts = parse_burn_alerts(body.get("burn_alerts", "default"), window, "/burn_alerts", errors)
    name = parse_text(body, "name", MAX_NAME, errors) or key
    description = parse_text(body, "description", MAX_DESCRIPTION, errors)
    group_by = parse_group_by(body.get("group_by", []), "/group_by", errors)
    min_traffic = parse_min_traffic(body.get("min_traffic", 0), "/min_traffic", errors)
    exclusions = parse_exclusions(body.get("exclusions", []), "/exclusions", errors)
    owner = parse_owner(body.get("owner"), "/owner", errors)
    team = None if body.get("team") is None else parse_key(body["team"], "/team", errors)
    if isinstance(sli, SliInput) and found == "timeslices" and sli.slice_target is None:
        sli = replace(sli, slice_target=DEFAULT_SLICE_TARGET)
    if len(errors) > before or target is None or window is None or alerts is None or sli is None:
        return None
    return SloInput(
        key=key,
        name=name,
        description=description,
        sli=sli,
        target=target,
        window=window,
        budgeting=cast(Budgeting, found),
        group_by=group_by,
        min_traffic=min_traffic,
        exclusions=exclusions,
        burn_alerts=alerts,
        owner=owner,
        team=team,
        warnings=tuple(rule_warnings(fitted_rules(alerts, window), target)),
    )


def parse_target(value: object, pointer: str, errors: list[FieldError]) -> Decimal | None:
    """A share above 0 and below 1, with at most 9 decimals."""
    target = parse_decimal(value, pointer, errors, DECIMALS)
    if target is None or 0 < target < 1:
        return target
    if target == 1:
        detail = "A target of 1 leaves no error budget: choose one below, such as 0.999."
    elif 1 < target < 100:
        detail = f"Is a share, not a percentage: {target} % is {target / 100}."
    else:
        detail = "Is a share above 0 and below 1, such as 0.999."
    errors.append(FieldError(pointer, "out_of_range", detail))
    return None


def parse_window(value: object, pointer: str, errors: list[FieldError]) -> Window | None:
    """``{"rolling": "30d"}`` or ``{"calendar": "month", "timezone": "Europe/Berlin"}``."""
    if not isinstance(value, Mapping):
        detail = 'Is an object such as {"rolling": "30d"} or {"calendar": "month", "timezone": "UTC"}.'
        errors.append(FieldError(pointer, "required" if value is None else "not_an_object", detail))
        return None
    check_fields(value, ("rolling", "calendar", "timezone"), pointer, errors)
    if ("rolling" in value) == ("calendar" in value):
        errors.append(FieldError(pointer, "bad_window", "Has either rolling or calendar."))
        return None
    if "rolling" in value:
        if "timezone" in value:
            detail = "A rolling window has no time zone."
            errors.append(FieldError(f"{pointer}/timezone", "unexpected", detail))
        return _rolling(value["rolling"], f"{pointer}/rolling", errors)
    unit = one_of(value["calendar"], CALENDAR_UNITS, f"{pointer}/calendar", errors)
    try:
        zone = parse_zone(value.get("timezone", "UTC"))
    except (ValueError, TypeError, AttributeError):
        detail = "Is not a time zone of the IANA database, such as Europe/Berlin."
        errors.append(FieldError(f"{pointer}/timezone", "unknown_timezone", detail))
        return None
    return CalendarWindow(cast(Any, unit), zone) if unit else None


def _rolling(value: object, pointer: str, errors: list[FieldError]) -> RollingWindow | None:
    length = parse_length(value, pointer, errors)
    if length is None:
        return None
    if not SHORTEST <= length <= LONGEST:
        errors.append(FieldError(pointer, "out_of_range", "Is from 1h to 366d."))
        return None
    return RollingWindow(length)


def parse_group_by(value: object, pointer: str, errors: list[FieldError]) -> tuple[str, ...]:
    """Names of labels, at most five, none twice."""
    if not isinstance(value, list):
        errors.append(FieldError(pointer, "not_a_list", "Is a list of label names."))
        return ()
    if len(value) > MAX_GROUPS:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_GROUPS} labels."))
        return ()
    for place, name in enumerate(value):
        if not isinstance(name, str) or not LABEL.match(name) or name.startswith("__"):
            detail = "A label's name is up to 63 letters, digits and _, not beginning with a digit or __."
            errors.append(FieldError(f"{pointer}/{place}", "bad_label", detail))
        elif name in value[:place]:
            errors.append(FieldError(f"{pointer}/{place}", "duplicate", "Is named before."))
    return tuple(name for name in value if isinstance(name, str))


def parse_min_traffic(value: object, pointer: str, errors: list[FieldError]) -> int:
    """How many events a window needs before a condition may fire."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TRAFFIC:
        errors.append(FieldError(pointer, "out_of_range", f"Is a whole number from 0 to {MAX_TRAFFIC}."))
        return 0
    return value


_OWNER: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}\Z")


def parse_owner(value: object, pointer: str, errors: list[FieldError]) -> tuple[str, str] | None:
    """An entity as ``type/id``."""
    if value is None:
        return None
    kind, _, key = value.partition("/") if isinstance(value, str) else ("", "", "")
    if not _OWNER.match(kind) or not key.strip() or len(key) > 255 or "\0" in key:
        errors.append(FieldError(pointer, "bad_owner", "Is written as type/id, such as team/growth."))
        return None
    return kind, key


def _sli(value: object, errors: list[FieldError]) -> SliInput | str | None:
    if value is None:
        errors.append(FieldError("/sli", "required", "Is needed: a definition or the key of an indicator."))
        return None
    if isinstance(value, str):
        return parse_key(value, "/sli", errors) or None
    return parse_sli(value, errors, "/sli")


def _threshold(value: object, kind: str, pointer: str, errors: list[FieldError]) -> Decimal | None:
    if value is None:
        if kind in _NEEDS_THRESHOLD:
            detail = f"An indicator of the kind {kind} needs what a good value is held against."
            errors.append(FieldError(pointer, "required", detail))
        return None
    if kind == "ratio":
        errors.append(FieldError(pointer, "unexpected", "A ratio counts good of total, without a threshold."))
        return None
    threshold = parse_decimal(value, pointer, errors, DECIMALS)
    if threshold is not None and abs(threshold) > MAX_VALUE:
        detail = f"Is from {-MAX_VALUE:.0f} to {MAX_VALUE:.0f}."
        errors.append(FieldError(pointer, "out_of_range", detail))
        return None
    return threshold


def _source_filter(value: object, source: str, pointer: str, errors: list[FieldError]) -> dict[str, str]:
    if not isinstance(value, Mapping):
        errors.append(FieldError(pointer, "not_an_object", "Is an object of names and texts."))
        return {}
    if len(value) > MAX_FILTER:
        errors.append(FieldError(pointer, "too_many", f"At most {MAX_FILTER} entries."))
        return {}
    found: dict[str, str] = {}
    for name, text in value.items():
        if not isinstance(text, str) or not text or len(text) > 255 or "\0" in text or not LABEL.match(name):
            detail = "Is a text of up to 255 characters under a plain name."
            errors.append(FieldError(f"{pointer}/{token(name)}", "bad_value", detail))
        elif name not in FILTERS.get(source, (name,)):
            detail = f"The source {source} is filtered by {', '.join(FILTERS[source])}."
            errors.append(FieldError(f"{pointer}/{token(name)}", "unknown_field", detail))
        else:
            found[name] = text
    return found
