"""Adding events to the rollups, in the transaction that appends them to the ledger."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from django.db import connection

from agent_factory_site.common.db.bulk import upsert_add
from financial.domain.rollups import QUARTER_SECONDS, RollupKey, fold_days, sum_quarters
from financial.models import CostRollupDay, CostRollupQuarter
from financial.models.cost_event import USAGE_FIELDS

SLOTS: Final = 8
KEY_COLUMNS: Final = ("entity_id", "bucket", "series_id", "slot")
ADD_COLUMNS: Final = ("events", "unpriced", "amount", "base_amount", *USAGE_FIELDS)
TYPES: Final = ("bigint", "int", "bigint", "smallint", *("bigint",) * len(ADD_COLUMNS))


def writer_slot() -> int:
    """The slot this thread of this process adds to, so that concurrent writers rarely share a row.

    SQLite has one writer at a time: one slot.
    """
    if connection.vendor == "sqlite":
        return 0
    return (os.getpid() ^ threading.get_ident() >> 12) % SLOTS


def add_to_rollups(
    events: Iterable[tuple[Sequence[int], datetime, int, tuple[int, ...]]], fleet: int
) -> None:
    """Add (entities, occurred_at, series, values) to quarter hours and days; values as ``ADD_COLUMNS``.

    Rows are locked in one order everywhere, the fleet's, which every writer wants, last.
    """
    quarters = sum_quarters(
        (entities, int(occurred_at.timestamp()) // QUARTER_SECONDS, series, values)
        for entities, occurred_at, series, values in events
    )
    slot = writer_slot()
    for model, sums in ((CostRollupQuarter, quarters), (CostRollupDay, fold_days(quarters))):
        rows = [(*key, slot, *sums[key]) for key in sorted(sums, key=lambda key: _lock_order(key, fleet))]
        upsert_add(connection, model._meta.db_table, KEY_COLUMNS, ADD_COLUMNS, TYPES, rows)


def _lock_order(key: RollupKey, fleet: int) -> tuple[bool, RollupKey]:
    return key[0] == fleet, key
