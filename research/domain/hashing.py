"""GrowthBook's published hash, so that their SDKs put a unit into the same bucket.

FNV-1a with 32 bits over the UTF-16 code units of a text (http://www.isthe.com/chongo/tech/comp/fnv). Version 2
hashes twice and has 10,000 buckets; version 1 has 1,000 and is used for exclusion groups alone, as theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

BUCKETS: Final = 10_000
NAMESPACE_BUCKETS: Final = 1_000
_BASIS: Final = 0x811C9DC5
_PRIME: Final = 0x01000193
_MASK: Final = 0xFFFFFFFF

Range = tuple[float, float]
"""Half-open, within ``[0, 1)``."""


def _code_units(text: str) -> Iterable[int]:
    if text.isascii():
        return text.encode()
    data = text.encode("utf-16-le", "surrogatepass")
    return [data[i] | data[i + 1] << 8 for i in range(0, len(data), 2)]


def fold(state: int, text: str) -> int:
    """The state of FNV-1a after ``text``, from the state before it."""
    for unit in _code_units(text):
        state = ((state ^ unit) * _PRIME) & _MASK
    return state


def fnv1a32(text: str) -> int:
    """FNV-1a of a text, 0 to 2**32 - 1."""
    return fold(_BASIS, text)


def seed_state(seed: str) -> int:
    """What :func:`unit_interval_from` continues from; worth keeping, as one seed serves many units."""
    return fold(_BASIS, seed)


def unit_interval_from(state: int, value: str) -> float:
    """Version 2 of the hash of ``value`` under the seed of ``state``: a multiple of 0.0001 in ``[0, 1)``."""
    return (fold(_BASIS, str(fold(state, value))) % BUCKETS) / BUCKETS


def unit_interval(seed: str, value: str) -> float:
    """Version 2 of the hash: a multiple of 0.0001 in ``[0, 1)``."""
    return unit_interval_from(seed_state(seed), value)


def namespace_interval(group: str, value: str) -> float:
    """Where ``value`` lies in an exclusion group (version 1): a multiple of 0.001 in ``[0, 1)``."""
    return (fold(_BASIS, f"{value}__{group}") % NAMESPACE_BUCKETS) / NAMESPACE_BUCKETS


def bucket_ranges(weights: Sequence[float], coverage: float) -> tuple[Range, ...]:
    """The range of each arm: it begins where the weights before it end and is as long as weight times coverage.

    So arms grow in place with the coverage, and no unit changes its arm.
    """
    ranges = []
    start = 0.0
    for weight in weights:
        ranges.append((start, start + coverage * weight))
        start += weight
    return tuple(ranges)


def choose(interval: float, ranges: Sequence[Range]) -> int | None:
    """The arm whose range holds ``interval``; None beyond the coverage."""
    for arm, (start, end) in enumerate(ranges):
        if start <= interval < end:
            return arm
    return None
