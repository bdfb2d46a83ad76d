"""The looks of a group sequential experiment that are still to come."""

from __future__ import annotations

from collections.abc import Sequence

from .looks import next_planned
from .statistics.group_sequential import boundaries
from .statistics.spending import Spending


def boundaries_ahead(
    taken: Sequence[float], looks: int, alpha: float, spending: Spending
) -> list[tuple[float, float]]:
    """Shares and boundaries in z of the looks still to come, if each is taken where it is planned."""
    last = taken[-1] if taken else 0.0
    ahead: list[float] = []
    while (share := next_planned((*taken, *ahead), looks)) > last:
        ahead.append(share)
        last = share
    if not ahead:
        return []
    bounds = boundaries((*taken, *ahead), alpha, spending, final=True)
    return list(zip(ahead, bounds[len(taken) :], strict=True))
