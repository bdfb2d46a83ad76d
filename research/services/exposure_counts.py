"""What assignments add to the exposures per day, in the transaction that writes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

from agent_factory_site.common.db.bulk import Addition, write_all
from agent_factory_site.common.db.slots import free_slot
from research.models import Assignment, ExposureDay

DAY: Final = 86_400
_SLOTS: Final = 0x61665F65
"""The name space of the slots of exposure counts."""
_KEYS: Final = ("experiment_id", "phase_id", "variant_id", "day", "slot")
_KEY_TYPES: Final = ("uuid", "bigint", "bigint", "int", "smallint")
_SUMS: Final = ("units", "double_exposed")


class Counted(NamedTuple):
    """Where a unit is counted: its phase, its arm, and the day of its first exposure."""

    phase: int
    variant: int
    day: int


def counted(assignment: Assignment) -> Counted:
    """Where the unit of an assignment is counted."""
    day = int(assignment.first_exposed_at.timestamp()) // DAY
    return Counted(assignment.phase_id, assignment.variant_id, day)


def exposed(experiment: UUID, phase: int | None, rows: Collection[tuple[Any, ...]]) -> list[Addition]:
    """What new rows of assignments add; overrides are not counted."""
    sums = Counter((phase, row[2], int(row[4].timestamp()) // DAY) for row in rows if not row[5])
    return _addition(experiment, [(*key, count, 0) for key, count in sorted(sums.items())])


def double_exposed(experiment: UUID, units: Iterable[Counted]) -> list[Addition]:
    """What units add that turn out to have been seen in another arm as well; they stay counted in their own."""
    return _addition(experiment, [(*key, 0, count) for key, count in sorted(Counter(units).items())])


def subtract_exposure(assignment: Assignment) -> None:
    """Take a unit that is left out of the analysis from now on out of the counts; in the caller's transaction."""
    row = (*counted(assignment), -1, -1 if assignment.double_exposed else 0)
    write_all(connection, _addition(assignment.experiment_id, [row]))


def _addition(experiment: UUID, sums: Collection[tuple[Any, ...]]) -> list[Addition]:
    if not sums:
        return []
    slot = free_slot(_SLOTS)
    rows = [(experiment, phase, variant, day, slot, *added) for phase, variant, day, *added in sums]
    types = (*_KEY_TYPES, "bigint", "bigint")
    return [Addition(ExposureDay._meta.db_table, _KEYS, _SUMS, types, rows)]
