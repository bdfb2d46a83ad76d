"""A PostgreSQL server of our own for the time of a run: found as for the tests, but durable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg

from tests.servers import postgres

SETTINGS: Final[Mapping[str, str]] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
}
"""What a server in production must have, and what one of this size would be given."""

FLUSH_DELAY: Final[Mapping[str, str]] = {"commit_delay": "2000", "commit_siblings": "0"}
"""Every flush of a commit first waits 2 ms, holding the lock that other flushes wait for."""


class Server:
    """A running server."""

    def __init__(self, url: str, description: str) -> None:
        self._url = url
        self.description = description.partition(" from ")[0]

    def url(self, database: str) -> str:
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{database}"))

    def create_database(self, name: str, template: str, settings: Mapping[str, str]) -> str:
        """Make a database, a copy of ``template``, whose sessions have ``settings``; its URL."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            for key, value in settings.items():
                connection.execute(f"ALTER DATABASE {name} SET {key} = {value}")
            # Else the copy is written out while something is measured, and every flush waits for it.
            connection.execute("CHECKPOINT")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server with its data in ``folder``, stopped at the end."""
    with postgres(folder, **SETTINGS) as server:
        yield Server(server.url, server.description)
