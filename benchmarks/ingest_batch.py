"""Batches of 1,000 LLM events, priced, idempotent and rolled up, against writing ready rows.

The baseline writes the very rows that the service recorded (one of ``financial_costevent``, one of
``financial_costeventkey`` and four of ``financial_costattribution`` per event) into empty tables with
the same columns, indexes and constraints, in one transaction. It prices nothing, looks nothing up,
tells no repeats and writes no rollups.
"""

from __future__ import annotations

import time
from collections import deque
from statistics import median
from typing import Any, Final

from django.db import connection

from financial.models import CostEvent, CostRollupDay, CostRollupQuarter
from financial.services.record_costs import record_costs

from .ledger_rows import RawCopy, RawExecutemany, Rows
from .outcome import Outcome
from .rounds import interleave, milliseconds, ratio
from .traffic import NARROW, WIDE, Fleet, costs, take

BATCH: Final = 1000
ROUNDS: Final = 16
WARM_UP: Final = 3
FLOOR: Final = 5000

Raw = RawCopy | RawExecutemany


def main() -> list[Outcome]:
    on_sqlite = connection.vendor == "sqlite"
    raw = RawExecutemany() if on_sqlite else _faster_copy()
    found: list[Outcome] = []
    for seed, (fleet, bar) in enumerate(((WIDE, 0.15), (NARROW, 0.30)), start=2):
        found.extend(_measure(fleet, seed, raw, 0.2 if on_sqlite else bar))
    return found


def _faster_copy() -> Raw:
    """Binary or text, whichever writes the same batch faster here."""
    source = costs(WIDE, seed=1)
    candidates: dict[str, Raw] = {format: RawCopy(format) for format in ("binary", "text")}
    taken: dict[str, list[float]] = {format: [] for format in candidates}
    for _ in range(4):
        record_costs(costs=take(source, BATCH))
        rows = {format: raw.newest(BATCH) for format, raw in candidates.items()}
        for format, raw in candidates.items():
            began = time.perf_counter()
            raw.write(rows[format])
            taken[format].append(time.perf_counter() - began)
    fastest = min(candidates, key=lambda format: min(taken[format]))
    candidates[fastest].name = f"{fastest} COPY"
    return candidates[fastest]


def _measure(fleet: Fleet, seed: int, raw: Raw, bar: float) -> list[Outcome]:
    source = costs(fleet, seed)
    waiting = deque(take(source, BATCH) for _ in range(WARM_UP + ROUNDS))
    recorded: deque[Rows] = deque()

    def service() -> None:
        outcome = record_costs(costs=waiting.popleft())
        assert len(outcome.accepted) == BATCH, next(iter(outcome.rejected.values()))

    def baseline() -> None:
        # The rows of the round before, so that either may go first.
        raw.write(recorded.popleft())

    for turn in range(WARM_UP):
        service()
        recorded.append(raw.newest(BATCH))
        if turn:
            baseline()
    before = CostEvent.objects.count()
    taken = interleave(
        {"service": service, "baseline": baseline}, ROUNDS, lambda: recorded.append(raw.newest(BATCH))
    )
    assert CostEvent.objects.count() == before + ROUNDS * BATCH
    assert not CostEvent.objects.filter(unpriced=True).exists()
    rate = BATCH / median(taken["service"])
    keys, days = _rollup_rows(fleet, seed)
    shape = f"{keys} rollup rows by quarter hour and {days} by day in a batch"
    return [
        Outcome(
            f"1,000 events against {raw.name} of their rows; {shape}",
            ratio(taken["baseline"], taken["service"]),
            f"x of {raw.name}",
            ">=",
            bar,
            f"a batch takes {milliseconds(taken['service'])}, "
            f"{raw.name} of its rows {milliseconds(taken['baseline'])}",
        ),
        Outcome(f"the same, events per second; {shape}", rate, "events/s", ">=", FLOOR),
    ]


def _rollup_rows(fleet: Fleet, seed: int) -> tuple[Any, Any]:
    """How many rollup rows a batch touches, worked out from its events."""
    batch = take(costs(fleet, seed), BATCH)
    touched: set[tuple[Any, ...]] = set()
    for cost in batch:
        for entity in ((cost.entity_type, cost.entity_id), *cost.entities.items(), ("*", "*")):
            touched.add((entity, cost.model, int(cost.occurred_at.timestamp()) // 900))
    assert CostRollupQuarter.objects.exists()
    assert CostRollupDay.objects.exists()
    days = {(entity, model, quarter // 96) for entity, model, quarter in touched}
    return len(touched), len(days)
