"""What has to be remembered of a trace's spans, so that what comes later can be fitted in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from .conventions.convention import Kind
from .reading import Reading

MAX_SPANS: Final = 10_000
"""Spans of one trace that are remembered; what comes after them is placed by its parent alone."""


class KnownSpan(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """A span of a trace, without what only its own step or cost needs. Meanings are those of ``Reading``.

    ``usage`` tells that tokens were reported and taken.
    """

    span_id: bytes
    parent_id: bytes
    kind: Kind
    start: int
    end: int
    usage: bool = False
    failed: bool = False
    error_type: str = ""
    error_message: str = ""
    agent: str = ""
    agent_named: bool = False
    agent_id: str = ""
    agent_version: str = ""
    call_id: str = ""
    run_id: str = ""
    tool: str = ""
    first_token: int | None = None
    session: str = ""
    user: str = ""
    hold_id: str = ""
    experiments: tuple[tuple[str, str], ...] = ()
    environment: str = ""
    release: str = ""
    log: bool = False
    clock: bool = False
    by_answer: bool = False


class KnownTrace(msgspec.Struct, frozen=True, gc=False):
    """All that is remembered of one trace."""

    trace_id: bytes
    spans: tuple[KnownSpan, ...] = ()


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(tuple[KnownSpan, ...])


def to_known(reading: Reading) -> KnownSpan:
    """What is remembered of a span."""
    return KnownSpan(
        reading.span_id,
        reading.parent_id,
        reading.kind,
        reading.start,
        reading.end,
        reading.usage is not None,
        reading.failed,
        reading.error_type,
        reading.error_message[:200],
        reading.agent,
        reading.agent_named,
        reading.agent_id,
        reading.agent_version,
        reading.call_id,
        reading.run_id,
        reading.tool,
        reading.first_token,
        reading.session,
        reading.user,
        reading.hold_id,
        reading.experiments,
        reading.environment,
        reading.release,
        reading.log,
        reading.clock,
        reading.by_answer,
    )


def pack(spans: Iterable[KnownSpan]) -> bytes:
    """The spans as one value of a column, some 100 bytes each."""
    return _encoder.encode(tuple(spans))


def unpack(trace_id: bytes, packed: bytes) -> KnownTrace:
    """A trace from what :func:`pack` made of its spans."""
    return KnownTrace(trace_id, _decoder.decode(packed))
