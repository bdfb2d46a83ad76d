"""What an import profile is: how the rows of one kind of file become cost events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from agent_factory_site.common.errors import FieldError

FileFormat = Literal["csv", "jsonl"]
Row = Mapping[str, Any]
"""A CSV row by column name (every value a string), or the object of a JSON line."""

GROUPS: Final = ("usage", "tags", "entities")
"""Fields that hold named values, addressed as ``usage.input_tokens``, ``tags.env``, ``entities.team``."""


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field of the event stands in the file.

    ``required`` columns may not be blank; others leave their field out when they are. ``spellings``
    turns names used in the file into the field's own; what it does not list is taken as it is.
    """

    name: str
    required: bool = False
    spellings: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Draft:
    """An event in the making: fields by name, grouped values apart, and what is wrong with it."""

    fields: dict[str, Any]
    usage: dict[str, Any]
    tags: dict[str, Any]
    entities: dict[str, Any]
    errors: list[FieldError] = field(default_factory=list)


Completion = Callable[[Row, Draft], None]
"""The last step of reading a row, for what one column alone does not say."""


def nothing_to_complete() -> Completion:
    """The completion of profiles that need none."""
    return lambda row, draft: None


@dataclass(frozen=True, slots=True)
class Profile:
    """How to read one kind of file.

    ``columns`` and ``defaults`` are by field name; ``assumed`` names the defaults that such files do
    not say, ``also_read`` the columns that the completion reads. Plain numbers in ``occurred_at``
    count from a time origin in ``time_unit``; in ``relative`` files all times do. ``naive_utc`` says
    that times without a zone are UTC. ``named`` profiles take every column that is called like a
    field as that field. ``unix`` says that plain numbers in ``occurred_at`` are Unix time unless
    another origin is given.

    ``items`` is the member of a JSON document that holds the rows, ``nested`` the column that holds
    several rows in one: each of them becomes an event, with the columns of ``outer`` and whatever
    else stands around the list. ``notes`` are what is supposed of such files beside ``assumed``.

    ``key_columns`` say what a row is about, whatever its figures and whichever file it is in: event ids
    are made of them instead of the file and the row. ``key_times`` are those that hold times. Where
    several rows of a file may be about the same, ``numbered_keys`` tells them apart by their order.

    ``begin`` makes a fresh completion for each pass over a file; that of a
    ``stateful`` profile has to see every row, in order.
    """

    name: str
    title: str
    columns: Mapping[str, Column] = field(default_factory=dict)
    also_read: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    formats: tuple[FileFormat, ...] = ("csv", "jsonl")
    time_unit: Literal["seconds", "milliseconds"] = "seconds"
    relative: bool = False
    naive_utc: bool = False
    named: bool = False
    unix: bool = False
    items: str = ""
    nested: str = ""
    outer: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    key_columns: tuple[str, ...] = ()
    key_times: frozenset[str] = frozenset()
    numbered_keys: bool = False
    stateful: bool = False
    begin: Callable[[], Completion] = nothing_to_complete

    @property
    def source(self) -> str:
        """The source of imported events unless another is asked for."""
        return f"import:{self.name}"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the person importing says about the file; stronger than what the profile says.

    ``assignments`` (field -> value for every row) win over ``mapping`` (field -> column), which wins
    over the profile. An empty assignment leaves the field out.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    assignments: Mapping[str, str] = field(default_factory=dict)
    time_origin: datetime | None = None
