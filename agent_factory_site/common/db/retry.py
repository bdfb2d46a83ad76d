"""Repeating a transaction that the database itself asks to repeat."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from django.db import OperationalError, connection

R = TypeVar("R")

REPEATABLE: Final = frozenset({"40001", "40P01"})
"""SQLSTATEs of a serialization failure and of a detected deadlock: nothing was done, try again."""


def retry_conflicts(work: Callable[[], R], attempts: int = 5) -> R:
    """Run ``work``, one whole transaction, again when it lost to another; other errors pass through.

    Inside a transaction of the caller there is nothing to repeat: the error belongs to the caller.
    """
    for attempt in range(1, attempts + 1):
        try:
            return work()
        except OperationalError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state not in REPEATABLE or connection.in_atomic_block or attempt == attempts:
                raise
            # Jitter, so that two losers do not meet again.
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
    raise AssertionError("unreachable: the last attempt returns or raises")
