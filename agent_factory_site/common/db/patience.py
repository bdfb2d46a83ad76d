"""How long statements wait for a database that is busy, where somebody waits for the answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error, connection


@contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """Wait within the block at most so long for each lock; then it is an ``OperationalError``.

    Where a client gives up sooner than the database does, what it sent is lost, although it could have been
    told to send it again. On SQLite the wait for a turn to write and that for the file follow each other; only
    programs of others keep the file from who has the turn.
    """
    current: Any = connection
    current.ensure_connection()
    if current.vendor == "sqlite":
        with current.patience(seconds):
            yield
        return
    before = _lock_timeout(current, f"{round(seconds * 1000)}ms")
    try:
        yield
    finally:
        # A transaction of the caller that failed takes no statement, and takes the setting back by itself.
        if current.connection is not None and not current.needs_rollback:
            try:
                _lock_timeout(current, before)
            except Error:
                # It broke: the next statement opens another, with the usual settings.
                current.close()


def _lock_timeout(current: Any, value: str) -> str:
    """Set how long PostgreSQL waits for a lock; what it was before."""
    with current.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('lock_timeout'), set_config('lock_timeout', %s, false)", [value]
        )
        return str(cursor.fetchone()[0])
