"""Bulk writes on SQLite: ``executemany``, which binds and steps in C."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

from django.db import DataError
from django.db.backends.base.base import BaseDatabaseWrapper

from ..prepared import Asked, ask_all
from . import Addition, Update, Write

_FLOATS: Final = frozenset({"float8", "double precision"})
_LARGEST_FLOAT: Final = "1.7976931348623157e308"
_BOUND_AS_IS: Final = frozenset({int, str, bool, float, bytes, type(None)})


def write_all(
    connection: BaseDatabaseWrapper, writes: Sequence[Write], asked: Sequence[Asked]
) -> list[list[tuple[Any, ...]]]:
    for write in writes:
        if isinstance(write, Addition):
            _upsert_add(connection, write)
        else:
            if isinstance(write, Update):
                sql = _update(write.table, tuple(write.columns), write.key, tuple(write.counted))
                rows = storable((*write.columns, write.key), write.rows)
            else:
                sql = _insert(write.table, tuple(write.columns))
                sql += _replacement(tuple(write.columns), tuple(write.replacing))
                rows = storable(write.columns, write.rows)
            with connection.cursor() as cursor:
                if len(rows) == 1:
                    cursor.execute(sql, rows[0])
                else:
                    cursor.executemany(sql, rows)
    return ask_all(*asked)


def insert_ignore_and_ask(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Any,
    key: str,
    asked: Sequence[Asked],
) -> tuple[set[Any], list[list[tuple[Any, ...]]]]:
    position = list(columns).index(key)
    stored = storable(columns, rows)
    given = {line[position]: row[position] for line, row in zip(stored, rows)}
    # executemany returns no rows; one statement takes as many rows as it may have parameters.
    chunk = max(1, (connection.features.max_query_params or 999) // len(columns))
    inserted: set[Any] = set()
    with connection.cursor() as cursor:
        for start in range(0, len(stored), chunk):
            part = stored[start : start + chunk]
            cursor.execute(
                _insert(table, tuple(columns), len(part))
                + f" ON CONFLICT DO NOTHING RETURNING {_quote(key)}",
                [value for line in part for value in line],
            )
            inserted.update(given[value] for (value,) in cursor.fetchall())
    return inserted, ask_all(*asked)


def _upsert_add(connection: BaseDatabaseWrapper, write: Addition) -> None:
    columns = (*write.key_columns, *write.add_columns)
    sql = _addition(write.table, tuple(write.key_columns), tuple(write.add_columns), tuple(write.types))
    with connection.cursor() as cursor:
        cursor.executemany(sql, storable(columns, write.rows))
        if cursor.rowcount != len(write.rows):
            raise OverflowError(f"a sum in {write.table} does not fit 64 bits")


def is_out_of_range(error: DataError) -> bool:
    """SQLite reports no such error by itself."""
    return False


def storable(columns: Sequence[str], rows: Any) -> list[tuple[Any, ...]]:
    """``rows`` as Django stores them on SQLite: UUIDs as hex, times as UTC text without a zone."""
    converted = [_column(name, values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)]
    return list(zip(*converted))


def _column(name: str, values: tuple[Any, ...]) -> Sequence[Any]:
    # Column by column, because asking each value for its type costs more than writing it.
    types = set(map(type, values))
    if types <= _BOUND_AS_IS:
        return values
    some = types - {type(None)}
    if some == {UUID}:
        if types == some:
            return list(map("%032x".__mod__, map(attrgetter("int"), values)))
        return [None if value is None else value.hex for value in values]
    if some == {datetime}:
        first = values[0]
        if all(value is first for value in values):
            return [_datetime_text(name, first)] * len(values)
        return [None if value is None else _datetime_text(name, value) for value in values]
    if some == {date}:
        return [None if value is None else value.isoformat() for value in values]
    raise TypeError(f"column {name}: cannot store {', '.join(sorted(t.__name__ for t in some))}")


def _datetime_text(name: str, value: datetime) -> str:
    if value.tzinfo is UTC:
        return value.isoformat(" ")[:-6]
    if value.tzinfo is None:
        raise TypeError(f"column {name}: a time needs a time zone")
    return value.astimezone(UTC).isoformat(" ")[:-6]


# Texts that are the same every time: tables and columns are those of the program.
@lru_cache(maxsize=1024)
def _addition(
    table: str, key_columns: tuple[str, ...], add_columns: tuple[str, ...], types: tuple[str, ...]
) -> str:
    columns = (*key_columns, *add_columns)
    sums = {_quote(name): f"{_quote(table)}.{_quote(name)} + excluded.{_quote(name)}" for name in add_columns}
    type_of = dict(zip(columns, types, strict=True))
    # An integer sum past 64 bits quietly becomes a float here, and one of floats infinite: such a row is left
    # alone, and missed by whoever counts the rows.
    fits = " AND ".join(
        f"abs({value}) <= {_LARGEST_FLOAT}" if type_of[name] in _FLOATS else f"typeof({value}) = 'integer'"
        for name, value in zip(add_columns, sums.values(), strict=True)
    )
    return (
        _insert(table, columns)
        + f" ON CONFLICT ({', '.join(map(_quote, key_columns))}) DO UPDATE"
        + f" SET {', '.join(f'{name} = {value}' for name, value in sums.items())}"
        + f" WHERE {fits}"
    )


@lru_cache(maxsize=128)
def _replacement(columns: tuple[str, ...], replacing: tuple[str, ...]) -> str:
    if not replacing:
        return ""
    sets = [f"{_quote(name)} = excluded.{_quote(name)}" for name in columns if name not in replacing]
    return f" ON CONFLICT ({', '.join(map(_quote, replacing))}) DO UPDATE SET {', '.join(sets)}"


@lru_cache(maxsize=128)
def _update(table: str, columns: tuple[str, ...], key: str, counted: tuple[str, ...]) -> str:
    sets = [f"{_quote(name)} = %s" for name in columns]
    sets += [f"{_quote(name)} = {_quote(name)} + 1" for name in counted]
    return f"UPDATE {_quote(table)} SET {', '.join(sets)} WHERE {_quote(key)} = %s"  # noqa: S608


@lru_cache(maxsize=128)
def _insert(table: str, columns: tuple[str, ...], rows: int = 1) -> str:
    row = f"({', '.join(['%s'] * len(columns))})"
    return f"INSERT INTO {_quote(table)} ({', '.join(map(_quote, columns))}) VALUES {', '.join([row] * rows)}"


def _quote(name: str) -> str:
    return f'"{name}"'
