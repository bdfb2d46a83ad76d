"""UUIDv7 identifiers (RFC 9562, section 5.7): sortable by the time they were made."""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last = 0
_COUNTER_BITS = 12


def _reset_after_fork() -> None:
    # A forked child must not share the parent's lock state.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_reset_after_fork)


def uuid7_batch(count: int) -> list[UUID]:
    """``count`` strictly increasing UUIDv7s of this process.

    48 bits of Unix milliseconds, a 12-bit counter that carries into the milliseconds when it
    overflows (RFC 9562, section 6.2, method 1), and 62 random bits.
    """
    global _last
    now = (time.time_ns() // 1_000_000) << _COUNTER_BITS
    with _lock:
        first = max(now, _last + 1)
        _last = first + count - 1
    noise = os.urandom(8 * count)
    ids = []
    for index in range(count):
        tick = first + index
        rand = int.from_bytes(noise[8 * index : 8 * index + 8], "big") & 0x3FFF_FFFF_FFFF_FFFF
        ids.append(
            UUID(int=(tick >> _COUNTER_BITS) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0x2 << 62 | rand)
        )
    return ids


def uuid7() -> UUID:
    """One UUIDv7."""
    return uuid7_batch(1)[0]
