"""Whether a run reported more than was charged.

The same usage may be told three times: by spans, by steps over the API, and as the usage of the whole run. One of
them charges it. Each of the others is held against what was charged by itself: their sum says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

SPANS: Final = "spans"
STEPS: Final = "steps"


class Compared(NamedTuple):
    """What a run reported and was not charged by it, by who told it; nano-units, None where nobody did."""

    spans: int | None = None
    steps: int | None = None
    whole: int | None = None

    @property
    def most(self) -> int | None:
        """What the one that told most told; None where nothing is compared."""
        told = [one for one in self if one is not None]
        return max(told) if told else None


def sum_of(one: int | None, other: int | None) -> int | None:
    """The sum of what is known."""
    return other if one is None else one if other is None else one + other


def together(one: Compared, other: Compared) -> Compared:
    """What two reports come to, each way by itself."""
    return Compared(*(sum_of(a, b) for a, b in zip(one, other, strict=True)))


def is_under_reported(compared: Compared, charged: Mapping[str, int], steps: int) -> bool:
    """Whether one way told of more than the ledger has, beyond what rounding each step once can make.

    ``charged`` is the net of the run's costs by the way that told of them: what spans or steps were charged
    with stands beside what they were not. The usage of a whole run has all of it within.
    """
    total = sum(charged.values())
    beside = {SPANS: charged.get(SPANS, 0), STEPS: charged.get(STEPS, 0)}
    told = [
        0 if one is None else one + beside.get(way, 0)
        for way, one in zip((SPANS, STEPS, ""), compared, strict=True)
    ]
    return compared.most is not None and max(told) > total + max(steps, 1)
