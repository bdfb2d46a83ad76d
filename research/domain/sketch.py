"""Counting values in ranges whose width grows with the value, so that quantiles cost the same however many there are.

The logarithmic ranges of DDSketch (Masson, Rim & Lee 2019, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees"): the answer is within ``ACCURACY`` of the value of that rank, relative to it. Counts
are whole numbers and added, so the sketch does not depend on the order of the values nor on who counted them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

ACCURACY: Final = 0.005
SMALLEST: Final = 1e-9
"""Values closer to zero than this count as zero."""

_LOG_GAMMA: Final = math.log((1 + ACCURACY) / (1 - ACCURACY))
_MIDDLE: Final = 1 - ACCURACY
_OFFSET: Final = 1 - math.ceil(math.log(SMALLEST) / _LOG_GAMMA)
"""What makes the range of the smallest value the first."""


def bucket_of(value: float) -> int:
    """The number of the range that ``value`` lies in: 0 around zero, negative for negative values."""
    size = abs(value)
    if size < SMALLEST:
        return 0
    number = max(1, math.ceil(math.log(size) / _LOG_GAMMA) + _OFFSET)
    return number if value > 0 else -number


def value_of(bucket: int) -> float:
    """The value that is within ``ACCURACY`` of every value in a range."""
    if bucket == 0:
        return 0.0
    upper = math.exp((abs(bucket) - _OFFSET) * _LOG_GAMMA)
    return math.copysign(upper * _MIDDLE, bucket)


def quantile_estimate(counts: Mapping[int, int], q: float) -> float | None:
    """The ``q`` quantile of what was counted: the smallest value with at least ``q`` of all at or below it.

    None where nothing was counted. The rank is that of Hyndman & Fan 1996 type 1.
    """
    total = sum(counts.values())
    if not total:
        return None
    rank = max(1, math.ceil(q * total - 1e-9))
    below = 0
    for bucket in sorted(counts):
        below += counts[bucket]
        if below >= rank:
            return value_of(bucket)
    raise AssertionError("unreachable: the last range has everything at or below it")
