"""Slots: several rows of one key, so that concurrent writers of a sum share none; readers add them up."""

from __future__ import annotations

import os
from typing import Final

from django.db import connection

SLOTS: Final = 8
_FREE: Final = (
    "SELECT slot FROM generate_series(0, %s) AS slot WHERE pg_try_advisory_xact_lock(%s, slot) LIMIT 1"
)


def free_slot(space: int) -> int:
    """The slot of the sums named by ``space`` that this transaction adds to until it ends.

    The lowest that no other transaction adds to now, so that what one writes at a time has one row per key.
    Should all be taken, one is shared by waiting for its rows. SQLite has one writer at a time: one slot.
    """
    if connection.vendor == "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_FREE, [SLOTS - 1, space])
        row = cursor.fetchone()
    return os.getpid() % SLOTS if row is None else int(row[0])
