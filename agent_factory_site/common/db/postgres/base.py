"""Django's PostgreSQL backend, which asks the kernel before the server whether a kept connection still stands."""

from __future__ import annotations

import select
import time
from typing import Any, Final

from django.db.backends.postgresql import base
from psycopg.pq import TransactionStatus

TRUSTED_SECONDS: Final = 5.0
"""How long after the server last said so a connection that nobody has closed is taken to stand."""
_NEWS: Final = select.POLLIN | select.POLLPRI | getattr(select, "POLLRDHUP", 0)


class DatabaseWrapper(base.DatabaseWrapper):
    """One connection."""

    _answered_at: float | None = None

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        self._answered_at = None
        return super().get_new_connection(conn_params)

    def is_usable(self) -> bool:
        """Whether the connection can be used: asked at the beginning of every request.

        Whoever ends a connection, the server that goes down first of all, tells the kernel, and to ask that takes
        no round trip. What nobody tells of, such as a firewall that forgets, happens to idle connections: one that
        was not asked for a while, or that met with an error, is asked itself.
        """
        now = time.monotonic()
        answered = self._answered_at
        if answered is not None and now - answered < TRUSTED_SECONDS and self._is_at_rest():
            return True
        usable: bool = super().is_usable()
        self._answered_at = now if usable else None
        return usable

    def _is_at_rest(self) -> bool:
        """Whether the connection is open, between transactions, and nothing has come in: not even an end."""
        connection = self.connection
        if connection is None or connection.closed or self.errors_occurred:
            return False
        if connection.info.transaction_status != TransactionStatus.IDLE:
            return False
        poll = select.poll()
        poll.register(connection.fileno(), _NEWS)
        return not poll.poll(0)
