"""Adding events to the rollups, in the transaction that appends them to the ledger."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db import connection

from agent_factory_site.common.db.bulk import Addition, Insert, OutOfRange, write_all
from agent_factory_site.common.db.prepared import Asked, ask_all
from agent_factory_site.common.errors import Conflict
from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import MAX_NANO
from financial.domain.rollups import QUARTER_SECONDS, fold_days, sum_quarters
from financial.models import (
    CostFacetDimension,
    CostFacetRollupDay,
    CostFacetRollupQuarter,
    CostRollupDay,
    CostRollupQuarter,
    CostSeries,
)
from financial.models.cost_event import USAGE_FIELDS

SLOTS: Final = 8
_SLOT_LOCKS: Final = 0x61665F73
"""The name space of the advisory locks of slots."""
_FREE_SLOT: Final = (
    "(SELECT slot FROM generate_series(0, %s) AS slot WHERE pg_try_advisory_xact_lock(%s, slot) LIMIT 1)"
)
ADD_COLUMNS: Final = ("events", "unpriced", "amount", "base_amount", *USAGE_FIELDS)
ADD_TYPES: Final = ("bigint",) * len(ADD_COLUMNS)
KEY_COLUMNS: Final = ("entity_id", "bucket", "series_id", "slot")
KEY_TYPES: Final = ("bigint", "int", "bigint", "smallint")
_DIMENSION: Final = ("id", "owner_type", "dimension")
FACET_KEY_COLUMNS: Final = ("entity_id", "dimension_id", "bucket", "facet_id", "series_id", "slot")
FACET_KEY_TYPES: Final = ("bigint", "bigint", "int", "bigint", "bigint", "smallint")

Event = tuple[Sequence[Any], datetime, int, tuple[int, ...]]
"""Owners (entities, or entities under facets), time, series, and values as ``ADD_COLUMNS``."""


class RollupPlan(NamedTuple):
    """What a transaction that records costs adds to: its slot, the dimensions that have facet rollups, the budgets.

    ``budgets`` is the token of their revision.
    """

    slot: int
    dimensions: list[CostFacetDimension]
    budgets: Hashable


def rollup_plan() -> RollupPlan:
    """The present dimensions and budgets, and the slot this transaction adds to, in one statement."""
    return plan_of(ask_all(plan_asked())[0])


def plan_asked() -> Asked:
    """:func:`rollup_plan`, to be asked together with others; :func:`plan_of` reads the answer.

    Asked after the transaction's first write to the ledger: whoever adds a dimension or a budget waits for
    writers that have not seen it. The slot is the lowest that no other transaction adds to now, so that
    concurrent writers share no row, and a ledger that is written by one at a time has one row per key
    to read. Should all slots be taken, one is shared by waiting for its rows. SQLite has one writer at a
    time: one slot.
    """
    slot, parameters = ("0", ()) if connection.vendor == "sqlite" else (_FREE_SLOT, (SLOTS - 1, _SLOT_LOCKS))
    # Asked in every batch, also of one event: a queryset takes four times as long as its statement.
    return Asked(
        f"SELECT {slot}, (SELECT token FROM financial_budgetrevision), {', '.join(_DIMENSION)}"  # noqa: S608
        f" FROM (SELECT 1) AS one LEFT JOIN {CostFacetDimension._meta.db_table} ON true ORDER BY id",
        parameters,
    )


def plan_of(rows: Sequence[tuple[Any, ...]]) -> RollupPlan:
    """The plan that the answer to :func:`plan_asked` tells of."""
    found, token = rows[0][:2]
    return RollupPlan(
        os.getpid() % SLOTS if found is None else int(found),
        [
            CostFacetDimension.from_db(connection.alias, _DIMENSION, row)
            for _, _, *row in rows
            if row[0] is not None
        ],
        token,
    )


RollupModel = (
    type[CostRollupQuarter] | type[CostRollupDay] | type[CostFacetRollupQuarter] | type[CostFacetRollupDay]
)


@dataclass(frozen=True, slots=True)
class RollupRows:
    """Rows to add to one kind of rollup, in the order in which they are locked: keys, then ``ADD_COLUMNS``."""

    model: RollupModel
    key_columns: Sequence[str]
    key_types: Sequence[str]
    rows: Sequence[tuple[int, ...]]

    def addition(self) -> Addition:
        types = (*self.key_types, *ADD_TYPES)
        return Addition(self.model._meta.db_table, self.key_columns, ADD_COLUMNS, types, self.rows)


class RollupOutOfRange(OutOfRange):
    """One of the rollups would pass 64 bits; which one is found out by :func:`naming_sums`."""

    def __init__(self, rollups: Sequence[RollupRows]) -> None:
        super().__init__()
        self.rollups = rollups


@contextmanager
def naming_sums() -> Iterator[None]:
    """Refuse a sum past 64 bits by its name; stands around the transaction, which is over by then."""
    try:
        yield
    except RollupOutOfRange as error:
        if connection.needs_rollback:
            raise
        raise Conflict(
            "sum_out_of_range",
            f"The sum of {_passing(error)} would pass 64 bits: nothing of this batch was recorded.",
        ) from error


def _passing(error: RollupOutOfRange) -> str:
    for rollup in error.rollups:
        keys = len(rollup.key_columns)
        stored = {
            row[:keys]: row[keys:]
            for start in range(0, len(rollup.rows), 200)
            for row in _stored(rollup, rollup.rows[start : start + 200])
        }
        for row in rollup.rows:
            before = stored.get(row[:keys], (0,) * len(ADD_COLUMNS))
            for name, value, addend in zip(ADD_COLUMNS, before, row[keys:], strict=True):
                if not -MAX_NANO - 1 <= value + addend <= MAX_NANO:
                    key = dict(zip(rollup.key_columns, row, strict=False))
                    return f"{name} of {_words(rollup.model, key)}"
    # Another writer took something off it in between.
    return "a rollup"


def _stored(rollup: RollupRows, rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    wanted = {f"{name}__in": {row[index] for row in rows} for index, name in enumerate(rollup.key_columns)}
    found = rollup.model._default_manager.filter(**wanted)
    return list(found.values_list(*rollup.key_columns, *ADD_COLUMNS))


def _words(model: RollupModel, key: Mapping[str, int]) -> str:
    entity = Entity.objects.get(pk=key["entity_id"])
    whose = "the fleet" if entity.type == "*" else f"{entity.type}/{entity.key}"
    if "dimension_id" in key:
        whose += f" by {CostFacetDimension.objects.get(pk=key['dimension_id']).dimension}"
    series = CostSeries.objects.get(pk=key["series_id"])
    if model in (CostRollupDay, CostFacetRollupDay):
        return f"{whose} over {datetime.fromtimestamp(key['bucket'] * 86_400, UTC):%Y-%m-%d} UTC ({series})"
    start = datetime.fromtimestamp(key["bucket"] * QUARTER_SECONDS, UTC)
    return f"{whose} over the quarter hour from {start:%Y-%m-%d %H:%M} UTC ({series})"


def _quarters(events: Sequence[Event]) -> dict[Any, list[int]]:
    return sum_quarters(
        (owners, int(occurred_at.timestamp()) // QUARTER_SECONDS, series, values)
        for owners, occurred_at, series, values in events
    )


def write_with_rollups(
    inserts: Sequence[Insert], rollups: Sequence[RollupRows], asked: Sequence[Asked] = ()
) -> list[list[tuple[Any, ...]]]:
    """Write ``inserts``, then add to ``rollups``: rows that other writers share are locked last.

    Answers what is ``asked`` after that.
    """
    try:
        return write_all(connection, [*inserts, *[each.addition() for each in rollups]], asked)
    except OutOfRange as error:
        raise RollupOutOfRange(rollups) from error


def rollup_rows(events: Sequence[Event], fleet: int, slot: int) -> list[RollupRows]:
    """What ``events`` add to the quarter hours and days of their entities.

    Rows are in one order everywhere, the fleet's, which every writer wants, last.
    """
    quarters = _quarters(events)
    found = []
    for model, sums in ((CostRollupQuarter, quarters), (CostRollupDay, fold_days(quarters))):
        ordered = sorted(sums, key=lambda key: (key[0] == fleet, key))
        rows = [(*key, slot, *sums[key]) for key in ordered]
        found.append(RollupRows(model, KEY_COLUMNS, KEY_TYPES, rows))
    return found


def facet_rollup_rows(events: Sequence[Event], slot: int) -> list[RollupRows]:
    """What ``events`` add to the quarter hours and days of their entities under each facet."""
    quarters = _quarters(events)
    found = []
    for model, sums in ((CostFacetRollupQuarter, quarters), (CostFacetRollupDay, fold_days(quarters))):
        rows = [
            (owner.entity, owner.dimension, bucket, owner.facet, series, slot, *sums[owner, bucket, series])
            for owner, bucket, series in sorted(sums)
        ]
        found.append(RollupRows(model, FACET_KEY_COLUMNS, FACET_KEY_TYPES, rows))
    return found


def add_to_facet_rollups(events: Sequence[Event]) -> None:
    """Add ``events`` to the quarter hours and days of their entities under each facet."""
    write_with_rollups([], facet_rollup_rows(events, rollup_plan().slot))
