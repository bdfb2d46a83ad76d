"""Whether the web server answers yet, asked without ever waiting for it."""

from __future__ import annotations

import socket
from typing import Final

REQUEST: Final = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Readiness:
    """Call it until it is true: it keeps one request in flight and looks whether the answer has come."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._connection: socket.socket | None = None

    def __call__(self) -> bool:
        try:
            if self._connection is None:
                self._connection = socket.create_connection(self._address, timeout=0.5)
                self._connection.sendall(REQUEST)
                self._connection.setblocking(False)
            answer = self._connection.recv(64)
        except BlockingIOError:
            return False
        except OSError:
            answer = b""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return answer.startswith(b"HTTP/1.1 200")
