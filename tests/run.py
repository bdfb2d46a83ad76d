#!/usr/bin/env python3
"""The whole test run: ``make test``, or ``python tests/run.py [--only DATABASE] [pytest arguments]``.

Everything runs on SQLite, and what depends on the database runs on PostgreSQL too; where there are two
processors, both at the same time, and beside them what asks no database. ``DATABASE_URL`` (postgres://…)
and ``REDIS_URL`` name servers to use; without them servers of its own are started and stopped again.
``SLOW=1`` adds the long proofs, ``COVERAGE=1`` measures coverage.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests import servers  # noqa: E402 - the path is set above

STOP_SECONDS = 30
ALONE = {"SQLite": "not postgres_only", "PostgreSQL": "not sqlite_only and not once"}
# At once: what asks no database fills the time in which the tests of the others wait.
NEITHER = "No database"
TOGETHER = {**ALONE, "SQLite": "not postgres_only and not pure", NEITHER: "pure"}


@dataclass
class Pass:
    """One pytest run on one database."""

    name: str
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    seconds: float = 0.0
    exit: int = -1
    outcomes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def start(self, arguments: list[str], *, chosen: str, quiet: bool) -> None:
        """Start pytest on the tests ``chosen`` by their marks; ``quiet`` keeps its output in a file."""
        self.folder.mkdir()
        environment = os.environ | self.environment
        environment |= {"TMPDIR": str(self.folder), "TEST_RESULTS": str(self.folder / "results.json")}
        command = [sys.executable, "-m"]
        if os.environ.get("COVERAGE"):
            command += ["coverage", "run", f"--data-file={ROOT / '.coverage'}", "-m"]
        command += ["pytest", "-p", "tests.results", "-m", chosen]
        command += ["-o", f"cache_dir={self.folder / 'cache'}", "--durations=10"]
        if sys.stdout.isatty():
            command.append("--color=yes")
        output = self.output.open("wb") if quiet else None
        self.process = subprocess.Popen(
            command + arguments,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A group of its own, so that what a test started can be stopped with it.
            start_new_session=True,
            preexec_fn=servers.die_with_parent(signal.SIGINT),
        )

    def finish(self) -> None:
        """Wait for the end, showing output that is kept in a file as it grows."""
        assert self.process is not None
        if self.output.exists():
            with self.output.open("rb") as output:
                while True:
                    over = self.process.poll() is not None
                    shutil.copyfileobj(output, sys.stdout.buffer)
                    sys.stdout.flush()
                    if over:
                        break
                    with suppress(subprocess.TimeoutExpired):
                        self.process.wait(0.5)
        self.exit = self.process.wait()
        self.stop(signal.SIGKILL)
        with suppress(OSError, ValueError):
            result = json.loads((self.folder / "results.json").read_text())
            self.outcomes, self.reasons = result["outcomes"], result["reasons"]
            self.seconds = result["seconds"]

    def stop(self, how: signal.Signals) -> None:
        """Signal the whole group, and with it whatever a test left behind."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, how)

    def count(self, outcome: str) -> int:
        return sum(each == outcome for each in self.outcomes.values())


def main() -> int:
    """Run the tests; 0 when all passed and at least one ran."""
    parser = argparse.ArgumentParser(description="Run every test; other arguments go to pytest.")
    parser.add_argument("--only", choices=["sqlite", "postgres"], help="run on this database alone")
    options, arguments = parser.parse_known_args()
    signal.signal(signal.SIGTERM, _terminate)
    began = time.monotonic()
    passes: list[Pass] = []
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(servers.scratch_folder("af-test-"))
            compile_once(os.environ, folder)
            passes += _plan(options.only, folder, stack)
            stack.callback(_stop_all, passes)
            _run(passes, arguments)
    except servers.ServerError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    return _report(passes, time.monotonic() - began)


def compile_once(environment: MutableMapping[str, str], folder: Path) -> None:
    """Keep compiled code in ``folder`` where it may not be kept beside its source.

    Tests start hundreds of processes, and a third of what each does is compiling Django.
    """
    if environment.pop("PYTHONDONTWRITEBYTECODE", ""):
        environment.setdefault("PYTHONPYCACHEPREFIX", str(folder / "bytecode"))


def _plan(only: str | None, folder: Path, stack: ExitStack) -> list[Pass]:
    """The runs to make, with the servers they need."""
    given = os.environ.pop("DATABASE_URL", "")
    postgres = given if given.startswith(("postgres://", "postgresql://")) else ""
    passes = []
    if redis := os.environ.get("REDIS_URL"):
        print(f"Redis: {redis.rpartition('@')[2]} (REDIS_URL)")
    if only != "postgres":
        passes.append(Pass("SQLite", folder / "s", {}))
    if only != "sqlite":
        if postgres:
            print(f"PostgreSQL: {postgres.rpartition('@')[2]} (DATABASE_URL)")
        else:
            server = stack.enter_context(servers.postgres(folder))
            postgres = server.url
            print(server.description)
        passes.append(Pass("PostgreSQL", folder / "p", {"DATABASE_URL": postgres}))
    if len(passes) == 2 and _processors() > 1:
        passes.append(Pass(NEITHER, folder / "n", {"TEST_LANE": "2"}))
    if not redis:
        server = stack.enter_context(servers.redis(folder))
        print(server.description)
        os.environ["REDIS_URL"] = server.url
    return passes


def _run(passes: list[Pass], arguments: list[str]) -> None:
    at_once = any(each.name == NEITHER for each in passes)
    chosen = TOGETHER if at_once else ALONE
    if at_once:
        print("All at once; the output of each follows that of the one before.", flush=True)
        for index, each in enumerate(passes):
            each.start(arguments, chosen=chosen[each.name], quiet=index > 0)
    for each in passes:
        print(f"\n=== {each.name} ===", flush=True)
        if not at_once:
            each.start(arguments, chosen=chosen[each.name], quiet=False)
        each.finish()


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stop_all(passes: list[Pass]) -> None:
    """Ask every run that is still there to end, and make it."""
    left = [each for each in passes if each.process is not None and each.process.poll() is None]
    for each in left:
        each.stop(signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    for each in left:
        assert each.process is not None
        with suppress(subprocess.TimeoutExpired):
            each.process.wait(max(0.0, deadline - time.monotonic()))
        each.stop(signal.SIGKILL)
        each.process.wait()


def _report(passes: list[Pass], seconds: float) -> int:
    if os.environ.get("COVERAGE"):
        subprocess.run([sys.executable, "-m", "coverage", "combine", "--quiet"], cwd=ROOT, check=True)
        subprocess.run([sys.executable, "-m", "coverage", "report"], cwd=ROOT, check=True)
    print("\n=== Summary ===")
    for each in passes:
        print(
            f"{each.name}: {each.count('passed')} passed, {each.count('failed')} failed,"
            f" {each.count('skipped')} skipped in {each.seconds:.0f} s (pytest ended with {each.exit})"
        )
    if len(passes) > 1:
        print("Tests about one database ran there; those that depend on none ran once.")
    for outcome in ("skipped", "failed"):
        by_test: dict[tuple[str, str], list[str]] = {}
        for each in passes:
            for test, found in each.outcomes.items():
                if found == outcome:
                    by_test.setdefault((test, each.reasons.get(test, "")), []).append(each.name)
        for (test, reason), where in by_test.items():
            print(f"{outcome} on {', '.join(where)}: {test}{': ' if reason else ''}{reason}")
    passed, failed, skipped = (sum(p.count(o) for p in passes) for o in ("passed", "failed", "skipped"))
    # pytest ends with 5 where the arguments name no test of that run.
    broken = [each.name for each in passes if each.exit not in (0, 1, 5) or (each.exit == 1 and not failed)]
    for name in broken:
        print(f"The run on {name} did not come to its end.")
    if not passed + failed:
        print("No test ran.")
    print(f"Took {seconds:.0f} s.")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or broken or not passed else 0


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
