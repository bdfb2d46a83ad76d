"""How long small writers wait beside one that holds the database for 60 ms of every 62, on SQLite.

The same processes with the queue of ``common.db.sqlite.turns`` and without it, in turn: SQLite's own
lock is polled at growing intervals, and the busy writer nearly always finds it free first.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Final

from django.db import connection, transaction

from agent_factory_site.common.db.sqlite import base
from tests.processes import Child

from .outcome import Outcome
from .rounds import percentile

ROUNDS: Final = 3
SECONDS: Final = 6.0
WRITERS: Final = 4
HELD: Final = 0.060
PREPARING: Final = 0.002
PAUSE: Final = 0.005
UNCONTENDED: Final = 2000


def main() -> list[Outcome]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE fairness (id INTEGER PRIMARY KEY, who INTEGER)")
    connection.close()
    waits: dict[bool, list[float]] = {True: [], False: []}
    held: dict[bool, int] = {True: 0, False: 0}
    for _ in range(ROUNDS):
        for fair in (True, False):
            found, count = _beside_a_busy_writer(fair)
            waits[fair] += found
            held[fair] += count
    cost = {True: float("inf"), False: float("inf")}
    for _ in range(ROUNDS):
        for fair in (True, False):
            cost[fair] = min(cost[fair], Child(_alone, fair).result())
    return [
        Outcome(
            f"{name} wait of a small write beside a writer of {HELD * 1e3:.0f} ms transactions",
            of(waits[False]) / of(waits[True]),
            "x shorter with the queue",
            ">=",
            bar,
            f"{of(waits[True]) * 1e3:.0f} ms of {len(waits[True])} writes with the queue,"
            f" {of(waits[False]) * 1e3:.0f} ms of {len(waits[False])} without; the busy writer committed"
            f" {held[True]} and {held[False]} times",
        )
        for name, of, bar in (
            ("median", median, 2.0),
            ("p99", lambda values: percentile(values, 0.99), 5.0),
        )
    ] + [
        Outcome(
            "what the queue adds to an uncontended transaction",
            (cost[True] - cost[False]) * 1e6,
            "us",
            "<=",
            50.0,
            f"{cost[True] * 1e6:.0f} us with it, {cost[False] * 1e6:.0f} us without",
        )
    ]


def _beside_a_busy_writer(fair: bool) -> tuple[list[float], int]:
    until = time.monotonic() + SECONDS
    busy = Child(_busy, fair, until)
    writers = [Child(_small, fair, until, number) for number in range(WRITERS)]
    waits = [wait for writer in writers for wait in writer.result(SECONDS + 60)]
    return waits, busy.result(60)


def _choose(fair: bool) -> None:
    base.AVAILABLE = fair  # type: ignore[misc]


def _write(number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO fairness (who) VALUES (%s)", [number])


def _busy(child: Child, fair: bool, until: float) -> int:
    _choose(fair)
    count = 0
    while time.monotonic() < until:
        with transaction.atomic():
            _write(-1)
            time.sleep(HELD)
        count += 1
        time.sleep(PREPARING)
    return count


def _small(child: Child, fair: bool, until: float, number: int) -> list[float]:
    _choose(fair)
    waits = []
    while time.monotonic() < until:
        asked = time.perf_counter()
        with transaction.atomic():
            waits.append(time.perf_counter() - asked)
            _write(number)
        time.sleep(PAUSE)
    return waits


def _alone(child: Child, fair: bool) -> float:
    """Seconds per transaction of one insert."""
    _choose(fair)
    _write(0)
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(UNCONTENDED // 5):
            with transaction.atomic():
                _write(0)
        best = min(best, (time.perf_counter() - began) / (UNCONTENDED // 5))
    return best
