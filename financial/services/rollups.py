"""Adding events to the rollups, in the transaction that appends them to the ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection

from agent_factory_site.common.db.bulk import OutOfRange, upsert_add
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
    "SELECT slot FROM generate_series(0, %s) AS slot WHERE pg_try_advisory_xact_lock(%s, slot) LIMIT 1"
)
ADD_COLUMNS: Final = ("events", "unpriced", "amount", "base_amount", *USAGE_FIELDS)
ADD_TYPES: Final = ("bigint",) * len(ADD_COLUMNS)
KEY_COLUMNS: Final = ("entity_id", "bucket", "series_id", "slot")
KEY_TYPES: Final = ("bigint", "int", "bigint", "smallint")
FACET_KEY_COLUMNS: Final = ("entity_id", "dimension_id", "bucket", "facet_id", "series_id", "slot")
FACET_KEY_TYPES: Final = ("bigint", "bigint", "int", "bigint", "bigint", "smallint")

Event = tuple[Sequence[Any], datetime, int, tuple[int, ...]]
"""Owners (entities, or entities under facets), time, series, and values as ``ADD_COLUMNS``."""


def writer_slot() -> int:
    """The slot this transaction adds to until it ends: the lowest that no other one adds to now.

    So concurrent writers share no row, and a ledger that is written by one at a time has one row per
    key to read. Should all slots be taken, one is shared by waiting for its rows. SQLite has one writer
    at a time: one slot.
    """
    if connection.vendor == "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_FREE_SLOT, [SLOTS - 1, _SLOT_LOCKS])
        row = cursor.fetchone()
    return int(row[0]) if row else os.getpid() % SLOTS


RollupModel = (
    type[CostRollupQuarter] | type[CostRollupDay] | type[CostFacetRollupQuarter] | type[CostFacetRollupDay]
)


class RollupOutOfRange(OutOfRange):
    """One of the rollups would pass 64 bits; which one is found out by :func:`naming_sums`."""

    def __init__(
        self, model: RollupModel, key_columns: Sequence[str], rows: Sequence[tuple[int, ...]]
    ) -> None:
        super().__init__()
        self.model = model
        self.key_columns = key_columns
        self.rows = rows


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
    keys = len(error.key_columns)
    stored = {
        row[:keys]: row[keys:]
        for start in range(0, len(error.rows), 200)
        for row in _stored(error, error.rows[start : start + 200])
    }
    for row in error.rows:
        before = stored.get(row[:keys], (0,) * len(ADD_COLUMNS))
        for name, value, addend in zip(ADD_COLUMNS, before, row[keys:], strict=True):
            if not -MAX_NANO - 1 <= value + addend <= MAX_NANO:
                return f"{name} of {_words(error.model, dict(zip(error.key_columns, row, strict=False)))}"
    # Another writer took something off it in between.
    return "a rollup"


def _stored(error: RollupOutOfRange, rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    wanted = {f"{name}__in": {row[index] for row in rows} for index, name in enumerate(error.key_columns)}
    found = error.model._default_manager.filter(**wanted)
    return list(found.values_list(*error.key_columns, *ADD_COLUMNS))


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


def _upsert(
    model: RollupModel, key_columns: Sequence[str], types: Sequence[str], rows: Sequence[tuple[int, ...]]
) -> None:
    try:
        upsert_add(connection, model._meta.db_table, key_columns, ADD_COLUMNS, (*types, *ADD_TYPES), rows)
    except OutOfRange as error:
        raise RollupOutOfRange(model, key_columns, rows) from error


def _quarters(events: Sequence[Event]) -> dict[Any, list[int]]:
    return sum_quarters(
        (owners, int(occurred_at.timestamp()) // QUARTER_SECONDS, series, values)
        for owners, occurred_at, series, values in events
    )


def add_to_rollups(events: Sequence[Event], fleet: int) -> None:
    """Add ``events`` to the quarter hours and days of their entities.

    Rows are locked in one order everywhere, the fleet's, which every writer wants, last.
    """
    quarters = _quarters(events)
    slot = writer_slot()
    for model, sums in ((CostRollupQuarter, quarters), (CostRollupDay, fold_days(quarters))):
        ordered = sorted(sums, key=lambda key: (key[0] == fleet, key))
        rows = [(*key, slot, *sums[key]) for key in ordered]
        _upsert(model, KEY_COLUMNS, KEY_TYPES, rows)


def add_to_facet_rollups(events: Sequence[Event]) -> None:
    """Add ``events`` to the quarter hours and days of their entities under each facet."""
    quarters = _quarters(events)
    slot = writer_slot()
    for model, sums in ((CostFacetRollupQuarter, quarters), (CostFacetRollupDay, fold_days(quarters))):
        rows = [
            (owner.entity, owner.dimension, bucket, owner.facet, series, slot, *sums[owner, bucket, series])
            for owner, bucket, series in sorted(sums)
        ]
        _upsert(model, FACET_KEY_COLUMNS, FACET_KEY_TYPES, rows)
