"""Who adds to the sums of an experiment, and who works them out anew, do not meet."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db import connection

from agent_factory_site.common.db.prepared import Asked

_SPACE: Final = 0x61665F6B
"""The name space of the locks; a transaction that only adds shares one."""


def still_asked(experiment: UUID) -> list[Asked]:
    """:func:`hold_sums_still` of one who adds, to be asked together with others; nothing on SQLite."""
    if connection.vendor == "sqlite":
        return []
    return [Asked("SELECT pg_advisory_xact_lock_shared(%s, %s)", [_SPACE, _number(experiment)])]


def hold_sums_still(experiment: UUID, *, alone: bool = False) -> None:
    """Until the transaction ends nobody rebuilds these sums; with ``alone`` nobody adds to them either.

    SQLite has one writer at a time.
    """
    if connection.vendor == "sqlite":
        return
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s, %s)", [_SPACE, _number(experiment)])


def _number(experiment: UUID) -> int:
    # The last bits of a UUIDv7 are random; experiments that share them wait for each other's rebuild.
    return experiment.int & 0x7FFF_FFFF
