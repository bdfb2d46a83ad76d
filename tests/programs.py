"""Programs in processes of their own, forked from one that has only set Django up.

Such a process is as new as one that was just started: it has read nothing from the database and shares nothing
with the test. It only does not take the two seconds of processor time that the imports of Django do.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from tests.processes import PATIENCE, name_sessions, until_sessions_end

ROOT = Path(__file__).resolve().parent.parent
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.django_ready"])
# What the server was started with: its children see no other environment.
_started_with: dict[str, str] | None = None


class Program:
    """Python code that runs in a process of its own; has what is used of ``subprocess.Popen``."""

    def __init__(self, code: str, arguments: tuple[str, ...]) -> None:
        theirs = []
        streams: list[IO[str] | None] = []
        for mode in ("w", "r", "r"):
            read, write = os.pipe()
            ours, other = (write, read) if mode == "w" else (read, write)
            theirs.append(Connection(other, readable=mode == "w", writable=mode != "w"))
            streams.append(os.fdopen(ours, mode))
        self.stdin, self.stdout, self.stderr = streams
        self._process = _context.Process(target=_run, args=(code, arguments, *theirs), daemon=True)
        self._process.start()
        for pipe in theirs:
            pipe.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended: minus the signal where one did; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("a program of a test", timeout or 0)
        if self._process.exitcode == -signal.SIGKILL:
            until_sessions_end(self.pid)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def communicate(self, given: str | None = None, timeout: float | None = None) -> tuple[str, str]:
        """Close its input, after ``given``; what it still wrote to output and errors, once it has ended."""
        found = ["", ""]

        def read(number: int, stream: IO[str] | None) -> None:
            if stream is not None and not stream.closed:
                with stream:
                    found[number] = stream.read()

        readers = [
            threading.Thread(target=read, args=each, daemon=True)
            for each in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        with suppress(BrokenPipeError):
            if self.stdin is not None and not self.stdin.closed:
                with self.stdin:
                    self.stdin.write(given or "")
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return found[0], found[1]


def start_program(
    code: str, *arguments: object, database: str, **env: str
) -> Program | subprocess.Popen[str]:
    """Run ``code`` on ``database`` with ``sys.argv[1:]`` set; forked, where its environment is as that of others."""
    global _started_with
    environment = os.environ | {"DATABASE_URL": database} | env
    told = {name: value for name, value in environment.items() if name != "PYTEST_CURRENT_TEST"}
    words = tuple(map(str, arguments))
    if not env and _started_with in (None, told):
        if _started_with is None:
            _start_server(database)
            _started_with = told
        return Program(code, words)
    return subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )


def run_manage(*arguments: str, database: str, folder: Path = ROOT) -> tuple[int | None, str, str]:
    """How ``manage.py`` ends in ``folder`` on ``database``, and what it says on stdout and stderr."""
    code = f"""
import os, runpy, sys
sys.argv[0] = "manage.py"
os.chdir({str(folder)!r})
runpy.run_path({str(ROOT / "manage.py")!r}, run_name="__main__")
"""
    program = start_program(code, *arguments, database=database)
    said, errors = program.communicate(timeout=PATIENCE)
    return program.returncode, said, errors


def _start_server(database: str) -> None:
    from multiprocessing.forkserver import ensure_running

    before = os.environ["DATABASE_URL"]
    os.environ["DATABASE_URL"] = database
    try:
        ensure_running()
    finally:
        os.environ["DATABASE_URL"] = before


def _run(code: str, arguments: tuple[str, ...], *pipes: Connection) -> None:
    name_sessions()
    for number, pipe in enumerate(pipes):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    sys.argv = ["-c", *arguments]
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, "<program of a test>", "exec"), space)  # noqa: S102 - the tests' own code
