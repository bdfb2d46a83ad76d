"""Eight processes that record costs of the same entities at once, against one of them alone.

At idle they record batches of 1,000; where a commit waits for its flush, batches of 10 and single costs,
as agents that report for themselves send. SQLite has one writer: there the question is whether everybody
gets a turn, and how long one cost, sent every 20 ms, waits beside an import.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import OperationalError, connection, connections

from agent_factory_site.common.actors import Actor, acting
from financial.domain.import_profiles.profile import ImportOptions
from financial.services.import_costs import import_costs
from financial.services.import_report import ImportWatch
from financial.services.record_costs import record_costs
from tests.processes import Child

from .outcome import Outcome
from .rounds import milliseconds, percentile
from .traffic import WIDE, cost_bodies, costs, take

PROCESSES: Final = 8
ROUNDS: Final = 4
LARGE: Final = 1000
SMALL: Final = 10
LARGE_BATCHES: Final = 16
SMALL_BATCHES: Final = 240
SINGLE_COSTS: Final = 400
SMALL_WRITES: Final = 200
PAUSE: Final = 0.020
SMALL_WRITE_BAR: Final = 250.0
IMPORTED_ROWS: Final = 200_000
LIMIT: Final = 120.0


def main() -> list[Outcome]:
    if connection.vendor == "sqlite":
        return [*_side_by_side(SMALL, SMALL_BATCHES, None), *_small_beside_import()]
    if _flush_delay():
        return [
            _commit_seconds(),
            *_side_by_side(SMALL, SMALL_BATCHES, 3.0),
            *_side_by_side(1, SINGLE_COSTS, 3.0),
        ]
    return [_commit_seconds(), *_side_by_side(LARGE, LARGE_BATCHES, 1.4)]


def _side_by_side(size: int, batches: int, bar: float | None) -> list[Outcome]:
    before = _deadlocks()
    total = batches * ROUNDS
    children = [
        # The first one also works alone.
        _start(_worker, size, (total if number == 0 else 0) + total // PROCESSES + 4, 100 * size + number)
        for number in range(PROCESSES)
    ]
    alone: list[float] = []
    together: list[float] = []
    errors = 0
    _together(children, 4)
    for _ in range(ROUNDS):
        seconds, failed = _together(children[:1], batches)
        alone.append(seconds)
        errors += failed
        seconds, failed = _together(children, batches // PROCESSES)
        together.append(seconds)
        errors += failed
    for child in children:
        child.say(0)
        child.result()
    events = batches * size
    outcomes = [
        Outcome(
            f"{PROCESSES} processes against one, {_sizes(size)} on the same entities",
            median(one / eight for one, eight in zip(alone, together)),
            "x of one process",
            ">=",
            bar,
            f"{events / median(alone):,.0f} events/s in one process, "
            f"{events / median(together):,.0f} in {PROCESSES}",
        ),
        Outcome(
            f"refused by the database of these {2 * batches * ROUNDS:,} writes",
            errors,
            '"locked"' if connection.vendor == "sqlite" else "errors",
            "<=",
            0,
        ),
    ]
    if before is not None:
        # Those that were retried count as well.
        outcomes.append(Outcome("deadlocks meanwhile", (_deadlocks() or 0) - before, "deadlocks", "<=", 0))
    return outcomes


def _small_beside_import() -> list[Outcome]:
    bulk = _start(_import, IMPORTED_ROWS, 7)
    small = _start(_one_by_one, SMALL_WRITES, 8)
    small.say("go")
    idle, _ = small.hear(LIMIT)
    bulk.say("go")
    small.say("go")
    taken, errors = small.hear(LIMIT)
    bulk.say("stop")
    rows, seconds = bulk.result(LIMIT)
    small.result()
    return [
        Outcome(
            "p99 of recording one cost beside the import of a file",
            percentile(taken, 0.99) * 1e3,
            "ms",
            "<=",
            SMALL_WRITE_BAR,
            f"{milliseconds(taken)}, longest {max(taken) * 1e3:.0f} ms; without it {milliseconds(idle)}; "
            f"meanwhile {rows / seconds:,.0f} rows/s were imported",
        ),
        Outcome(f"of these {SMALL_WRITES} single costs, refused", errors, "errors", "<=", 0),
    ]


def _sizes(size: int) -> str:
    return "single costs" if size == 1 else f"batches of {size:,}"


def _start(work: Any, *args: Any) -> Child:
    """A child that is ready to begin."""
    connections.close_all()
    child = Child(work, *args)
    assert child.hear(LIMIT) == "ready"
    return child


def _together(children: list[Child], batches: int) -> tuple[float, int]:
    """Seconds until all children have recorded so many batches each, and how many were refused."""
    began = time.perf_counter()
    for child in children:
        child.say(batches)
    errors = sum(child.hear(LIMIT) for child in children)
    return time.perf_counter() - began, errors


def _worker(child: Child, size: int, batches: int, seed: int) -> None:
    source = costs(WIDE, seed)
    waiting = [take(source, size) for _ in range(batches)]
    child.say("ready")
    with acting(Actor.system("benchmark")):
        while count := child.hear(LIMIT):
            errors = 0
            for _ in range(count):
                errors += _refused(waiting.pop())
            child.say(errors)


def _import(child: Child, rows: int, seed: int) -> tuple[int, float]:
    """Import a file until told to stop: rows imported, and seconds."""
    path = Path(settings.VAR_DIR) / "bulk.jsonl"
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(body) + b"\n" for body in take(cost_bodies(WIDE, seed), rows))
    child.say("ready")
    child.hear(LIMIT)
    began = time.perf_counter()
    with acting(Actor.system("benchmark")):
        watch = ImportWatch(should_stop=child.spoken_to)
        report = import_costs(path=path, profile="generic", options=ImportOptions(), watch=watch)
    assert not report.complete, "the file was too short to be imported beside all of the small writes"
    return report.counts.accepted, time.perf_counter() - began


def _one_by_one(child: Child, writes: int, seed: int) -> None:
    source = costs(WIDE, seed)
    with acting(Actor.system("benchmark")):
        record_costs(costs=take(source, 1000))
        child.say("ready")
        for _ in range(2):
            child.hear(LIMIT)
            taken = []
            errors = 0
            for batch in [take(source, 1) for _ in range(writes)]:
                began = time.perf_counter()
                errors += _refused(batch)
                taken.append(time.perf_counter() - began)
                # Else most of them would fall into the pauses between two transactions of the import.
                time.sleep(PAUSE)
            child.say((taken, errors))


def _refused(batch: list[Any]) -> int:
    try:
        assert len(record_costs(costs=batch).accepted) == len(batch)
    except OperationalError:
        return 1
    return 0


def _flush_delay() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SHOW commit_delay")
        return str(cursor.fetchone()[0]) != "0"


def _commit_seconds() -> Outcome:
    """How long the smallest commit takes: what the flush costs here."""
    taken = []
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS flushed (number integer)")
        for number in range(200):
            began = time.perf_counter()
            cursor.execute("INSERT INTO flushed VALUES (%s)", [number])
            taken.append(time.perf_counter() - began)
    return Outcome(
        "inserting and committing one integer", median(taken) * 1e3, "ms", aside=milliseconds(taken)
    )


def _deadlocks() -> int | None:
    if connection.vendor == "sqlite":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
