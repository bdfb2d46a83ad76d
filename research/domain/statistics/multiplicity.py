"""Several comparisons at once: adjusted p-values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Correction = Literal["none", "holm", "bh"]


def adjusted(p_values: Sequence[float | None], correction: Correction) -> list[float | None]:
    """Adjusted p-values in the order given, to be compared with alpha as they are; None stays None and
    counts for nothing.
    """
    known = [(p, index) for index, p in enumerate(p_values) if p is not None]
    for p, _ in known:
        if not 0 <= p <= 1:
            raise ValueError(f"a p-value must lie between 0 and 1, not {p}")
    found: list[float | None] = [None] * len(p_values)
    if correction == "none":
        return list(p_values)
    if correction == "holm":
        values = holm([p for p, _ in known])
    elif correction == "bh":
        values = benjamini_hochberg([p for p, _ in known])
    else:
        raise ValueError(f"unknown correction {correction}")
    for (_, index), value in zip(known, values):
        found[index] = value
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down: ``max over j <= i of min(1, (m - j + 1) p_(j))``. Holds the family-wise error rate (Holm
    1979).
    """
    m = len(p_values)
    found, largest = [0.0] * m, 0.0
    for rank, index in enumerate(sorted(range(m), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (m - rank) * p_values[index]))
        found[index] = largest
    return found


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Step-up: ``min over j >= i of m p_(j) / j``. Holds the false discovery rate (Benjamini & Hochberg
    1995).
    """
    m = len(p_values)
    found, smallest = [0.0] * m, 1.0
    order = sorted(range(m), key=p_values.__getitem__)
    for rank in range(m, 0, -1):
        index = order[rank - 1]
        smallest = min(smallest, p_values[index] * m / rank)
        found[index] = smallest
    return found
