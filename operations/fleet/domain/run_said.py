"""What a source says of a run, and what several of them come to together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final, Literal

import msgspec

RunStatus = Literal["running", "ok", "failed", "cancelled"]
Source = Literal["spans", "api", "events"]
CostsFrom = Literal["", "spans", "api"]


class RunSaid(msgspec.Struct, frozen=True, gc=False, kw_only=True, array_like=True, omit_defaults=True):
    """All that one source says of a run: a trace, or the API (without a trace id).

    Times are microseconds since 1970, durations microseconds; unknown names are empty. ``seen`` tells that the
    source has said how the run ended. ``shared`` marks a run of which other sources may tell as well.
    ``experiments`` are keys with variants, ``inherited`` those that only a run around this one has; ``unit`` is the
    type and id of who or what was served them. ``begun`` and ``finished`` tell one request of the API that began
    or ended the run from another.
    """

    run_id: str
    agent: str
    status: RunStatus
    start: int
    last: int
    trace_id: bytes = b""
    span_id: bytes = b""
    agent_named: bool = True
    end: int | None = None
    latency: int | None = None
    first_token: int | None = None
    seen: bool = False
    shared: bool = False
    source: Source = "spans"
    agent_version: str = ""
    parent_run_id: str = ""
    error_type: str = ""
    error_message: str = ""
    session: str = ""
    user: str = ""
    unit: tuple[str, str] | None = None
    hold_id: str = ""
    costs_from: CostsFrom = ""
    environment: str = ""
    release: str = ""
    experiments: tuple[tuple[str, str], ...] = ()
    calls: int = 0
    failed_calls: int = 0
    tool_calls: int = 0
    calls_without_usage: int = 0
    scores: dict[str, float] = {}
    begun: str = ""
    finished: str = ""
    inherited: tuple[tuple[str, str], ...] = ()


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(RunSaid)


def pack(said: RunSaid) -> bytes:
    """What was said as one value of a column."""
    return _encoder.encode(said)


def unpack(packed: bytes) -> RunSaid:
    """What :func:`pack` made a value of."""
    return _decoder.decode(packed)


def combine(parts: Collection[RunSaid]) -> RunSaid:
    """What the sources of one run come to together, in whatever order they are given.

    The API's word on names goes before that of traces, the earlier trace's before the later one's. A run
    failed if any source says so; it is over when one that knows says so. Where traces tell of calls, those
    that were told over the API are the same ones.
    """
    ranked = sorted(parts, key=lambda part: (bool(part.trace_id), part.start, part.trace_id))
    if len(ranked) == 1:
        return ranked[0]
    first = ranked[0]
    failed = next((part for part in ranked if part.status == "failed"), None)
    status = _status(ranked)
    start = min(part.start for part in ranked)
    ends = [part.end for part in ranked if part.end is not None]
    end = max(ends) if ends and status != "running" else None
    traced = [part for part in ranked if part.trace_id]
    tokens = [part.start + part.first_token - start for part in ranked if part.first_token is not None]
    counting = [part for part in traced if part.calls or part.tool_calls] or ranked
    variants: dict[str, str] = {}
    for part in ranked:
        for key, variant in part.experiments:
            variants.setdefault(key, variant)
    inherited = {key: variant for part in reversed(ranked) for key, variant in part.inherited}
    return RunSaid(
        run_id=first.run_id,
        agent=_agent(ranked),
        status=status,
        start=start,
        last=max(part.last for part in ranked),
        trace_id=next((part.trace_id for part in traced), b""),
        span_id=next((part.span_id for part in traced), b""),
        agent_named=any(part.agent_named for part in ranked),
        end=end,
        latency=None if end is None else max(0, end - start),
        first_token=min((one for one in tokens if one >= 0), default=None),
        seen=any(part.seen for part in ranked),
        shared=True,
        source=first.source,
        agent_version=_first(ranked, "agent_version"),
        parent_run_id=_first(ranked, "parent_run_id"),
        error_type=failed.error_type if failed else "",
        error_message=failed.error_message if failed else "",
        session=_first(ranked, "session"),
        user=_first(ranked, "user"),
        unit=next((part.unit for part in ranked if part.unit is not None), None),
        hold_id=_first(ranked, "hold_id"),
        costs_from=_costs_from(ranked),
        environment=_first(ranked, "environment"),
        release=_first(ranked, "release"),
        experiments=tuple(sorted(variants.items())),
        inherited=tuple(sorted(one for one in inherited.items() if one[0] not in variants)),
        calls=sum(part.calls for part in counting),
        failed_calls=sum(part.failed_calls for part in counting),
        tool_calls=sum(part.tool_calls for part in counting),
        calls_without_usage=sum(part.calls_without_usage for part in counting),
        scores={name: value for part in reversed(ranked) for name, value in part.scores.items()},
    )


def _status(ranked: Sequence[RunSaid]) -> RunStatus:
    told = {part.status for part in ranked}
    if "failed" in told:
        return "failed"
    if "cancelled" in told:
        return "cancelled"
    return "ok" if any(part.seen for part in ranked) else "running"


def _agent(ranked: Sequence[RunSaid]) -> str:
    named = next((part.agent for part in ranked if part.agent and part.agent_named), "")
    return named or next((part.agent for part in ranked if part.agent), "")


def _costs_from(ranked: Sequence[RunSaid]) -> CostsFrom:
    return next((part.costs_from for part in ranked if part.costs_from), "")


def _first(ranked: Sequence[RunSaid], name: str) -> str:
    return next((str(value) for part in ranked if (value := getattr(part, name))), "")
