"""The runs of one trace: what belongs to which, how each went, and which calls are charged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from .known import KnownSpan
from .lineage import CALLS, Lineage, Spans, Wrapped, by_start, tool_around, trace_lineage, wrapped_calls

STEPS: Final = frozenset({"inference", "embedding", "tool", "retrieval"})
"""Kinds of spans that are steps of a run."""

_NEAREST: Final = 64
"""How far up attributes are looked for."""

RunStatus = Literal["ok", "error", "running"]


class Run(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A run as its trace tells it. Times are nanoseconds since 1970, unknown names are empty.

    ``run_id`` is the one that spans gave (``given``), else ``<trace id>-<span id>`` in hex of the agent's
    span. ``seen`` tells that this span has come: until then the run is ``running``, its ``end`` and
    ``latency`` are unknown and ``last`` is the latest end of what belongs to it. ``first_token`` is
    nanoseconds after the start. ``experiments`` are those that its own spans name, or spans around it that are
    in no other run; ``inherited`` those that only the runs around it name. ``calls_without_usage`` succeeded
    without saying what they used; ``total_without_calls`` says that a total was reported without any call it
    could be the total of: neither is charged.
    """

    run_id: str
    given: bool
    trace_id: bytes
    span_id: bytes
    agent: str
    agent_named: bool
    status: RunStatus
    seen: bool
    start: int
    end: int | None
    last: int
    latency: int | None = None
    first_token: int | None = None
    agent_id: str = ""
    agent_version: str = ""
    parent_run_id: str = ""
    error_type: str = ""
    error_message: str = ""
    session: str = ""
    user: str = ""
    hold_id: str = ""
    environment: str = ""
    release: str = ""
    experiments: tuple[tuple[str, str], ...] = ()
    inherited: tuple[tuple[str, str], ...] = ()
    calls: int = 0
    failed_calls: int = 0
    tool_calls: int = 0
    calls_without_usage: int = 0
    total_without_calls: bool = False
    clock: bool = False


class TraceView(msgspec.Struct, frozen=True, gc=False):
    """What the spans of a trace come to; keys are span ids.

    ``placed`` is the run of every span (empty: none), ``charged`` the calls that cost money, ``counted``
    the calls of models and tools that are not told again by another span. ``held`` is the hold that a
    charged call settles. A span is ``settled`` when no ancestor that may still come can move it.
    """

    runs: dict[str, Run]
    placed: dict[bytes, str]
    charged: set[bytes]
    counted: set[bytes]
    held: dict[bytes, str]
    settled: set[bytes]


NOTHING: Final = TraceView({}, {}, set(), set(), {}, set())


def run_id_of(trace_id: bytes, span_id: bytes) -> str:
    """The id of the run whose agent span this is."""
    return f"{trace_id.hex()}-{span_id.hex()}"


def view_trace(trace_id: bytes, spans: Spans) -> TraceView:
    """What the spans of a trace come to, whatever their order."""
    if not spans:
        return NOTHING
    line = trace_lineage(spans)
    wrapped = wrapped_calls(spans, line)
    placed, anchored = _place(trace_id, spans, line)
    charged = {
        span_id
        for span_id, span in spans.items()
        if span.usage and span.kind in CALLS and span_id not in wrapped.used
    }
    counted = _counted(spans, line, wrapped)
    members: dict[str, list[bytes]] = defaultdict(list)
    for span_id, run_id in placed.items():
        if run_id:
            members[run_id].append(span_id)
    around, outer = _around(spans, line, placed), _outer_runs(line, placed)
    runs = {
        run_id: _run(
            trace_id,
            run_id,
            anchored[run_id],
            ids,
            spans,
            line,
            wrapped,
            counted,
            outer,
            around.get(run_id, []),
            placed,
        )
        for run_id, ids in members.items()
    }
    return TraceView(
        runs,
        placed,
        charged,
        counted,
        _holds(spans, line, charged),
        {
            span_id
            for span_id in spans
            if line.anchor[span_id] in spans or ((run := runs.get(placed[span_id])) and run.seen)
        },
    )


def _holds(spans: Spans, line: Lineage, charged: set[bytes]) -> dict[bytes, str]:
    """The hold of each charged call: its own, or that of the nearest span above that names one."""
    holds: dict[bytes, str] = {}
    for span_id in line.order:
        if hold_id := spans[span_id].hold_id or holds.get(line.up[span_id], ""):
            holds[span_id] = hold_id
    return {span_id: hold_id for span_id, hold_id in holds.items() if span_id in charged}


def _place(trace_id: bytes, spans: Spans, line: Lineage) -> tuple[dict[bytes, str], dict[str, bytes]]:
    """The run of every span, and the span by which each run is known, which may not have come."""
    placed: dict[bytes, str] = {}
    anchored: dict[str, bytes] = {}
    loose: dict[bytes, list[bytes]] = defaultdict(list)
    given: dict[str, list[bytes]] = defaultdict(list)
    seen: dict[tuple[bytes, str], str] = {}
    for head in sorted(set(line.heads.values()), key=lambda one: by_start(spans, one)):
        run_id = spans[head].run_id or run_id_of(trace_id, head)
        anchored.setdefault(run_id, head)
        seen.setdefault((line.anchor[head], spans[head].agent), run_id)
    for span_id in line.order:
        span, parent = spans[span_id], line.up[span_id]
        if span_id in line.heads:
            head = line.heads[span_id]
            placed[span_id] = spans[head].run_id or run_id_of(trace_id, head)
        elif span_id in line.wrappers:
            head = line.heads[line.wrappers[span_id].first]
            placed[span_id] = spans[head].run_id or run_id_of(trace_id, head)
        elif span.run_id:
            placed[span_id] = span.run_id
            anchored.setdefault(span.run_id, b"")
            if not parent or placed[parent] != span.run_id:
                given[span.run_id].append(span_id)
        elif parent and placed[parent]:
            placed[span_id] = placed[parent]
        else:
            placed[span_id] = ""
            loose[line.anchor[span_id]].append(span_id)
    for anchor, ids in loose.items():
        _place_loose(trace_id, anchor, ids, spans, seen, placed, anchored)
    for run_id, tops in given.items():
        if not anchored[run_id] and len(tops) == 1 and spans[tops[0]].kind in ("workflow", "other"):
            # Somebody's own span around the run: it began and ended, and went well or not, as that did.
            anchored[run_id] = tops[0]
    return placed, anchored


def _place_loose(
    trace_id: bytes,
    anchor: bytes,
    ids: list[bytes],
    spans: Spans,
    seen: dict[tuple[bytes, str], str],
    placed: dict[bytes, str],
    anchored: dict[str, bytes],
) -> None:
    """Spans outside any agent's span: by the agent they name, whose own span may still come."""
    rest: list[bytes] = []
    for span_id in ids:
        agent = spans[span_id].agent
        if agent and (anchor, agent) in seen:
            placed[span_id] = seen[anchor, agent]
        else:
            rest.append(span_id)
    if any(spans[one].agent for one in rest) and any(spans[one].kind in STEPS for one in rest):
        run_id = run_id_of(trace_id, anchor)
        anchored[run_id] = anchor
        for span_id in rest:
            placed[span_id] = run_id


def _counted(spans: Spans, line: Lineage, wrapped: Wrapped) -> set[bytes]:
    counted: set[bytes] = set()
    tools = tool_around(spans, line)
    silent = {
        span.parent_id
        for span_id, span in spans.items()
        if span.kind in CALLS and not span.log and not span.usage and span.parent_id
    }
    for span_id, span in spans.items():
        if span.kind in CALLS:
            told = span.log and (
                span.parent_id in silent or (span.parent_id in spans and spans[span.parent_id].kind in CALLS)
            )
            if span_id not in wrapped.any and not told:
                counted.add(span_id)
        elif span.kind == "tool" and tools.get(span_id) != span.tool:
            # Otherwise a client's span tells of the call, and this is the server's inside it.
            counted.add(span_id)
    return counted


def _run(
    trace_id: bytes,
    run_id: str,
    anchor: bytes,
    ids: list[bytes],
    spans: Spans,
    line: Lineage,
    wrapped: Wrapped,
    counted: set[bytes],
    outer: dict[bytes, str],
    around: list[KnownSpan],
    placed: dict[bytes, str],
) -> Run:
    ids = sorted(ids, key=lambda one: by_start(spans, one))
    members = [spans[one] for one in ids]
    head = spans.get(anchor)
    is_agent = head is not None and anchor in line.heads
    own = [spans[one] for one in ids if one in line.heads]
    telling = ([head] if head else []) + [one for one in own if one is not head]
    failed = next((one for one in (*telling, *around) if one.failed), None)
    # Attributes reach a run from its own span, from those around it, and from what belongs to it.
    above = _above(line, anchor)
    sources = telling + [spans[one] for one in above] + members
    others = {one for one in above if _is_of_another(run_id, one, line, placed)}
    own = telling + [spans[one] for one in above if one not in others] + members
    experiments = _experiments(own)
    inherited = _experiments([spans[one] for one in above if one in others])
    agent = _naming([*telling, *members] if is_agent else members)
    start = head.start if head else members[0].start
    end = head.end if head else None
    calls = [(one, span) for one, span in zip(ids, members) if span.kind in CALLS and one in counted]
    given = any(one.run_id == run_id for one in members)
    return Run(
        run_id=run_id,
        given=given,
        trace_id=trace_id,
        span_id=anchor,
        agent=agent.agent,
        agent_named=agent.agent_named,
        agent_id=_first(sources, "agent_id"),
        agent_version=_first(sources, "agent_version"),
        parent_run_id=_parent_run(run_id, anchor, line, outer) if head else "",
        status="error" if failed else "ok" if head else "running",
        seen=head is not None,
        start=start,
        end=end,
        last=max(one.end for one in members),
        latency=end - start if end is not None else None,
        first_token=_first_token(members, start),
        error_type=failed.error_type if failed else "",
        error_message=failed.error_message if failed else "",
        session=_first(sources, "session"),
        user=_first(sources, "user"),
        hold_id=_first(telling, "hold_id"),
        environment=_first(sources, "environment"),
        release=_first(sources, "release"),
        experiments=tuple(sorted(experiments.items())),
        inherited=tuple(sorted(one for one in inherited.items() if one[0] not in experiments)),
        calls=len(calls),
        failed_calls=sum(span.failed for _, span in calls),
        tool_calls=sum(span.kind == "tool" and one in counted for one, span in zip(ids, members)),
        calls_without_usage=_without_usage(calls, members, wrapped),
        total_without_calls=any(
            span.usage and span.kind not in CALLS and one not in wrapped.total_of
            for one, span in zip(ids, members)
        ),
        clock=any(one.clock for one in telling),
    )


def _around(spans: Spans, line: Lineage, placed: dict[bytes, str]) -> dict[str, list[KnownSpan]]:
    """The wrappers by run: what one says of the end is said of the agent inside that ended last."""
    around: dict[str, list[KnownSpan]] = defaultdict(list)
    for wrapper, inner in sorted(line.wrappers.items()):
        around[placed[inner.last]].append(spans[wrapper])
    return around


def _naming(candidates: list[KnownSpan]) -> KnownSpan:
    """The span that names the agent: the first that somebody named, else the first with any name."""
    for one in candidates:
        if one.agent and one.agent_named:
            return one
    return next((one for one in candidates if one.agent), candidates[0])


def _without_usage(calls: list[tuple[bytes, KnownSpan]], members: list[KnownSpan], wrapped: Wrapped) -> int:
    told = {one.parent_id for one in members if one.log and one.usage}
    return sum(
        not span.usage
        and not span.failed
        and one not in wrapped.used
        and one not in told
        and (not span.parent_id or span.parent_id not in told)
        for one, span in calls
    )


def _above(line: Lineage, anchor: bytes) -> list[bytes]:
    found: list[bytes] = []
    node = line.up.get(anchor, b"")
    while node and len(found) < _NEAREST:
        found.append(node)
        node = line.up[node]
    return found


def _is_of_another(run_id: str, span_id: bytes, line: Lineage, placed: dict[bytes, str]) -> bool:
    """Whether a span above a run is another run's: a wrapper is around all of those inside."""
    own = span_id in line.heads or span_id not in line.stray
    return own and placed[span_id] not in ("", run_id)


def _outer_runs(line: Lineage, placed: dict[bytes, str]) -> dict[bytes, str]:
    """The run that an agent right below each span is called by.

    A wrapper and what hangs on it is placed with the agents inside, which are beside, not above.
    """
    outer = {b"": ""}
    for span_id in line.order:
        own = span_id in line.heads or span_id not in line.stray
        outer[span_id] = (placed[span_id] if own else "") or outer[line.up[span_id]]
    return outer


def _parent_run(run_id: str, anchor: bytes, line: Lineage, outer: dict[bytes, str]) -> str:
    node = line.up.get(anchor, b"")
    for _ in range(_NEAREST):
        if not node or outer[node] != run_id:
            return outer[node]
        # The run goes by an id that spans around it were given as well.
        node = line.up[node]
    return ""


def _first(sources: Iterable[KnownSpan], name: str) -> str:
    for span in sources:
        if value := getattr(span, name):
            return str(value)
    return ""


def _first_token(members: list[KnownSpan], start: int) -> int | None:
    times = [one.start + one.first_token - start for one in members if one.first_token is not None]
    return min((time for time in times if time >= 0), default=None)


def _experiments(sources: list[KnownSpan]) -> dict[str, str]:
    variants: dict[str, str] = {}
    for span in sources:
        for key, variant in span.experiments:
            variants.setdefault(key, variant)
    return variants
