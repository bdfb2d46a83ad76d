"""Writing many rows in few statements, the same on both databases.

Values are Python's own (``UUID``, ``datetime`` with a time zone, ``bool``, ``int``, ``str``, ``None``;
JSON as its text) and read back through the ORM as if it had written them. The ORM's hooks do not
run: no defaults, no validation, no audit events. Every function runs inside the caller's
``transaction.atomic()`` and takes its rows in the order given: rows that concurrent writers share
are locked in that order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from django.db import DataError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import TransactionManagementError

from agent_factory_site.common.errors import Invalid

from ..prepared import Asked, ask_all

Rows = Sequence[Sequence[Any]]


class OutOfRange(Invalid):
    """A value, or the sum it would make, does not fit the 64 bits of its column."""

    def __init__(self) -> None:
        super().__init__("out_of_range", "a value or a sum does not fit 64 bits")


@dataclass(frozen=True, slots=True)
class Insert:
    """``rows`` to insert, values in the order of ``columns``; those whose ``replacing`` columns are there replace it.

    ``replacing`` are the columns of the primary key or of a unique constraint; without them a row that is
    there is an error.
    """

    table: str
    columns: Sequence[str]
    rows: Rows
    replacing: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """``rows`` (values of ``columns``, then the key) to set; those that are not there are passed over.

    ``types`` are PostgreSQL's names of the types of all columns, the key's last. The columns ``counted`` grow
    by one. Rows are locked in no order: the caller holds their locks.
    """

    table: str
    columns: Sequence[str]
    key: str
    types: Sequence[str]
    rows: Rows
    counted: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Addition:
    """``rows`` (keys, then addends) to insert, or to add to the rows that have their keys; see :func:`upsert_add`."""

    table: str
    key_columns: Sequence[str]
    add_columns: Sequence[str]
    types: Sequence[str]
    rows: Rows


Write = Insert | Addition | Update


def write_all(
    connection: BaseDatabaseWrapper, writes: Sequence[Write], asked: Sequence[Asked] = ()
) -> list[list[tuple[Any, ...]]]:
    """Carry out ``writes`` in their order, then answer what is ``asked``, as :func:`ask_all` does.

    On PostgreSQL neighbours of few rows go in one message, and what is asked with the last of them.
    """
    for write in writes:
        if isinstance(write, Addition):
            keys = len(write.key_columns)
            if len({tuple(row[:keys]) for row in write.rows}) != len(write.rows):
                raise ValueError(f"rows for {write.table} repeat a key: add them up first")
    some = [write for write in writes if write.rows]
    if not some:
        return ask_all(*asked)
    with _writing(connection) as backend:
        answers: list[list[tuple[Any, ...]]] = backend.write_all(connection, some, asked)
        return answers


def insert_rows(connection: BaseDatabaseWrapper, table: str, columns: Sequence[str], rows: Rows) -> None:
    """Insert ``rows`` (values in the order of ``columns``), or none of them."""
    write_all(connection, [Insert(table, columns, rows)])


def insert_ignore_returning(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Rows,
    key: str,
) -> set[Any]:
    """Insert the rows that break no uniqueness; the values of column ``key`` of those inserted.

    Of rows that repeat each other the first is taken. ``types`` are PostgreSQL's names of the
    columns' types (``bigint``, ``uuid``, ``timestamptz``, …).
    """
    return insert_ignore_and_ask(connection, table, columns, types, rows, key)[0]


def insert_ignore_and_ask(
    connection: BaseDatabaseWrapper,
    table: str,
    columns: Sequence[str],
    types: Sequence[str],
    rows: Rows,
    key: str,
    *asked: Asked,
) -> tuple[set[Any], list[list[tuple[Any, ...]]]]:
    """:func:`insert_ignore_returning`, then what :func:`ask_all` answers; on PostgreSQL few rows go in one message."""
    if not rows:
        return set(), ask_all(*asked)
    with _writing(connection) as backend:
        found: tuple[set[Any], list[list[tuple[Any, ...]]]] = backend.insert_ignore_and_ask(
            connection, table, columns, types, rows, key, asked
        )
        return found


def upsert_add(
    connection: BaseDatabaseWrapper,
    table: str,
    key_columns: Sequence[str],
    add_columns: Sequence[str],
    types: Sequence[str],
    rows: Rows,
) -> None:
    """Insert ``rows`` (keys, then addends), or add their addends to the rows that have their keys.

    ``types`` are PostgreSQL's names of the types of all columns, ``key_columns`` the primary key or a
    unique constraint; no two rows share a key (``ValueError``). A sum past 64 bits raises
    :class:`OutOfRange` on both databases and undoes the caller's innermost ``atomic`` block.
    """
    write_all(connection, [Addition(table, key_columns, add_columns, types, rows)])


@contextmanager
def _writing(connection: BaseDatabaseWrapper) -> Iterator[ModuleType]:
    if not connection.in_atomic_block:
        raise TransactionManagementError("bulk writes run inside transaction.atomic()")
    backend = _backend(connection)
    try:
        yield backend
    except (OverflowError, DataError) as error:
        if isinstance(error, DataError) and not backend.is_out_of_range(error):
            raise
        # PostgreSQL has given the transaction up; on SQLite a caller must not go on with half of it either.
        connection.needs_rollback = True
        raise OutOfRange from error


def _backend(connection: BaseDatabaseWrapper) -> ModuleType:
    # Imported on use: SQLite installations need no psycopg in memory.
    if connection.vendor == "postgresql":
        from . import postgres

        return postgres
    from . import sqlite

    return sqlite
