"""Summing events into rollup rows, in memory, before one additive write."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeVar

QUARTER_SECONDS: Final = 900
QUARTERS_PER_DAY: Final = 96

Owner = TypeVar("Owner", bound=Hashable)
"""Whose sums they are: an entity, or an entity under one facet."""

RollupKey = tuple[Owner, int, int]
"""Owner, bucket, series."""


def sum_quarters(
    events: Iterable[tuple[Sequence[Owner], int, int, tuple[int, ...]]],
) -> dict[RollupKey[Owner], list[int]]:
    """Sums per (owner, quarter hour, series).

    ``events`` are (owners that see the event, bucket, series, values); every event adds its values to
    each of its owners. Events that share owners, bucket and series are summed once before they are
    spread over the owners.
    """
    shared: dict[tuple[tuple[Owner, ...], int, int], list[int]] = {}
    for owners, bucket, series, values in events:
        key = (tuple(owners), bucket, series)
        sums = shared.get(key)
        if sums is None:
            shared[key] = list(values)
        else:
            for index, value in enumerate(values):
                if value:
                    sums[index] += value
    rollups: dict[RollupKey[Owner], list[int]] = {}
    for (owners, bucket, series), sums in shared.items():
        for owner in owners:
            _add(rollups, (owner, bucket, series), sums)
    return rollups


def fold_days(quarters: dict[RollupKey[Owner], list[int]]) -> dict[RollupKey[Owner], list[int]]:
    """The same sums per (owner, UTC day, series)."""
    days: dict[RollupKey[Owner], list[int]] = {}
    for (owner, bucket, series), sums in quarters.items():
        _add(days, (owner, bucket // QUARTERS_PER_DAY, series), sums)
    return days


def _add(rollups: dict[RollupKey[Owner], list[int]], key: RollupKey[Owner], values: list[int]) -> None:
    sums = rollups.get(key)
    if sums is None:
        rollups[key] = values.copy()
    else:
        for index, value in enumerate(values):
            if value:
                sums[index] += value
