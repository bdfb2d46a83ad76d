"""One program, kept running: started, restarted with growing pauses, stopped, never left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import IO, Final

from .programs import Program

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 30.0
STEADY: Final = 30.0
"""Seconds after which a program counts as healthy, and its next crash as the first."""

_PR_SET_PDEATHSIG: Final = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Child:
    """The process of a program; it leads a process group of its own."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.crashes = 0
        self.restart_at: float | None = None

    @property
    def running(self) -> bool:
        return self.process is not None

    @property
    def pid(self) -> int | None:
        """The id of the process, and of its group, while it runs."""
        return self.process.pid if self.process else None

    @property
    def output(self) -> IO[bytes]:
        """What the running process writes."""
        if self.process is None or self.process.stdout is None:
            raise RuntimeError(f"{self.program.name} does not run")
        return self.process.stdout

    def start(self) -> None:
        """Start the program, its output on a pipe; it dies with us, however we end."""
        parent = os.getpid()

        def die_with_parent() -> None:
            if _libc is not None:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
                if os.getppid() != parent:
                    os._exit(1)

        self.process = subprocess.Popen(
            self.program.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.program.environment},
            # A group of its own: Ctrl-C reaches the supervisor alone, which stops in the right order.
            start_new_session=True,
            # Safe here: the supervisor has no threads when it starts a program.
            preexec_fn=die_with_parent,
        )
        self.started_at = time.monotonic()
        self.restart_at = None

    def ask_to_stop(self) -> None:
        """Ask the program to stop."""
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End the program and everything it started, at once."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def reap(self) -> int | None:
        """The exit status if the process has ended since it was started, after clearing its group."""
        if self.process is None:
            return None
        # Looks without reaping: as long as the leader is a zombie, its group id cannot be reused.
        if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.kill()
        status = self.process.wait()
        self.process = None
        return status

    def schedule_restart(self) -> float:
        """Plan the next start; the pause doubles with each crash in a row. Returns the pause."""
        now = time.monotonic()
        self.crashes = 1 if now - self.started_at >= STEADY else self.crashes + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.crashes - 1))
        self.restart_at = now + pause
        return pause
