"""What one comparison has seen at each look, where looks are planned by the information of another.

Looks are taken by one clock, the share of the information planned for the primary metric. Two things depend on a
comparison's own information, ``1 / SE^2``: how its z at one look goes with that at another (the correlation of looks
j < k is ``sqrt(I_j / I_k)``), and how much alpha it has earned the right to spend. A spending function may be asked at
any moment that does not depend on the effect seen (Lan & DeMets 1989, "Group sequential procedures: calendar versus
information time"); here it is asked at the share of the clock, or at the comparison's own share of what its own mde
asks for where that is less. A metric whose information comes late keeps its alpha for the looks at which it has come,
and none has spent all of it before the last look.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

LEAST_GROWTH: Final = 1.01
"""From look to look; where information grows by less, it is taken to have grown as the clock did."""


class LookPoint(NamedTuple):
    """A look as one comparison saw it: the share at which spending was asked, and information."""

    time: float
    information: float


def look_path(
    before: Sequence[LookPoint] | None, clock: Sequence[float], information: float, planned: float | None
) -> tuple[LookPoint, ...]:
    """The looks so far, the present one with ``information`` last; by the ``clock`` alone where earlier ones are not
    known, or ``before`` is None.

    ``planned`` is the information that the comparison's own mde asks for, None without one.
    """
    if before is not None and len(before) == len(clock):
        return tuple(before)
    if before is None or len(before) != len(clock) - 1 or not math.isfinite(information):
        return tuple(LookPoint(share, share) for share in clock)
    share = clock[-1] if planned is None else min(clock[-1], information / planned)
    if not before:
        return (LookPoint(share, information),)
    last = before[-1]
    grown = max(LEAST_GROWTH, clock[-1] / clock[-2])
    if information < last.information * LEAST_GROWTH:
        # A spread that was underestimated: fewer looks that go together cost less than too many that do not.
        information = last.information * grown
    return (*before, LookPoint(max(last.time, share), information))
