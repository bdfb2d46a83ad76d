"""Who calls the API in tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agent_factory_site.common.models import User
from agent_factory_site.common.services.api_keys import create_api_key
from agent_factory_site.common.supervisor import programs
from tests.ports import free_port
from tests.processes import PATIENCE


def key_headers(*scopes: str) -> dict[str, str]:
    """The headers of a new API key with ``scopes``."""
    return {"Authorization": f"Bearer {create_api_key(name='test', scopes=scopes)[1]}"}


def make_user(username: str = "ada", **fields: object) -> User:
    """A member of staff."""
    return User.objects.create_user(username=username, **{"is_staff": True, **fields})


@contextmanager
def granian(application: str, database: str, **env: str) -> Iterator[str]:
    """The URL of a real server of ``application``, started as the system starts its own, one process, on
    ``database``.
    """
    port = free_port()
    server = subprocess.Popen(
        programs.granian(application, "127.0.0.1", port, workers=1, threads=4),
        env=os.environ | {"DATABASE_URL": database} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        _await_port(server, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            # Nothing of it may stay behind and keep the database in use.
            os.killpg(server.pid, signal.SIGKILL)
            raise AssertionError(f"the server did not stop:\n{server.communicate()[0]}") from None


def _await_port(server: subprocess.Popen[str], port: int) -> None:
    """The server says that its worker has started before it listens: only connecting tells."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AssertionError(server.communicate()[0])
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError("the server did not listen")
