"""Reading ranges, zones and groupings from a query string."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from agent_factory_site.common.errors import FieldError, Invalid
from financial.domain.grouping import SERIES_DIMENSIONS, TIME_UNITS, is_filter, is_grouping

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


@dataclass(frozen=True, slots=True)
class CostQuery:
    """What a breakdown is asked for."""

    start: datetime
    end: datetime
    zone: tzinfo
    group_by: tuple[str, ...]
    filters: dict[str, list[str]]


GROUPINGS: Final = (*TIME_UNITS, *SERIES_DIMENSIONS, "entity:<type>", "tag:<key>")
_ONCE: Final = frozenset({"start", "end", "tz", "format"})
_PARAMETERS: Final = _ONCE | {"group_by"}


def cost_query(query: QueryDict) -> CostQuery:
    """The range (default: this month), zone (UTC), groupings (day) and filters of a breakdown."""
    errors = unknown_parameters(query, _PARAMETERS | {name for name in query if is_filter(name)})
    errors += repeated_parameters(query, _ONCE)
    zone = _zone(query, errors)
    today = timezone.now().astimezone(zone).date()
    start = _instant(query, "start", zone, errors) or _midnight(today.replace(day=1), zone)
    end = _instant(query, "end", zone, errors) or _midnight(_next_month(max(start, _now()), zone), zone)
    if not errors and start >= end:
        errors.append(FieldError("?end", "empty_range", "The range is empty: start must be before end."))
    group_by = _groupings(query, errors)
    filters = {name: query.getlist(name) for name in query if is_filter(name)}
    if errors:
        raise Invalid.fields(*errors)
    return CostQuery(start, end, zone, group_by, filters)


def optional_range(query: QueryDict) -> tuple[datetime | None, datetime | None, list[FieldError]]:
    """``start`` and ``end`` in ``tz``, each optional, with what is wrong with them."""
    errors: list[FieldError] = []
    zone = _zone(query, errors)
    start, end = (_instant(query, name, zone, errors) for name in ("start", "end"))
    if start and end and start >= end:
        errors.append(FieldError("?end", "empty_range", "The range is empty: start must be before end."))
    return start, end, errors


def unknown_parameters(query: QueryDict, known: frozenset[str]) -> list[FieldError]:
    """An error for each parameter that is not known: a misspelt filter must not widen an answer."""
    return [
        FieldError(f"?{name}", "unknown_parameter", "There is no such parameter.")
        for name in query
        if name not in known
    ]


def repeated_parameters(query: QueryDict, once: Collection[str]) -> list[FieldError]:
    """An error for each parameter of ``once`` that is repeated: it must not be left open which one counts."""
    return [
        FieldError(f"?{name}", "repeated", "This parameter may be given once.")
        for name, values in query.lists()
        if name in once and len(values) > 1
    ]


def _now() -> datetime:
    return timezone.now()


def _zone(query: QueryDict, errors: list[FieldError]) -> tzinfo:
    name = query.get("tz")
    if not name:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        errors.append(
            FieldError("?tz", "unknown_zone", "A zone of the IANA database, such as Europe/Berlin.")
        )
        return UTC


def _instant(query: QueryDict, name: str, zone: tzinfo, errors: list[FieldError]) -> datetime | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        if _DATE.match(text):
            return _midnight(date.fromisoformat(text), zone)
        # A "+" that was not percent-encoded arrives as a space.
        moment = parse_datetime(text.replace(" ", "+") if text[10:11] in ("T", "t") else text)
        if moment is not None and text[10:11] in ("T", "t"):
            return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    errors.append(FieldError(f"?{name}", "bad_time", "A date (2026-11-22) or an RFC 3339 time."))
    return None


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _next_month(moment: datetime, zone: tzinfo) -> date:
    local = moment.astimezone(zone).date()
    return date(local.year + local.month // 12, local.month % 12 + 1, 1)


def _groupings(query: QueryDict, errors: list[FieldError]) -> tuple[str, ...]:
    names = [name for value in query.getlist("group_by") for name in value.split(",")]
    if not names:
        return ("day",)
    unknown = [name for name in names if not is_grouping(name)]
    if unknown:
        known = ", ".join(GROUPINGS)
        errors.append(
            FieldError("?group_by", "unknown_group", f"Not a grouping: {unknown[0]!r}. One of {known}.")
        )
    elif len(set(names)) < len(names):
        errors.append(FieldError("?group_by", "repeated", "Each grouping once."))
    elif len([name for name in names if name in TIME_UNITS]) > 1:
        errors.append(FieldError("?group_by", "contradiction", "At most one unit of time."))
    return tuple(names)
