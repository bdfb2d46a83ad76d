"""What a running system leaves on disk: the start lock and the list of its processes."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

GRACE: Final = 8.0
"""Seconds that leftovers get: more than a worker gives its tasks before they go back to their queue."""


class AlreadyRunning(Exception):
    """Another supervisor has the folder; says where it serves."""


class StartLock:
    """At most one supervisor per folder. The kernel lets go of the lock when its holder dies."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "up.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip()
            self._file.close()
            raise AlreadyRunning(holder or "it is just starting") from None
        self.describe("it is just starting")

    def describe(self, text: str) -> None:
        """What the next one to come is told."""
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()

    def release(self) -> None:
        self._file.truncate(0)
        self._file.close()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A process group as it was when it was started: an id alone may have been reused since."""

    name: str
    pid: int
    born: str

    @property
    def alive(self) -> bool:
        born = birth(self.pid)
        if born is not None:
            return born == self.born
        # The leader is gone; its id stays taken as long as others of its group live.
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


class ProcessList:
    """The process groups of the running system, for whoever has to clear up after a crash."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "processes.json"

    def write(self, processes: Iterable[tuple[str, int]]) -> None:
        """Replace the list by ``(name, pid)`` pairs of processes that live now."""
        entries = [Recorded(name, pid, birth(pid) or "") for name, pid in processes]
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps({"boot": _boot(), "processes": [asdict(entry) for entry in entries]}))
        draft.replace(self._path)

    def clear(self) -> None:
        self._path.unlink(missing_ok=True)

    def end_leftovers(self, say: Callable[[str], None]) -> None:
        """End what a supervisor that was killed has left behind; waits until it is gone."""
        try:
            stored = json.loads(self._path.read_text())
            left = [Recorded(**entry) for entry in stored["processes"] if stored["boot"] == _boot()]
        except (OSError, ValueError, TypeError, KeyError):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            left = [process for process in left if process.alive]
            if not left:
                break
            say(f"ending what was left behind: {', '.join(process.name for process in left)}")
            for process in left:
                process.signal(number)
            deadline = time.monotonic() + GRACE
            while any(process.alive for process in left) and time.monotonic() < deadline:
                time.sleep(0.02)
        self.clear()


def birth(pid: int) -> str | None:
    """When process ``pid`` was started, in the system's own words; None when it does not live."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            return None
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip() or None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
