"""How a check stands after a result: it takes several in a row to change its mind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

UNKNOWN: Final = "unknown"
PASSING: Final = "passing"
FAILING: Final = "failing"


@dataclass(frozen=True, slots=True)
class Standing:
    """The state, and how many results of one kind came last."""

    state: str = UNKNOWN
    failures: int = 0
    successes: int = 0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Results in a row that make a check failing, and passing again; at least 1 each."""

    failures: int
    successes: int


def after(standing: Standing, ok: bool, thresholds: Thresholds) -> Standing:
    """The standing after one more result.

    What is unknown passes with its first success: there is nothing yet to recover from.
    """
    failures = 0 if ok else standing.failures + 1
    successes = standing.successes + 1 if ok else 0
    state = standing.state
    if failures >= thresholds.failures:
        state = FAILING
    elif ok and (state == UNKNOWN or successes >= thresholds.successes):
        state = PASSING
    return Standing(state, failures, successes)


def next_due(due: datetime, interval: timedelta, now: datetime) -> datetime:
    """The next time after ``now`` on the grid of ``interval`` through ``due``: what was missed is not made up."""
    if due > now:
        return due
    return due + ((now - due) // interval + 1) * interval


def missed(due: datetime, interval: timedelta, now: datetime) -> int:
    """How many heartbeats that were due at ``due`` and every ``interval`` after have not come by ``now``."""
    return 0 if due > now else (now - due) // interval + 1


def status_fits(status: int, expected: Iterable[str]) -> bool:
    """Whether an HTTP status is one of ``expected``, such as ``200`` or ``200-299``."""
    for item in expected:
        first, _, last = item.partition("-")
        if int(first) <= status <= int(last or first):
            return True
    return False
