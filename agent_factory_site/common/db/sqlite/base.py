"""Django's SQLite backend, with writers that take turns and a write-ahead log.

An outermost ``atomic`` waits for its turn before BEGIN IMMEDIATE and gives it up when the transaction
ends, or when the process does; a single INSERT, UPDATE or DELETE outside of ``atomic`` takes a turn of
its own. Reads outside of ``atomic`` wait for nobody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from .turns import AVAILABLE, Turns

QUEUE_SUFFIX: Final = "-queue"
_WRITES: Final = ("INSERT", "UPDATE", "DELETE", "REPLACE")


class DatabaseWrapper(base.DatabaseWrapper):
    """One connection; the queue that it stands in lies beside the database file."""

    _turns: Turns | None = None
    _patience: float | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        connection: sqlite3.Connection = super().get_new_connection(conn_params)
        try:
            path = connection.execute("PRAGMA database_list").fetchone()[2]
            queues = path and AVAILABLE and not self.is_in_memory_db()
            self._turns = Turns(path + QUEUE_SUFFIX, like=path) if queues else None
            if path and connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                # Kept in the file: once for ever. It needs the file alone, and SQLite does not wait for that.
                with self.turn():
                    connection.execute("PRAGMA journal_mode=WAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def create_cursor(self, name: str | None = None) -> base.SQLiteCursorWrapper:
        cursor: _Cursor = self.connection.cursor(factory=_Cursor)
        cursor.wrapper = self
        return cursor

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait within the block at most so long for a turn, and for the file."""
        before, self._patience = self._patience, seconds
        self._wait_for_file()
        try:
            yield
        finally:
            self._patience = before
            self._wait_for_file()

    def _timeout(self) -> float:
        given = self.settings_dict["OPTIONS"].get("timeout", 5.0)
        return float(given if self._patience is None else self._patience)

    def _wait_for_file(self) -> None:
        if self.connection is not None:
            self.connection.execute(f"PRAGMA busy_timeout={round(self._timeout() * 1000)}")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Write within the block, after those who asked before."""
        self._take_turn()
        try:
            yield
        finally:
            self._end_turn()

    def _start_transaction_under_autocommit(self) -> None:
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._end_turn()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self._end_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._end_turn()

    def _take_turn(self) -> None:
        if self._turns is None:
            return
        timeout = self._timeout()
        try:
            self._turns.acquire(timeout)
        except TimeoutError as error:
            raise OperationalError(
                f"database is locked: waited {timeout:g} s for a turn to write, and {error}"
            ) from error
        except OSError as error:
            raise OperationalError(f"cannot queue in {self._turns.path}: {error.strerror}") from error

    def _end_turn(self) -> None:
        if self._turns is not None:
            self._turns.release()


class _Cursor(base.SQLiteCursorWrapper):
    wrapper: DatabaseWrapper

    def execute(self, query: str, params: Any = None) -> Any:
        if self._writes_alone(query):
            with self.wrapper.turn():
                return super().execute(query, params)
        return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        if self._writes_alone(query):
            with self.wrapper.turn():
                return super().executemany(query, param_list)
        return super().executemany(query, param_list)

    def _writes_alone(self, query: str) -> bool:
        return not self.connection.in_transaction and query.startswith(_WRITES)
