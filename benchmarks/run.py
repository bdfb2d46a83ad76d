"""Running benchmarks, each in a process and on a database of its own, and writing down what they found."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.servers import scratch_folder

from . import machine, postgres
from .outcome import MARK, Outcome, from_text
from .report import Section, render

ROOT: Final = Path(__file__).resolve().parents[1]
REPORT: Final = ROOT / "docs" / "benchmarks.md"
LIMIT: Final = 15 * 60
LARGE_LIMIT: Final = 3 * 3600

SQLITE: Final = "SQLite"
POSTGRES: Final = "PostgreSQL"
SLOW_FLUSH: Final = "PostgreSQL, commit flush of 2 ms"


@dataclass(frozen=True, slots=True)
class Subject:
    """A module with a ``main()``, and the databases it has something to say about."""

    name: str
    title: str
    databases: tuple[str, ...] = (SQLITE, POSTGRES)


SUBJECTS: Final = (
    Subject("ingest_batch", "Batch ingest in-process", (SQLITE, POSTGRES, SLOW_FLUSH)),
    Subject("ingest_http", "Batch ingest over HTTP", (SQLITE, POSTGRES, SLOW_FLUSH)),
    Subject("single_post", "One cost per request"),
    Subject("concurrent_ingest", "Eight processes at once", (SQLITE, POSTGRES, SLOW_FLUSH)),
    Subject("import_file", "Importing a file"),
    Subject("reads", "Reading"),
    Subject("sqlite_fairness", "Taking turns to write", (SQLITE,)),
    Subject("holds", "Holds and budgets in-process"),
    Subject("holds_http", "Holds over HTTP", (SQLITE, POSTGRES, SLOW_FLUSH)),
    Subject("forecasting", "Forecasting", (SQLITE,)),
    Subject("assignment", "Assigning units", (SQLITE,)),
    Subject("otlp", "Taking in spans"),
    Subject("ofrep", "One flag per request"),
    Subject("results", "Results of experiments"),
    Subject("slo_samples", "Samples of service levels"),
    Subject("runs_http", "Runs over HTTP"),
    Subject("result_reads", "Reading results of experiments"),
    Subject("cold_analysis", "Analysing a million units"),
    Subject("statistics", "Statistics of experiments", (SQLITE,)),
    Subject("slo_status", "Service levels"),
    Subject("peeking", "Looking again and again", (SQLITE,)),
)


@dataclass(slots=True)
class Databases:
    """Fresh databases with all tables, copied from one that was migrated once."""

    folder: Path
    server: postgres.Server
    migrated: set[str] = field(default_factory=set)
    count: int = 0

    @contextmanager
    def fresh(self, kind: str) -> Iterator[dict[str, str]]:
        """The environment of a process on a new database of ``kind``."""
        self.count += 1
        var = self.folder / f"var-{self.count}"
        var.mkdir()
        if kind == SQLITE:
            template = self.folder / "template.sqlite3"
            self._migrate(SQLITE, f"sqlite:///{template}")
            shutil.copy(template, var / "agent_factory.sqlite3")
            yield self._environment(var, f"sqlite:///{var / 'agent_factory.sqlite3'}")
            shutil.rmtree(var)
            return
        if POSTGRES not in self.migrated:
            self._migrate(POSTGRES, self.server.create_database("template", "template0", {}))
        settings = postgres.FLUSH_DELAY if kind == SLOW_FLUSH else {}
        name = f"run_{self.count}"
        yield self._environment(var, self.server.create_database(name, "template", settings))
        self.server.drop_database(name)
        shutil.rmtree(var)

    def _environment(self, var: Path, url: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        return {
            **kept,
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "agent_factory_site.settings",
            "VAR_DIR": str(var),
            "PYTHONPATH": str(ROOT),
        }

    def _migrate(self, kind: str, url: str) -> None:
        if kind in self.migrated:
            return
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, env=self._environment(self.folder, url), check=True, timeout=300)
        self.migrated.add(kind)


@contextmanager
def databases() -> Iterator[Databases]:
    """A scratch folder and a PostgreSQL server for the time of the block."""
    with scratch_folder("agent-factory-benchmarks-") as folder, postgres.running(folder) as server:
        yield Databases(folder, server)


def run_subject(subject: Subject, environment: dict[str, str], large: bool) -> list[Outcome]:
    """The outcomes of one benchmark on the database of ``environment``; RuntimeError when it fails."""
    command = [sys.executable, "-m", "benchmarks.harness", subject.name]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment | ({"LARGE": "1"} if large else {}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=LARGE_LIMIT if large else LIMIT,
    )
    found = from_text(done.stdout)
    for line in done.stdout.splitlines():
        if not line.startswith(MARK):
            print(line, flush=True)
    if done.returncode or not found:
        raise RuntimeError(f"{subject.name} ended with status {done.returncode} and {len(found)} outcomes")
    return found


def main() -> int:
    """Run what the command line names, everything without; 1 when a benchmark could not be run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("subjects", nargs="*", choices=[[], *(subject.name for subject in SUBJECTS)])
    parser.add_argument("--large", action="store_true", help="also 10^7 events: takes an hour and 20 GB")
    parser.add_argument("--database", choices=["sqlite", "postgres"], help="on one kind of database only")
    chosen = parser.parse_args()
    wanted = [subject for subject in SUBJECTS if not chosen.subjects or subject.name in chosen.subjects]
    sections: list[Section] = []
    failed = 0
    began = time.monotonic()
    busy = machine.busy()
    with databases() as made:
        version = made.server.description
        for subject in wanted:
            for kind in subject.databases:
                if chosen.database and not kind.lower().startswith(chosen.database):
                    continue
                print(f"{subject.title}, {kind}", flush=True)
                try:
                    with made.fresh(kind) as environment:
                        found = run_subject(subject, environment, chosen.large)
                except (RuntimeError, subprocess.SubprocessError) as error:
                    print(f"  failed: {error}", file=sys.stderr)
                    failed += 1
                    continue
                sections.append(Section(subject.title, kind, found))
                for outcome in found:
                    measured = f"{outcome.value:.3g} {outcome.unit}"
                    print(f"  {outcome.verdict:>6}  {measured}  {outcome.what}", flush=True)
                    if outcome.aside:
                        print(f"          {outcome.aside}", flush=True)
    seconds = time.monotonic() - began
    print(f"{seconds:.0f} s")
    if not chosen.subjects and not chosen.database and not failed:
        REPORT.write_text(render(sections, version=version, busy=busy, seconds=seconds, large=chosen.large))
        print(f"written to {REPORT.relative_to(ROOT)}")
    return 1 if failed else 0
