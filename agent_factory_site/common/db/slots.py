"""Slots: several rows of one key, so that concurrent writers of a sum share none; readers add them up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from django.db import connection

from .prepared import Asked, ask_all

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
    return slot_of(ask_all(*slot_asked(space)))


def slot_asked(space: int) -> list[Asked]:
    """:func:`free_slot`, to be asked together with others, if it has to be; :func:`slot_of` reads the answer."""
    return [] if connection.vendor == "sqlite" else [Asked(_FREE, [SLOTS - 1, space])]


def slot_of(answers: Sequence[Sequence[tuple[Any, ...]]]) -> int:
    """The slot that the answers to :func:`slot_asked` tell of."""
    for rows in answers:
        return int(rows[0][0]) if rows else os.getpid() % SLOTS
    return 0
