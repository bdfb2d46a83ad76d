"""Bulk writes on PostgreSQL: binary ``COPY``, straight into the table or through a temporary one.

Measured per 1,000 rows on one connection: binary COPY takes 0.6 of the time of text COPY, and a
temporary table with INSERT … SELECT 0.4 to 0.6 of INSERT … SELECT FROM unnest(arrays), at a quarter
of the client's processor time. Below some 100 values one INSERT … VALUES is the quickest. Integers,
UUIDs and times, which need no quoting, are written into the statement, a third of the time of
parameters: integers up to some ten rows as VALUES, all up to some 250 rows as arrays. Statements that
return nothing go in one message where they follow each other: each message costs both sides a wake-up. All values
are quoted here: a driver looks for the placeholders of a long statement longer than it takes to quote its values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from hashlib import blake2b
from itertools import chain
from operator import attrgetter
from typing import Any, Final
from uuid import UUID
from weakref import WeakKeyDictionary

import psycopg
from django.db import DataError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.adapt import Dumper, Transformer
from psycopg.errors import NumericValueOutOfRange
from psycopg.postgres import types as registry
from psycopg.pq import Format

from ..prepared import Asked, ask_all
from . import Addition, Insert, Update, Write

_FEW_VALUES: Final = 100
_FEW_INTEGER_ROWS: Final = 12
_MAX_ARRAY_ROWS: Final = 250
_ARRAY_TYPES: Final = {int: "bigint", UUID: "uuid", datetime: "timestamptz"}
_ALLOWED: Final = (int, str, bytes, float, date, UUID, type(None))
_JSONB_VERSION: Final = b"\x01"

# Asked for once per connection and table: types that COPY writes.
_column_types: WeakKeyDictionary[psycopg.Connection[Any], dict[tuple[str, tuple[str, ...]], list[int]]] = (
    WeakKeyDictionary()
)

# Texts that are the same every time: tables and columns are those of the program.
_inserts: dict[tuple[str, tuple[str, ...]], str] = {}
_upserts: dict[tuple[str, tuple[str, ...], tuple[str, ...]], str] = {}


class _JsonText(Dumper):
    """JSON that is text already, in the binary form of ``jsonb``."""

    format = Format.BINARY
    oid = registry["jsonb"].oid

    def dump(self, obj: str) -> bytes:
        # Unbound, so that what is not text is a TypeError.
        return _JSONB_VERSION + str.encode(obj)


def write_all(
    connection: BaseDatabaseWrapper, writes: Sequence[Write], asked: Sequence[Asked]
) -> list[list[tuple[Any, ...]]]:
    waiting: list[str] = []
    with connection.cursor() as cursor:
        for write in writes:
            if isinstance(write, Update):
                waiting.append(_update(connection, write))
                continue
            statement = (
                _insertion(connection, write) if isinstance(write, Insert) else _addition(connection, write)
            )
            if statement is not None:
                waiting.append(statement)
                continue
            _send(cursor, waiting)
            waiting = []
            if isinstance(write, Insert) and write.replacing:
                _replace_many(connection, cursor, write)
            elif isinstance(write, Insert):
                types = _types_of(connection, write.table, tuple(write.columns))
                _copy(connection, write.table, write.columns, types, write.rows)
            else:
                columns = (*write.key_columns, *write.add_columns)
                tail = _tail(connection, write)
                _insert_staged(connection, cursor, write.table, columns, write.types, write.rows, tail)
        if asked:
            waiting += [_text(cursor, one) for one in asked]
        _send(cursor, waiting)
        return _answers(cursor, len(waiting) - len(asked), asked)


def _send(cursor: Any, statements: Sequence[str]) -> None:
    if statements:
        # Without parameters nothing is taken for a placeholder.
        cursor.execute("; ".join(statements))


def _answers(cursor: Any, after: int, asked: Sequence[Asked]) -> list[list[tuple[Any, ...]]]:
    """The answers to what was asked ``after`` so many other statements of the same message."""
    answers: list[list[tuple[Any, ...]]] = []
    for one in asked:
        for _ in range(1 if answers else after):
            cursor.nextset()
        answers.append(one.rows(cursor.fetchall()))
    return answers


def insert_ignore_and_ask(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Any,
    key: str,
    asked: Sequence[Asked],
) -> tuple[set[Any], list[list[tuple[Any, ...]]]]:
    tail = f" ON CONFLICT DO NOTHING RETURNING {connection.ops.quote_name(key)}"
    position = list(columns).index(key)
    with connection.cursor() as cursor:
        if statement := _small(connection, table, columns, types, rows, tail):
            cursor.execute("; ".join([statement, *[_text(cursor, one) for one in asked]]))
        else:
            _insert_staged(connection, cursor, table, columns, types, rows, tail)
        if cursor.rowcount == len(rows):
            inserted = {row[position] for row in rows}
        else:
            inserted = {value for (value,) in cursor.fetchall()}
        return inserted, _answers(cursor, 1, asked) if statement else ask_all(*asked)


def _text(cursor: Any, asked: Asked) -> str:
    if not asked.parameters:
        return asked.sql
    with cursor.db.wrap_database_errors:
        text: str = cursor.mogrify(asked.sql, asked.parameters)
    return text


def is_out_of_range(error: DataError) -> bool:
    return isinstance(error.__cause__, NumericValueOutOfRange)


def _insertion(connection: BaseDatabaseWrapper, write: Insert) -> str | None:
    """One statement for few rows."""
    types = None
    if len(write.rows) <= _MAX_ARRAY_ROWS:
        types = [_ARRAY_TYPES.get(type(value), "") for value in write.rows[0]]
    return _small(connection, write.table, write.columns, types, write.rows, _replacement(connection, write))


def _replacement(connection: BaseDatabaseWrapper, write: Insert) -> str:
    if not write.replacing:
        return ""
    quote = connection.ops.quote_name
    sets = [
        f"{quote(name)} = excluded.{quote(name)}" for name in write.columns if name not in write.replacing
    ]
    return f" ON CONFLICT ({', '.join(map(quote, write.replacing))}) DO UPDATE SET {', '.join(sets)}"


def _replace_many(connection: BaseDatabaseWrapper, cursor: Any, write: Insert) -> None:
    types = [registry[oid].name for oid in _types_of(connection, write.table, tuple(write.columns))]
    tail = _replacement(connection, write)
    _insert_staged(connection, cursor, write.table, write.columns, types, write.rows, tail)


def _update(connection: BaseDatabaseWrapper, write: Update) -> str:
    """One statement: of one row with its values, of more with arrays of them."""
    quote = connection.ops.quote_name
    table, key = quote(write.table), quote(write.key)
    counts = [f"{quote(name)} = {table}.{quote(name)} + 1" for name in write.counted]
    if len(write.rows) == 1:
        *values, wanted = _literals(connection, _checked(write.rows))[0]
        pairs = zip(write.columns, values, strict=True)
        sets = ", ".join([*(f"{quote(name)} = {value}" for name, value in pairs), *counts])
        return f"UPDATE {table} SET {sets} WHERE {key} = {wanted}"  # noqa: S608
    sets = ", ".join([*(f"{quote(name)} = new.{quote(name)}" for name in write.columns), *counts])
    lists = [list(column) for column in zip(*write.rows, strict=True)]
    values = _literals(connection, [lists])[0]
    arrays = ", ".join(f"{value}::{kind}[]" for value, kind in zip(values, write.types, strict=True))
    names = ", ".join([*map(quote, write.columns), "key_"])
    return (
        f"UPDATE {table} SET {sets} FROM unnest({arrays}) AS new ({names})"  # noqa: S608
        f" WHERE {table}.{key} = new.key_"
    )


def _addition(connection: BaseDatabaseWrapper, write: Addition) -> str | None:
    columns = (*write.key_columns, *write.add_columns)
    return _small(connection, write.table, columns, write.types, write.rows, _tail(connection, write))


def _tail(connection: BaseDatabaseWrapper, write: Addition) -> str:
    return _additions(connection, write.table, tuple(write.key_columns), tuple(write.add_columns))


def _small(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[str],
    types: Sequence[str] | None,
    rows: Any,
    tail: str,
) -> str | None:
    """One statement for ``rows``, or None where they are too many."""
    if types is not None and len(rows) <= _MAX_ARRAY_ROWS and (source := _unquoted(types, rows)):
        return f"{_insert_into(connection, table, tuple(columns))} {source}{tail}"
    if _few(columns, rows):
        values = ", ".join([f"({', '.join(row)})" for row in _literals(connection, _checked(rows))])
        return f"{_insert_into(connection, table, tuple(columns))} VALUES {values}{tail}"
    return None


def _insert_staged(
    connection: BaseDatabaseWrapper,
    cursor: Any,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Any,
    tail: str,
) -> None:
    quote = connection.ops.quote_name
    named = list(zip(columns, types, strict=True))
    stage = f"pg_temp.bulk_{blake2b(repr((table, named)).encode(), digest_size=8).hexdigest()}"
    # Emptied by every commit; what an earlier call of this transaction left is deleted.
    cursor.execute(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} ({', '.join(f'{quote(c)} {t}' for c, t in named)})"
        f" ON COMMIT DELETE ROWS; DELETE FROM {stage}"
    )
    _copy(connection, stage, columns, [_oid(name) for name in types], rows)
    names = ", ".join(map(quote, columns))
    # By ctid, the order in which the rows were written: rows are locked in the order the caller gave.
    cursor.execute(
        f"INSERT INTO {quote(table)} ({names}) SELECT {names} FROM {stage} ORDER BY {stage}.ctid{tail}"
    )


def _copy(
    connection: BaseDatabaseWrapper, table: str, columns: Sequence[str], types: Sequence[int], rows: Any
) -> None:
    quote = connection.ops.quote_name
    target = table if table.startswith("pg_temp.") else quote(table)
    with connection.cursor() as cursor, connection.wrap_database_errors:
        cursor.adapters.register_dumper(None, _JsonText)
        names = ", ".join(map(quote, columns))
        with cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(types)
            write = copy.write_row
            for row in rows:
                write(row)


def _types_of(connection: BaseDatabaseWrapper, table: str, columns: tuple[str, ...]) -> list[int]:
    connection.ensure_connection()
    known = _column_types.setdefault(connection.connection, {})
    if (table, columns) not in known:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT attname, atttypid::bigint FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [connection.ops.quote_name(table)],
            )
            oids = dict(cursor.fetchall())
        known[table, columns] = [oids[name] for name in columns]
    return known[table, columns]


def _oid(name: str) -> int:
    info = registry.get("integer" if name == "int" else name)
    if info is None:
        raise ValueError(f"not a PostgreSQL type that can be copied: {name}")
    return info.oid


def _few(columns: Sequence[str], rows: Any) -> bool:
    return len(columns) * len(rows) <= _FEW_VALUES


def _insert_into(connection: BaseDatabaseWrapper, table: str, columns: tuple[str, ...]) -> str:
    text = _inserts.get((table, columns))
    if text is None:
        quote = connection.ops.quote_name
        text = f"INSERT INTO {quote(table)} ({', '.join(map(quote, columns))})"
        _inserts[table, columns] = text
    return text


def _additions(
    connection: BaseDatabaseWrapper, table: str, key_columns: tuple[str, ...], add_columns: tuple[str, ...]
) -> str:
    text = _upserts.get((table, key_columns, add_columns))
    if text is None:
        quote = connection.ops.quote_name
        sums = (
            f"{quote(each)} = {quote(table)}.{quote(each)} + excluded.{quote(each)}" for each in add_columns
        )
        text = f" ON CONFLICT ({', '.join(map(quote, key_columns))}) DO UPDATE SET {', '.join(sums)}"
        _upserts[table, key_columns, add_columns] = text
    return text


def _unquoted(types: Sequence[str], rows: Any) -> str | None:
    """``rows`` as the source of an INSERT, or None where a value would have to be quoted."""
    found = set(map(type, chain.from_iterable(rows)))
    if found == {int} and len(rows) <= _FEW_INTEGER_ROWS:
        return "VALUES " + ", ".join([f"({', '.join(map(str, row))})" for row in rows])
    if not found <= _ARRAY_TYPES.keys():
        return None
    arrays = []
    for name, values in zip(types, zip(*rows, strict=True), strict=True):
        texts = map(str, values) if found == {int} else _texts(values)
        if texts is None:
            return None
        arrays.append(f"'{{{','.join(texts)}}}'::{name}[]")
    return f"SELECT * FROM unnest({', '.join(arrays)})"


def _texts(values: Sequence[Any]) -> Iterable[str] | None:
    """``values`` as the elements of an array; None where they are of several types, or of local time."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return map(str, values)
    if kinds == {UUID}:
        return map("%032x".__mod__, map(attrgetter("int"), values))
    if kinds == {datetime} and all(map(attrgetter("tzinfo"), values)):
        return map(datetime.isoformat, values)
    return None


def _checked(rows: Any) -> Any:
    """``rows``, refusing here what COPY refuses by itself."""
    for value in chain.from_iterable(rows):
        if not isinstance(value, _ALLOWED) or (isinstance(value, datetime) and value.tzinfo is None):
            raise TypeError(f"cannot store {value!r}: not a plain value, or a time without a time zone")
    return rows


def _literals(connection: BaseDatabaseWrapper, rows: Any) -> list[list[str]]:
    """The values of ``rows`` as SQL."""
    connection.ensure_connection()
    quoted = Transformer(connection.connection).as_literal
    with connection.wrap_database_errors:
        return [["NULL" if value is None else quoted(value).decode() for value in row] for row in rows]
