"""What an OTLP trace request says, decoded and bounded: spans with where they came from, and what was refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

Value = str | int | float | bool | bytes | list["Value"] | dict[str, "Value"] | None
Attributes = dict[str, Value]

UNSET: Final = 0
OK: Final = 1
ERROR: Final = 2

MAX_TIME: Final = 2**63 - 1
"""Nanoseconds: what a signed 64-bit column holds, in the year 2262."""


class Bounds(NamedTuple):
    """How much of a request is taken in; what is beyond is cut off and counted, or refused.

    Sizes are bytes for bodies and characters for text. ``body`` holds before and after decompression.
    """

    body: int = 64 * 1024 * 1024
    spans: int = 100_000
    attributes: int = 1024
    events: int = 128
    items: int = 256
    depth: int = 8
    key: int = 256
    text: int = 16 * 1024
    name: int = 255


BOUNDS: Final = Bounds()

Wanted = Callable[[str], bool]
"""Whether an attribute of this name is to be kept; the others are neither copied nor decoded."""


class Origin(msgspec.Struct, frozen=True, gc=False, eq=False):
    """The resource and the instrumentation scope that spans have in common."""

    resource: Attributes
    scope: str = ""
    scope_version: str = ""


class Event(msgspec.Struct, frozen=True, gc=False):
    """A span's event. ``time`` is nanoseconds since 1970, 0 when it was not given."""

    name: str
    time: int
    attributes: Attributes


class Span(msgspec.Struct, frozen=True, gc=False):
    """One span. Ids are 16 and 8 bytes, ``parent_id`` is empty for a root; times are nanoseconds since 1970.

    ``dropped`` counts the attributes that were cut off, ``clock`` says that a time was missing or the
    span ended before it started; it then has the one time that can be believed as both.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    kind: int
    start: int
    end: int
    status: int
    status_message: str
    attributes: Attributes
    events: tuple[Event, ...]
    origin: Origin
    dropped: int = 0
    clock: bool = False


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A span that was refused: its place in the request, a stable code and a sentence."""

    index: int
    code: str
    detail: str


class Decoded(NamedTuple):
    """The spans of a request and what was refused; ``cut`` counts attributes beyond the bounds."""

    spans: list[Span]
    rejected: list[Rejected]
    cut: int

    @property
    def received(self) -> int:
        """How many spans the request held."""
        return len(self.spans) + len(self.rejected)


def everything(name: str) -> bool:
    """Keep every attribute."""
    return True


T = TypeVar("T")


def ends(items: Sequence[T], most: int) -> list[T]:
    """The items, or of too many the first and the last: an exception is the last of a span's events."""
    if len(items) <= most:
        return list(items)
    return [*items[: most // 2], *items[-(most // 2) :]]


def bad_ids(trace_id: bytes, span_id: bytes) -> tuple[str, str] | None:
    """What is wrong with the ids of a span: they are 16 and 8 bytes, and not all zero."""
    if len(trace_id) != 16 or not any(trace_id):
        return "bad_trace_id", "a trace id is 16 bytes that are not all zero"
    if len(span_id) != 8 or not any(span_id):
        return "bad_span_id", "a span id is 8 bytes that are not all zero"
    return None


def sound_times(start: int, end: int) -> tuple[int, int, bool] | None:
    """Start, end and whether they had to be mended; None when the span has no time that fits."""
    if 0 < start <= end <= MAX_TIME:
        return start, end, False
    start = start if 0 < start <= MAX_TIME else 0
    end = end if 0 < end <= MAX_TIME else 0
    # A span is reported when it ends: of two times that contradict each other its start is as good.
    return (start or end, start or end, True) if start or end else None
