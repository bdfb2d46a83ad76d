"""The fastest way to write ledger rows that are ready to be written: what ingest is compared with."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psycopg
from django.db import connection
from psycopg.adapt import Dumper
from psycopg.postgres import types as registry
from psycopg.pq import Format

TABLES: Final = ("financial_costevent", "financial_costeventkey", "financial_costattribution")
"""The tables that get rows for each event; the rollups, which sum them, are not written by the baseline."""

Rows = Mapping[str, Sequence[tuple[Any, ...]]]


class _JsonText(Dumper):
    """JSON that is text already, in the binary form of ``jsonb``."""

    format = Format.BINARY
    oid = registry["jsonb"].oid

    def dump(self, obj: str) -> bytes:
        return b"\x01" + obj.encode()


class RawCopy:
    """COPY into tables with the columns, indexes and constraints of the ledger's, one transaction a batch."""

    name = "COPY"

    def __init__(self, format: str) -> None:
        parameters = connection.get_connection_params()
        names = ("host", "port", "user", "password", "dbname")
        self.connection = psycopg.connect(
            autocommit=True, **{name: parameters[name] for name in names if name in parameters}
        )
        self.binary = format == "binary"
        self.connection.adapters.register_dumper(None, _JsonText)
        self.types: dict[str, list[str]] = {}
        self.columns: dict[str, str] = {}
        for table in TABLES:
            copy = self._table(table)
            self.connection.execute(f"CREATE TABLE {copy} (LIKE {table} INCLUDING ALL)")
            found = self.connection.execute(
                "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = %s::regclass"
                " AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
                [copy],
            ).fetchall()
            self.types[table] = [kind for _, kind in found]
            self.columns[table] = ", ".join(name + "::text" * (kind == "jsonb") for name, kind in found)

    def _table(self, table: str) -> str:
        return f"raw_{'binary' if self.binary else 'text'}_{table}"

    def newest(self, count: int) -> Rows:
        """The rows of the ``count`` events recorded last, as tuples ready to be written, JSON as its text."""
        return {
            table: self.connection.execute(query).fetchall()
            for table, query in _newest(count, self.columns).items()
        }

    def write(self, rows: Rows) -> None:
        with self.connection.transaction(), self.connection.cursor() as cursor:
            for table in TABLES:
                how = "(FORMAT BINARY)" if self.binary else ""
                with cursor.copy(f"COPY {self._table(table)} FROM STDIN {how}") as copy:
                    if self.binary:
                        copy.set_types(self.types[table])
                    write = copy.write_row
                    for row in rows[table]:
                        write(row)


class RawExecutemany:
    """``executemany`` into such tables in a file of their own, one transaction a batch."""

    name = "executemany"

    def __init__(self) -> None:
        path = Path(connection.settings_dict["NAME"])
        self.ledger = sqlite3.connect(path, isolation_level=None)
        self.connection = sqlite3.connect(path.with_name("raw.sqlite3"), isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.inserts: dict[str, str] = {}
        for table in TABLES:
            made = self.ledger.execute(
                "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('table', 'index')"
                " AND sql IS NOT NULL ORDER BY type DESC",
                [table],
            )
            for (sql,) in made.fetchall():
                self.connection.execute(sql)
            columns = self.connection.execute(f"PRAGMA table_info({table})").fetchall()
            self.inserts[table] = f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"

    def newest(self, count: int) -> Rows:
        columns = dict.fromkeys(TABLES, "*")
        return {
            table: self.ledger.execute(query).fetchall() for table, query in _newest(count, columns).items()
        }

    def write(self, rows: Rows) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        for table in TABLES:
            self.connection.executemany(self.inserts[table], rows[table])
        self.connection.execute("COMMIT")


def _newest(count: int, columns: Mapping[str, str]) -> dict[str, str]:
    # Ids ascend with the time of recording.
    newest = f"SELECT id FROM financial_costevent ORDER BY id DESC LIMIT {count}"
    names = (("financial_costevent", "id", "id"), ("financial_costeventkey", "event", "key"))
    return {
        table: f"SELECT {columns[table]} FROM {table} WHERE {event} IN ({newest}) ORDER BY {order}"
        for table, event, order in (*names, ("financial_costattribution", "event", "event"))
    }
