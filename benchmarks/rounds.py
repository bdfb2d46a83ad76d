"""Timing alternatives in turn, so that a busy moment of the machine falls on all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median


def interleave(
    alternatives: Mapping[str, Callable[[], object]],
    rounds: int,
    after_each: Callable[[], object] = lambda: None,
) -> dict[str, list[float]]:
    """Seconds per call of each alternative, ``rounds`` of each; every other round in reverse order.

    ``after_each`` runs after each round and is not timed.
    """
    taken: dict[str, list[float]] = {name: [] for name in alternatives}
    order = list(alternatives)
    for _ in range(rounds):
        for name in order:
            gc.collect()
            began = time.perf_counter()
            alternatives[name]()
            taken[name].append(time.perf_counter() - began)
        order.reverse()
        after_each()
    return taken


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios round by round: less moved by a busy machine than the ratio of medians."""
    return median(above / below for above, below in zip(numerators, denominators, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def milliseconds(seconds: Sequence[float]) -> str:
    """Median and 90th percentile as text."""
    return f"{median(seconds) * 1e3:.1f} ms (p90 {percentile(seconds, 0.9) * 1e3:.1f})"
