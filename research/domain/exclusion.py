"""Dividing an exclusion group: ranges of thousandths that do not overlap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

WHOLE: Final = 1000

Part = tuple[int, int]
"""Half-open, in thousandths."""


def gaps(taken: Iterable[Part]) -> list[Part]:
    """What ``taken`` leaves free, in order."""
    free: list[Part] = []
    end = 0
    for start, until in sorted(taken):
        if start > end:
            free.append((end, start))
        end = max(end, until)
    if end < WHOLE:
        free.append((end, WHOLE))
    return free


def largest_gap(taken: Iterable[Part]) -> int:
    """The length of the longest free piece."""
    return max((end - start for start, end in gaps(taken)), default=0)


def free_range(taken: Iterable[Part], share: int | None) -> Part | None:
    """The first free piece of ``share`` thousandths; without a share half of the longest. None without room."""
    free = gaps(taken)
    if share is None:
        if not free:
            return None
        start, end = max(free, key=lambda part: part[1] - part[0])
        return start, start + max(1, (end - start) // 2)
    return next(((start, start + share) for start, end in free if end - start >= share), None)
