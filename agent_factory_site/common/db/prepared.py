"""Queries whose text is made once: of a short statement, compiling takes several times as long as running it.

Several of them can be asked together: on PostgreSQL in one message, which costs both sides a wake-up, each with
a snapshot of its own, so that a later one sees what waiting for the lock of an earlier one let happen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet


class _Text(NamedTuple):
    sql: str
    parameters: tuple[Any, ...]
    places: Mapping[int, int]
    converters: Sequence[tuple[int, Sequence[Callable[..., Any]], Any]]


class Asked(NamedTuple):
    """A statement to be asked together with others, and how its rows are read (None: as they come)."""

    sql: str
    parameters: Sequence[Any] = ()
    read: Callable[[Sequence[Any]], tuple[Any, ...]] | None = None

    def rows(self, found: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """The rows that were ``found``, as they are to be read."""
        return found if self.read is None else [self.read(row) for row in found]


def ask_all(*asked: Asked) -> list[list[tuple[Any, ...]]]:
    """The rows of each statement, carried out in their order; each returns rows."""
    if not asked:
        return []
    with connection.cursor() as cursor:
        found: list[list[tuple[Any, ...]]] = []
        if connection.vendor == "postgresql":
            parameters = [value for one in asked for value in one.parameters]
            cursor.execute("; ".join([one.sql for one in asked]), parameters or None)
            for place in range(len(asked)):
                if place:
                    cursor.nextset()
                found.append(cursor.fetchall())
        else:
            for one in asked:
                cursor.execute(one.sql, one.parameters)
                found.append(cursor.fetchall())
    return [one.rows(rows) for one, rows in zip(asked, found, strict=True)]


class PreparedQuery:
    """``values_list`` querysets that differ in nothing but the values that they compare with.

    ``make`` is called once per kind of database with ``sample`` values, all different from each other and
    from any constant in the query, and :meth:`rows` puts others of their types (``UUID``, ``str``, ``int``)
    in their places.
    """

    def __init__(self, make: Callable[..., QuerySet[Any, Any]], *sample: UUID | str | int) -> None:
        self._make = make
        self._sample = sample
        self._texts: dict[str, _Text] = {}

    def rows(self, *values: UUID | str | int | None) -> list[tuple[Any, ...]]:
        """The rows with ``values`` in the places of the sample's."""
        return ask_all(self.asked(*values))[0]

    def asked(self, *values: UUID | str | int | None) -> Asked:
        """The same, to be asked together with others."""
        text = self._texts.get(connection.vendor)
        if text is None:
            text = self._texts[connection.vendor] = self._compile()
        stored = [_stored(value) for value in values]
        parameters = [
            stored[text.places[place]] if place in text.places else value
            for place, value in enumerate(text.parameters)
        ]
        read = partial(_converted, converters=text.converters) if text.converters else None
        return Asked(text.sql, parameters, read)

    def _compile(self) -> _Text:
        query = self._make(*self._sample).query
        compiler = query.get_compiler(connection=connection)
        sql, parameters = compiler.as_sql()
        sample = [_stored(value) for value in self._sample]
        places = {place: sample.index(value) for place, value in enumerate(parameters) if value in sample}
        if set(places.values()) != set(range(len(sample))):
            raise ValueError("the query does not compare with every value of the sample")
        fields = [each for each, *_ in compiler.select[: compiler.col_count]]
        converters = compiler.get_converters(fields)
        return _Text(
            sql,
            tuple(parameters),
            places,
            [(place, functions, field) for place, (functions, field) in converters.items()],
        )


def _stored(value: UUID | str | int | None) -> Any:
    return value.hex if isinstance(value, UUID) and not connection.features.has_native_uuid_field else value


def _converted(
    row: Sequence[Any], converters: Sequence[tuple[int, Sequence[Callable[..., Any]], Any]]
) -> tuple[Any, ...]:
    values = list(row)
    for place, functions, field in converters:
        for convert in functions:
            values[place] = convert(values[place], field, connection)
    return tuple(values)
