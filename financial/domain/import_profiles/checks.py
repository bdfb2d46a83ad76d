"""What can be said about an import before its first row is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from agent_factory_site.common.errors import FieldError
from financial.domain.cost_rules import RESERVED_SOURCES, reserved

from .profile import GROUPS, ImportOptions, Profile
from .reader import TOP_FIELDS, USAGE_KEYS, is_field, named_field
from .values import BadValue, read_amount, read_count, read_time

FileKind = Literal["csv", "jsonl", "json"]
_FIELDS = f"{', '.join(TOP_FIELDS)}, usage.*, tags.*, entities.*"


def check_options(profile: Profile, options: ImportOptions) -> list[FieldError]:
    """What is wrong with mappings, assignments and the time origin."""
    errors: list[FieldError] = []
    for kind, pairs in (("map", options.mapping), ("set", options.assignments)):
        for name, value in pairs.items():
            if not is_field(name):
                errors.append(FieldError(f"/{kind}", "unknown_field", _unknown(name)))
            elif kind == "map" and not value:
                errors.append(FieldError("/map", "blank", f"{name} is mapped to a column without a name."))
            elif kind == "set" and value and (problem := _bad_assignment(profile, options, name, value)):
                errors.append(FieldError("/set", "bad_value", f"{name}: {problem}"))
    if profile.relative and options.time_origin is None and "occurred_at" not in options.assignments:
        errors.append(
            FieldError(
                "/time_origin",
                "required",
                f"The times of this kind of file are {profile.time_unit} from the start of the recording: "
                "say when that was, such as --time-origin 2026-03-01 or --time-origin 2026-03-01T08:00:00Z.",
            )
        )
    return errors


def _unknown(name: str) -> str:
    group, dot, key = name.partition(".")
    if dot and group == "usage":
        return f'There is no usage "{key}": it is one of {", ".join(USAGE_KEYS)}.'
    return f'There is no field "{name}": it is one of {_FIELDS}.'


def _bad_assignment(profile: Profile, options: ImportOptions, name: str, value: str) -> str:
    if name == "source" and value.strip() in RESERVED_SOURCES:
        return reserved(value.strip())
    try:
        if name.startswith("usage."):
            read_count(value)
        elif name in ("amount", "quantity"):
            read_amount(value)
        elif name == "occurred_at":
            read_time(value, unit=profile.time_unit, origin=options.time_origin, naive_utc=profile.naive_utc)
    except BadValue as error:
        return error.detail
    return ""


def check_columns(
    profile: Profile,
    options: ImportOptions,
    columns: Sequence[str],
    profiles: Sequence[Profile],
    kind: FileKind,
) -> list[FieldError]:
    """What the file lacks; ``columns`` is the header, or the keys of the first JSON objects."""
    if not _can_be(profile, kind):
        return [
            FieldError(
                "/profile",
                "wrong_format",
                f"{profile.name} files are {_format(profile.formats[0])}, and this is {_format(kind)}."
                + _suggestion(profile, columns, profiles, kind),
            )
        ]
    # What stands inside of nested rows is not seen here; their own readings tell.
    nested = bool(profile.nested) and profile.nested in columns
    missing = [
        name
        for field, name in _expected(profile, options).items()
        if field not in options.assignments
        and not _has(columns, name)
        and not (nested and name not in profile.outer)
    ]
    if missing:
        return [
            FieldError(
                "/profile",
                "missing_column",
                f"This file has no {_quoted(missing)}; its columns are {_quoted(columns)}."
                + _suggestion(profile, columns, profiles, kind),
            )
        ]
    errors = []
    if profile.named:
        for column in columns:
            if column.partition(".")[0] in GROUPS and "." in column and not is_field(column):
                errors.append(FieldError("/profile", "unknown_field", _unknown(column)))
        likely = _suggestion(profile, columns, profiles, kind)
        given = {*map(named_field, columns), *options.mapping, *options.assignments, *profile.defaults}
        for name in ("occurred_at", "entity_type", "entity_id", "cost_type"):
            if name not in given:
                errors.append(
                    FieldError(
                        "/map",
                        "required",
                        f"Nothing gives {name}: name its column with --map {name}=COLUMN "
                        f"or set it with --set {name}=VALUE. The columns are {_quoted(columns)}.{likely}",
                    )
                )
    return errors


def unused_columns(profile: Profile, options: ImportOptions, columns: Sequence[str]) -> list[str]:
    """The columns that nothing reads, to be told to the person importing."""
    used = {column.name for column in profile.columns.values()} | set(options.mapping.values())
    used |= {*profile.also_read, *profile.outer, profile.nested}
    used |= {name.partition(".")[0] for name in options.mapping.values()}
    return [
        column
        for column in columns
        if column not in used and not (profile.named and (is_field(named_field(column)) or column in GROUPS))
    ]


def _expected(profile: Profile, options: ImportOptions) -> dict[str, str]:
    wanted = {field: column.name for field, column in profile.columns.items() if column.required}
    return {**wanted, **options.mapping}


def _has(columns: Sequence[str], name: str) -> bool:
    return name in columns or name.partition(".")[0] in columns


def _suggestion(profile: Profile, columns: Sequence[str], profiles: Sequence[Profile], kind: FileKind) -> str:
    present = set(columns)
    for other in profiles:
        wanted = {column.name for column in other.columns.values() if column.required}
        if other.nested and other.nested in present:
            wanted = set(other.outer)
        if other is not profile and _can_be(other, kind) and wanted and wanted <= present:
            return f" It looks like --profile {other.name}."
    return ""


def _quoted(names: Sequence[str]) -> str:
    shown = [f'"{name[:60]}"' for name in names[:20]]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _can_be(profile: Profile, kind: FileKind) -> bool:
    return ("csv" if kind == "csv" else "jsonl") in profile.formats


def _format(kind: FileKind) -> str:
    return {"csv": "CSV", "jsonl": "JSON Lines", "json": "a JSON document"}[kind]
