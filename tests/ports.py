"""Ports for servers that are told theirs and open it some seconds later."""

from __future__ import annotations

import os
import random
import socket
from contextlib import closing, suppress
from pathlib import Path

_LOWEST = 12_000
LANES = 3
_given: set[int] = set()


def free_port() -> int:
    """A port of loopback that nobody listens on, and that nobody is given who asks the system for any.

    A port that the system has just handed out and got back may be handed out again before a server has
    opened it. Runs beside one another each have every third port.
    """
    on_postgres = os.environ.get("DATABASE_URL", "").startswith("postgres")
    lane = int(os.environ.get("TEST_LANE", on_postgres))
    for _ in range(1000):
        port = random.randrange(_LOWEST + lane, _first_of_the_system(), LANES)
        with suppress(OSError), closing(socket.socket()) as listener:
            listener.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("no port is free")


def _first_of_the_system() -> int:
    """Where the ports begin that the system hands out."""
    with suppress(OSError, ValueError):
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        if first > _LOWEST + 1000:
            return first
    return 32_768
