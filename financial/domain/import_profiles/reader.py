"""Turning rows into cost events, by a profile and what the person importing says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from agent_factory_site.common.errors import FieldError
from financial.domain.cost_input import CostInput, UsageInput, decode_cost, pointer

from .identity import KeyReader, Occurrences, count_in_memory, look_up, path_of
from .profile import GROUPS, Column, Draft, ImportOptions, Profile, Row
from .values import UNIX_EPOCH, BadValue, is_blank, read_amount, read_count, read_text, read_time

TOP_FIELDS: Final = tuple(name for name in CostInput.__struct_fields__ if name not in GROUPS)
USAGE_KEYS: Final = UsageInput.__struct_fields__


def is_field(name: str) -> bool:
    """Whether ``name`` addresses a field of a cost event: ``model``, ``usage.input_tokens``, ``tags.env``."""
    group, dot, key = name.partition(".")
    if not dot:
        return name in TOP_FIELDS
    if group == "usage":
        return key in USAGE_KEYS
    return group in GROUPS and bool(key)


def named_field(column: str) -> str:
    """The field that a column is called like; a quantity needs no ``usage.`` in front."""
    return f"usage.{column}" if column in USAGE_KEYS else column


def field_pointer(name: str) -> str:
    """The JSON pointer of a field addressed by name."""
    group, dot, key = name.partition(".")
    return pointer(group, key) if dot and group in GROUPS else pointer(name)


class _Step(NamedTuple):
    """One field that is read from a column."""

    field: str
    group: str
    key: str
    column: Column
    path: tuple[str, ...]


class RowReader:
    """Reads the rows of one file. Stateful profiles need every row, from the first, in order."""

    def __init__(
        self,
        profile: Profile,
        options: ImportOptions,
        identity: str,
        occurrences: Occurrences | None = None,
    ) -> None:
        """``identity`` stands for the content of the file: event ids are made of it and the row's number.

        Those of a profile with key columns are made of these; ``occurrences`` counts repeated keys.
        """
        self._profile = profile
        self._origin = options.time_origin or (UNIX_EPOCH if profile.unix else None)
        self._identity = identity
        self._keys = (
            KeyReader(profile, options, occurrences or count_in_memory()) if profile.key_columns else None
        )
        self._complete = profile.begin()
        self._constants: list[tuple[str, str, Any]] = []
        self._errors: list[FieldError] = []
        assigned = set(options.assignments)
        columns = {**profile.columns, **_mapped(profile, options)}
        self._steps = [_step(name, column) for name, column in columns.items() if name not in assigned]
        self._taken = assigned | set(columns)
        constants = {"source": profile.source, **profile.defaults, **options.assignments}
        for name, value in constants.items():
            # A default steps back for a column, even where its cell is blank: unknown is not the default.
            if value and (name in assigned or name not in columns):
                self._constants.append((*_place(name), self._convert(name, value)))

    def read(self, row: Row, number: int) -> CostInput | list[FieldError]:
        """The event of row ``number`` (the first is 1), or what is wrong with the row."""
        draft = Draft({}, {}, {}, {})
        for group, key, value in self._constants:
            _into(draft, group)[key] = value
        if self._profile.named:
            for name, column, value in self._named(row):
                self._take(draft, *_place(name), name, column, value)
        for step in self._steps:
            value = look_up(row, step.path)
            if is_blank(value):
                if step.column.required:
                    draft.errors.append(
                        FieldError(field_pointer(step.field), "required", f"{step.column.name} is blank.")
                    )
                continue
            if step.column.spellings and isinstance(value, str):
                value = step.column.spellings.get(value.strip(), value)
            self._take(draft, step.group, step.key, step.field, step.column.name, value)
        # Numbers of keys are given out to every row, so that a later one keeps its own.
        key = self._keys.key_of(row) if self._keys else f"{self._identity}/{number}"
        draft.fields.setdefault("event_id", key)
        self._complete(row, draft)
        return draft.errors or _finish(draft)

    def _take(self, draft: Draft, group: str, key: str, name: str, column: str, value: Any) -> None:
        try:
            _into(draft, group)[key] = self._convert(name, value)
        except BadValue as error:
            draft.errors.append(FieldError(field_pointer(name), error.code, f"{column}: {error.detail}"))

    def _convert(self, name: str, value: Any) -> Any:
        if name.startswith("usage."):
            return read_count(value)
        if name == "occurred_at":
            return read_time(
                value, unit=self._profile.time_unit, origin=self._origin, naive_utc=self._profile.naive_utc
            )
        if name in ("amount", "quantity"):
            return read_amount(value)
        return read_text(value)

    def _named(self, row: Row) -> Iterator[tuple[str, str, Any]]:
        """The cells whose column is called like a field, unless something stronger gives that field."""
        for column, value in row.items():
            if column in GROUPS and isinstance(value, dict):
                cells = [(f"{column}.{key}", inner) for key, inner in value.items()]
            else:
                cells = [(column, value)]
            for column_name, cell in cells:
                name = named_field(column_name)
                group, dot, _ = name.partition(".")
                known = name in TOP_FIELDS or (dot and group in GROUPS)
                if known and name not in self._taken and not is_blank(cell):
                    yield name, column_name, cell


def _mapped(profile: Profile, options: ImportOptions) -> dict[str, Column]:
    """Columns named with a mapping; the profile's spellings and demands go with the field."""
    columns = {}
    for name, column in options.mapping.items():
        own = profile.columns.get(name)
        columns[name] = Column(column, own.required if own else False, own.spellings if own else {})
    return columns


def _place(name: str) -> tuple[str, str]:
    group, dot, key = name.partition(".")
    return (group, key) if dot and group in GROUPS else ("", name)


def _step(name: str, column: Column) -> _Step:
    group, key = _place(name)
    return _Step(name, group, key, column, path_of(column.name))


def _into(draft: Draft, group: str) -> dict[str, Any]:
    if group == "usage":
        return draft.usage
    if group == "tags":
        return draft.tags
    return draft.entities if group == "entities" else draft.fields


def _finish(draft: Draft) -> CostInput | list[FieldError]:
    event = draft.fields
    if draft.usage:
        event["usage"] = draft.usage
    if draft.tags:
        event["tags"] = draft.tags
    if draft.entities:
        event["entities"] = draft.entities
    try:
        return msgspec.convert(event, CostInput)
    except msgspec.ValidationError as error:
        # The slow way, for bad rows only: it names every bad field.
        explained = decode_cost(msgspec.json.encode(event))
        return explained if isinstance(explained, list) else [FieldError("", "bad_value", str(error))]
