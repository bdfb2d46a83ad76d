"""A running system for tests: ``manage.py up`` as a user starts it, on a port and a folder of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from tests.ports import free_port
from tests.processes import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("web", "worker", "beat")
A_TASK = """
from celery import current_app
from django.utils import timezone
from agent_factory_site.common.models import IdempotencyRecord
from tests.processes import until

long_ago = timezone.now().replace(year=2020)
record = IdempotencyRecord.objects.create(
    principal="test", key="test", fingerprint="", created_at=long_ago, locked_until=long_ago
)
current_app.send_task("common.prune_idempotency_records")
until(lambda: not IdempotencyRecord.objects.filter(pk=record.pk).exists())
print("done")
"""


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """The environment of a user who has set nothing but the folder."""
    own = ("DATABASE_URL", "REDIS_URL", "PORT", "SECRET_KEY", "DEMO", "PRODUCTION", "LOG_LEVEL")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return kept | {"VAR_DIR": str(folder)} | extra


def manage(*arguments: str, folder: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment(folder, **extra),
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str


class Browser:
    """Asks the server as a browser does: keeps cookies, sends the CSRF token back."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: SimpleCookie = SimpleCookie()

    def ask(self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None) -> Answer:
        sent = {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())}
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, body or None, sent | dict(headers or {}))
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        for cookie in response.headers.get_all("Set-Cookie", []):
            self.cookies.load(cookie)
        return Answer(response.status, response.headers, text)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def submit(self, path: str, **fields: str) -> Answer:
        """Fill in the form at ``path``."""
        self.get(path)
        body = urlencode({"csrfmiddlewaretoken": self.cookies["csrftoken"].value, **fields})
        return self.ask("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})


class System:
    """``manage.py up``, or another command that serves, with what it printed so far."""

    def __init__(self, folder: Path, command: tuple[str, ...] = ("up",), **extra: str) -> None:
        self.folder = folder
        self.extra = extra
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.runtime = folder / ("runtime-demo" if "DEMO" in extra else "runtime")
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment(folder, PORT=str(self.port), **extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, after: int = 0, timeout: float = PATIENCE) -> re.Match[str]:
        """The first line, from line number ``after`` on, in which ``pattern`` is found."""

        def found() -> re.Match[str] | None:
            return next((hit for line in self.lines[after:] if (hit := re.search(pattern, line))), None)

        with self._changed:
            hit = self._changed.wait_for(found, timeout)
        assert hit, f"{pattern!r} did not appear in:\n{self.output}"
        return hit

    def wait_until_ready(self) -> System:
        self.wait_for("is running; Ctrl-C stops it")
        return self

    def does_a_task(self) -> None:
        """Send a task from another process, and wait until the worker has done it."""
        done = manage("shell", "-v0", "-c", A_TASK, folder=self.folder, **self.extra)
        assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr + self.output

    def pids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        listed = json.loads((self.runtime / "processes.json").read_text())["processes"]
        return {entry["name"]: entry["pid"] for entry in listed}

    def kill_program(self, name: str) -> int:
        """SIGKILL one program, and wait for the next; its process id."""
        before = self.pids()[name]
        line = len(self.lines)
        os.kill(before, signal.SIGKILL)
        self.wait_for(rf"up +\| {name} was ended by signal 9; starting it again in", after=line)
        until(lambda: self.pids().get(name, before) != before)
        return self.pids()[name]

    def browser(self) -> Browser:
        return Browser(self.port)

    def answers(self) -> bool:
        """Whether the web server answers."""
        try:
            return self.browser().get("/livez").status == 200
        except OSError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it as a user would; its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def close(self) -> None:
        """Whatever the test did: nothing stays behind."""
        if self.process.poll() is None:
            self.stop()


def group_members(group: int) -> list[int]:
    """The living processes of a process group (Linux)."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z" and int(fields[2]) == group:
                members.append(int(entry.name))
    return members


def gone(groups: list[int]) -> Callable[[], bool]:
    return lambda: not any(group_members(group) for group in groups)
