"""What a run cost with all that it called."""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection

from operations.fleet.models import Run

_TABLE: Final = Run._meta.db_table
_BELOW: Final = f"""
WITH RECURSIVE below (id) AS (
    SELECT id FROM {_TABLE} WHERE id = %s
    UNION
    SELECT called.id FROM {_TABLE} called JOIN below ON called.parent = below.id
)
SELECT COUNT(*), CAST(SUM(cost) AS bigint), CAST(SUM(unpriced) AS bigint)
FROM {_TABLE} WHERE id IN (SELECT id FROM below)
"""  # noqa: S608


class TreeCost(NamedTuple):
    """A run with those that it called, directly or not: how many, their cost in nano-units, what has no price."""

    runs: int
    cost: int
    unpriced: int


def tree_cost(run: UUID) -> TreeCost:
    """What a run cost with all that it called; whoever calls in a circle counts once."""
    key = run.hex if connection.vendor == "sqlite" else run
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [key])
        return TreeCost(*(int(value or 0) for value in cursor.fetchone()))
