"""A web server process as ``make run`` starts it, and clients that keep their connections."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.services.api_keys import create_api_key
from agent_factory_site.common.supervisor.programs import web

START_LIMIT: Final = 60.0
TICKS: Final = os.sysconf("SC_CLK_TCK")
APPLICATION: Final = "agent_factory_site.wsgi:application"


@dataclass(frozen=True, slots=True)
class WebServer:
    """A running server: one process that works, and its parent that watches it."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """Processor time taken so far by the server's processes."""
        return sum(_cpu(pid) for pid in (self.pid, *_children(self.pid)))

    def precise_cpu_seconds(self) -> float:
        """The same to the nanosecond, of the threads that there are."""
        pids = (self.pid, *_children(self.pid))
        files = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(path.read_text().split()[0]) for path in files) / 1e9


@contextmanager
def serving(
    application: str = APPLICATION, environment: Mapping[str, str] | None = None
) -> Iterator[WebServer]:
    """One web process for ``application`` on the database in use, stopped at the end."""
    port = _free_port()
    argv = [application if part == APPLICATION else part for part in web("127.0.0.1", port).argv]
    environment = {**os.environ, "WEB_WORKERS": "1", **(environment or {})}
    with Path(settings.VAR_DIR, f"web-{port}.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _await_port(port, process)
        yield WebServer(port, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def api_key(scope: str) -> str:
    """A new API key."""
    with acting(Actor.system("benchmark")):
        return create_api_key(name="benchmark", scopes=[scope])[1]


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run of requests took: seconds in all, and each request's seconds."""

    seconds: float
    each: list[float]


def send_all(
    server: WebServer,
    path: str,
    bodies: Sequence[bytes],
    headers: Mapping[str, str],
    connections: int,
    status: int,
) -> Answers:
    """POST all ``bodies`` over so many kept connections at once; any other ``status`` is a RuntimeError."""
    waiting = deque(bodies)
    each: list[float] = []
    problems: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        while not problems:
            try:
                body = waiting.popleft()
            except IndexError:
                break
            began = time.perf_counter()
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            content = answer.read()
            each.append(time.perf_counter() - began)
            if answer.status != status:
                problems.append(f"{answer.status}: {content[:500]!r}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if problems or len(each) != len(bodies):
        raise RuntimeError(f"{len(each)} of {len(bodies)} answered; {problems[:1]}")
    return Answers(seconds, each)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/livez")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    raise RuntimeError(f"the web server did not answer on port {port}")


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    found = [int(child) for child in path.read_text().split()]
    return found + [deeper for child in found for deeper in _children(child)]


def _cpu(pid: int) -> float:
    # Fields 14 and 15 of proc(5), counted after the name in parentheses.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
