"""Adding events to the rollups, in the transaction that appends them to the ledger."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection

from agent_factory_site.common.db.bulk import upsert_add
from financial.domain.rollups import QUARTER_SECONDS, fold_days, sum_quarters
from financial.models import CostFacetRollupDay, CostFacetRollupQuarter, CostRollupDay, CostRollupQuarter
from financial.models.cost_event import USAGE_FIELDS

SLOTS: Final = 8
ADD_COLUMNS: Final = ("events", "unpriced", "amount", "base_amount", *USAGE_FIELDS)
ADD_TYPES: Final = ("bigint",) * len(ADD_COLUMNS)
KEY_COLUMNS: Final = ("entity_id", "bucket", "series_id", "slot")
KEY_TYPES: Final = ("bigint", "int", "bigint", "smallint")
FACET_KEY_COLUMNS: Final = ("entity_id", "dimension_id", "bucket", "facet_id", "series_id", "slot")
FACET_KEY_TYPES: Final = ("bigint", "bigint", "int", "bigint", "bigint", "smallint")

Event = tuple[Sequence[Any], datetime, int, tuple[int, ...]]
"""Owners (entities, or entities under facets), time, series, and values as ``ADD_COLUMNS``."""


def writer_slot() -> int:
    """The slot this thread of this process adds to, so that concurrent writers rarely share a row.

    SQLite has one writer at a time: one slot.
    """
    if connection.vendor == "sqlite":
        return 0
    return (os.getpid() ^ threading.get_ident() >> 12) % SLOTS


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
        types = (*KEY_TYPES, *ADD_TYPES)
        upsert_add(connection, model._meta.db_table, KEY_COLUMNS, ADD_COLUMNS, types, rows)


def add_to_facet_rollups(events: Sequence[Event]) -> None:
    """Add ``events`` to the quarter hours and days of their entities under each facet."""
    quarters = _quarters(events)
    slot = writer_slot()
    for model, sums in ((CostFacetRollupQuarter, quarters), (CostFacetRollupDay, fold_days(quarters))):
        rows = [
            (owner.entity, owner.dimension, bucket, owner.facet, series, slot, *sums[owner, bucket, series])
            for owner, bucket, series in sorted(sums)
        ]
        types = (*FACET_KEY_TYPES, *ADD_TYPES)
        upsert_add(connection, model._meta.db_table, FACET_KEY_COLUMNS, ADD_COLUMNS, types, rows)
