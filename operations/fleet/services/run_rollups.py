"""Keeping an agent's minutes, hours and days up: what a run adds, and takes back when it changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db import connection

from agent_factory_site.common.db.bulk import Addition, write_all
from agent_factory_site.common.db.prepared import Asked
from agent_factory_site.common.db.slots import free_slot, slot_asked
from operations.fleet.models import TIERS, Run, RunLatency
from operations.slo.domain.histogram import LARGEST, bucket_of

from .run_rows import EPOCH, MICRO_SECONDS, RunRow

_SPACE: Final = 0x666C6565
"""The name of these sums among those that take slots."""
_MEASURES: Final = (
    "started", "ended", "failed", "cancelled", "lost", "timed", "latency", "calls", "failed_calls", "tool_calls",
)  # fmt: skip
_KEYS: Final = ("agent_id", "bucket", "slot")
_TYPES: Final = ("uuid", "int4", "int2", *("int8",) * len(_MEASURES))
_LATENCY_KEYS: Final = ("agent_id", "tier", "bucket", "range", "slot")
_LATENCY_TYPES: Final = ("uuid", "int4", "int4", "int2", "int2", "int8")


Changes = Sequence[tuple[RunRow | None, RunRow | None]]
"""Runs as they were (None: not there) and as they are (None: no more)."""


def add_to_rollups(changes: Changes) -> None:
    """Add the difference that ``changes`` make. Rows shared with other writers are locked from here on."""
    write_all(connection, rollup_writes(changes))


def run_slot_asked() -> list[Asked]:
    """The slot that this transaction adds to, to be asked together with others; ``slot_of`` reads the answer."""
    return slot_asked(_SPACE)


def rollup_writes(changes: Changes, slot: int | None = None) -> list[Addition]:
    """What :func:`add_to_rollups` adds, for who writes it together with others; ``slot`` where it is known."""
    sums: dict[int, dict[tuple[object, int], list[int]]] = {tier: {} for tier in TIERS}
    latencies: dict[tuple[object, int, int, int], int] = defaultdict(int)
    for before, after in changes:
        for row, sign in ((before, -1), (after, 1)):
            if row is None:
                continue
            measures = _measures(row)
            second = _second(row.started_at)
            for tier, places in sums.items():
                have = places.setdefault((row.agent_id, second // tier), [0] * len(_MEASURES))
                for place, value in enumerate(measures):
                    have[place] += sign * value
            if row.latency is not None:
                number = bucket_of(min(row.latency / MICRO_SECONDS, LARGEST))
                for tier in (3600, 86_400):
                    latencies[row.agent_id, tier, second // tier, number] += sign
    writes = []
    for tier, table in TIERS.items():
        rows = [(key, values) for key, values in sums[tier].items() if any(values)]
        if rows:
            slot = free_slot(_SPACE) if slot is None else slot
            values = sorted((agent, bucket, slot, *values) for (agent, bucket), values in rows)
            writes.append(Addition(table._meta.db_table, _KEYS, _MEASURES, _TYPES, values))
    counted = sorted((key, runs) for key, runs in latencies.items() if runs)
    if counted:
        slot = free_slot(_SPACE) if slot is None else slot
        rows_ = [(*key, slot, runs) for key, runs in counted]
        table_ = RunLatency._meta.db_table
        writes.append(Addition(table_, _LATENCY_KEYS, ("runs",), _LATENCY_TYPES, rows_))
    return writes


def _second(at: datetime) -> int:
    return int((at - EPOCH).total_seconds() // 1)


def _measures(row: RunRow) -> tuple[int, ...]:
    status = row.status
    return (
        1,
        int(status != Run.Status.RUNNING),
        int(status == Run.Status.FAILED),
        int(status == Run.Status.CANCELLED),
        int(status == Run.Status.LOST),
        int(row.latency is not None),
        row.latency or 0,
        row.calls,
        row.failed_calls,
        row.tool_calls,
    )
