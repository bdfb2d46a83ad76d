"""Values counted in ranges whose width grows with the value: quantiles within 1 %, however many values there are.

The logarithmic ranges of DDSketch (Masson, Rim & Lee 2019, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees"). Counts are whole numbers: sketches are added, merged and taken off each other exactly, in
any order. The bounds of the ranges are worked out in decimal arithmetic and looked up, not computed with a logarithm
at every value, so that a value that is taken back comes off the range it was put in, on any machine.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Final

import numpy as np
import numpy.typing as npt

ACCURACY: Final = 0.01
SMALLEST: Final = 1e-9
"""Values closer to zero than this are counted as zero."""
LARGEST: Final = 1e12
"""Values further from zero than this are refused."""
_FORMAT: Final = 1


def _bounds() -> tuple[float, ...]:
    context = Context(prec=60)
    gamma = context.divide(Decimal("1.01"), Decimal("0.99"))
    bound, bounds = Decimal("1e-9"), [SMALLEST]
    while bounds[-1] < LARGEST:
        bound = context.multiply(bound, gamma)
        bounds.append(float(bound))
    return tuple(bounds)


BOUNDS: Final = _bounds()
"""Range ``n`` (from 1) holds the sizes in ``(BOUNDS[n-1], BOUNDS[n]]``; the smallest size is in range 1 too."""
_BOUNDS: Final = np.array(BOUNDS)


def bucket_of(value: float) -> int:
    """The number of the range that ``value`` lies in: 0 around zero, negative for negative values.

    Raises ``ValueError`` for what is not finite or too large.
    """
    size = abs(value)
    if not size <= LARGEST:
        raise ValueError(f"{value!r} cannot be counted: sizes go up to {LARGEST:g}")
    if size < SMALLEST:
        return 0
    number = max(1, bisect_left(BOUNDS, size))
    return number if value > 0 else -number


def buckets_of(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """:func:`bucket_of` each value of an array."""
    array = np.asarray(values, dtype=np.float64)
    sizes = np.abs(array)
    if not np.all(sizes <= LARGEST):
        raise ValueError(f"values that are not finite or beyond {LARGEST:g} cannot be counted")
    numbers = np.maximum(np.searchsorted(_BOUNDS, sizes, side="left"), 1)
    signed: npt.NDArray[np.int64] = np.where(sizes < SMALLEST, 0, np.sign(array) * numbers).astype(np.int64)
    return signed


def value_of(bucket: int) -> float:
    """The value that is within 1 % of every value in a range."""
    if bucket == 0:
        return 0.0
    return math.copysign(BOUNDS[abs(bucket)] * (1 - ACCURACY), bucket)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values lie in each range; no range is kept with a count of 0.

    Counts below 0 are corrections on their way to a bucket.
    """

    counts: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: Histogram) -> Histogram:
        return merge((self, other))

    def __sub__(self, other: Histogram) -> Histogram:
        return merge((self,), (other,))

    def __bool__(self) -> bool:
        return bool(self.counts)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts.values())

    def quantile(self, q: float) -> float | None:
        """The smallest value with at least ``q`` of all at or below it (Hyndman & Fan 1996 type 1), within 1 %.

        None where nothing was counted.
        """
        if not 0 <= q <= 1:
            raise ValueError("a quantile is from 0 to 1")
        total = self.total
        if total <= 0:
            return None
        rank = max(1, math.ceil(q * total - 1e-9))
        below = 0
        for bucket in sorted(self.counts):
            below += self.counts[bucket]
            if below >= rank:
                return value_of(bucket)
        raise ValueError("counts below zero have no quantiles")

    def share_at_most(self, limit: float) -> float | None:
        """The share of values up to ``limit``, for any limit within 1 % of it; None where nothing was counted."""
        total = self.total
        if total <= 0:
            return None
        last = bucket_of(limit)
        return sum(count for bucket, count in self.counts.items() if bucket <= last) / total

    def encode(self) -> bytes:
        """A few bytes a range: a format byte, then variable-length integers; ``b""`` for nothing."""
        if not self.counts:
            return b""
        out = bytearray((_FORMAT,))
        previous = 0
        for bucket in sorted(self.counts):
            for signed in (bucket - previous, self.counts[bucket]):
                rest = signed << 1 if signed >= 0 else (-signed << 1) - 1
                while rest > 0x7F:
                    out.append(rest & 0x7F | 0x80)
                    rest >>= 7
                out.append(rest)
            previous = bucket
        return bytes(out)


EMPTY: Final = Histogram()


def decode(data: bytes | memoryview | None) -> Histogram:
    """What :meth:`Histogram.encode` wrote; ``ValueError`` for anything else."""
    data = bytes(data or b"")
    if not data:
        return EMPTY
    if data[0] != _FORMAT or data[-1] > 0x7F:
        raise ValueError("these bytes are no histogram")
    numbers: list[int] = []
    value = shift = 0
    for byte in data[1:]:
        value |= (byte & 0x7F) << shift
        if byte > 0x7F:
            shift += 7
            continue
        numbers.append(-((value + 1) >> 1) if value & 1 else value >> 1)
        value = shift = 0
    counts: dict[int, int] = {}
    bucket = 0
    for step, count in zip(numbers[::2], numbers[1::2]):
        bucket += step
        if abs(bucket) >= len(BOUNDS) or count == 0 or bucket in counts:
            raise ValueError("these bytes are no histogram")
        counts[bucket] = count
    if len(numbers) % 2:
        raise ValueError("these bytes are no histogram")
    return Histogram(counts)


def merge(plus: Iterable[Histogram], minus: Iterable[Histogram] = ()) -> Histogram:
    """All of ``plus`` together without all of ``minus``."""
    counts: dict[int, int] = {}
    for sign, histograms in ((1, plus), (-1, minus)):
        for histogram in histograms:
            for bucket, count in histogram.counts.items():
                counts[bucket] = counts.get(bucket, 0) + sign * count
    return Histogram({bucket: count for bucket, count in counts.items() if count})


def count_values(values: npt.ArrayLike) -> Histogram:
    """The histogram of a batch of values."""
    buckets, counts = np.unique(buckets_of(values), return_counts=True)
    return Histogram(dict(zip(buckets.tolist(), counts.tolist())))


def count_groups(
    groups: npt.ArrayLike, values: npt.ArrayLike, weights: Sequence[int] | npt.NDArray[np.int64] | None = None
) -> dict[int, Histogram]:
    """The histogram of each group of a batch, by the group's number (0 to 2**40).

    ``weights`` are whole numbers, -1 for a value that is taken back; without them each value counts once.
    """
    numbers = np.asarray(groups, dtype=np.int64)
    if not numbers.size:
        return {}
    width = 2 * len(BOUNDS)
    cells = numbers * width + buckets_of(values) + len(BOUNDS)
    found, where = np.unique(cells, return_inverse=True)
    sums = np.zeros(found.size, dtype=np.int64)
    np.add.at(sums, where, 1 if weights is None else np.asarray(weights, dtype=np.int64))
    result: dict[int, dict[int, int]] = {}
    for cell, count in zip(found.tolist(), sums.tolist()):
        group, bucket = divmod(cell, width)
        counts = result.setdefault(group, {})
        if count:
            counts[bucket - len(BOUNDS)] = count
    return {group: Histogram(counts) for group, counts in result.items()}
