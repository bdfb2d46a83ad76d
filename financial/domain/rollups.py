"""Summing events into rollup rows, in memory, before one additive write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

QUARTER_SECONDS: Final = 900
QUARTERS_PER_DAY: Final = 96

RollupKey = tuple[int, int, int]
"""Entity, bucket, series."""


def sum_quarters(
    events: Iterable[tuple[Sequence[int], int, int, tuple[int, ...]]],
) -> dict[RollupKey, list[int]]:
    """Sums per (entity, quarter hour, series).

    ``events`` are (entities that see the event, bucket, series, values); every event adds its
    values to each of its entities. Events that share entities, bucket and series are summed once
    before they are spread over the entities.
    """
    shared: dict[tuple[tuple[int, ...], int, int], list[int]] = {}
    for entities, bucket, series, values in events:
        key = (tuple(entities), bucket, series)
        sums = shared.get(key)
        if sums is None:
            shared[key] = list(values)
        else:
            for index, value in enumerate(values):
                if value:
                    sums[index] += value
    rollups: dict[RollupKey, list[int]] = {}
    for (entities, bucket, series), sums in shared.items():
        for entity in entities:
            _add(rollups, (entity, bucket, series), sums)
    return rollups


def fold_days(quarters: dict[RollupKey, list[int]]) -> dict[RollupKey, list[int]]:
    """The same sums per (entity, UTC day, series)."""
    days: dict[RollupKey, list[int]] = {}
    for (entity, bucket, series), sums in quarters.items():
        _add(days, (entity, bucket // QUARTERS_PER_DAY, series), sums)
    return days


def _add(rollups: dict[RollupKey, list[int]], key: RollupKey, values: list[int]) -> None:
    sums = rollups.get(key)
    if sums is None:
        rollups[key] = values.copy()
    else:
        for index, value in enumerate(values):
            if value:
                sums[index] += value
