"""Partitions of the ledger, made before they are needed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

from django.db import OperationalError, connection, transaction
from django.utils import timezone

from agent_factory_site.common.errors import Conflict
from financial.db.partitions import (
    is_partitioned,
    lock_ledger,
    make_partitions,
    month_of,
    months_in_default,
    months_present,
    next_month,
)

# Below PostgreSQL's deadlock_timeout of 1 s: who waits in a circle with us never has to give up.
LOCK_TIMEOUT: Final = "800ms"
ATTEMPTS: Final = 40
_NOT_AVAILABLE: Final = "55P03"

R = TypeVar("R")


def ensure_partitions(*, months_ahead: int = 2, extra: datetime | None = None) -> list[str]:
    """Make the partitions of this month, the next ``months_ahead``, those of ``extra`` and of stray rows.

    Rows of a month without a partition lie in the default partition; they move when theirs is made.
    Answers the months that were made, such as ``2026-11``. Does nothing on SQLite, and nothing that
    locks where all is there.
    """
    if connection.vendor != "postgresql":
        return []
    if not _missing(months_ahead, extra):
        return []
    return with_ledger_locked(lambda: _make(months_ahead, extra))


def with_ledger_locked(work: Callable[[], R]) -> R:
    """Run ``work`` in a transaction that holds everybody off the ledger rows (PostgreSQL).

    Waiting for the locks takes short turns, since everybody else queues behind who waits.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
                    lock_ledger(cursor)
                return work()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) != _NOT_AVAILABLE:
                raise
            if attempt == ATTEMPTS:
                raise Conflict(
                    "ledger_busy", "The ledger is in use without a pause: try again later."
                ) from error
            time.sleep(random.uniform(0, 0.4))
    raise AssertionError("unreachable: the last attempt returns or raises")


def _make(months_ahead: int, extra: datetime | None) -> list[str]:
    months = sorted(_missing(months_ahead, extra))
    if months:
        with connection.cursor() as cursor:
            make_partitions(cursor, months)
    return [f"{month:%Y-%m}" for month in months]


def _missing(months_ahead: int, extra: datetime | None) -> set[datetime]:
    month = month_of(timezone.now())
    wanted = {month}
    for _ in range(months_ahead):
        month = next_month(month)
        wanted.add(month)
    if extra:
        wanted.add(month_of(extra))
    with connection.cursor() as cursor:
        if not is_partitioned(cursor):
            raise Conflict("not_partitioned", "The ledger has no partitions yet: run manage.py migrate.")
        return (wanted | months_in_default(cursor)) - months_present(cursor)
