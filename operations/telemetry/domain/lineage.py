"""Which spans of a trace belong together: ancestors, agents around agents, calls around calls.

Everything here is a function of the set of spans alone: not of the order in which they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .known import KnownSpan

Spans = Mapping[bytes, KnownSpan]

CALLS: Final = frozenset({"inference", "embedding"})
_BARRIERS: Final = frozenset({"agent", "tool", "retrieval"})


class Inside(NamedTuple):
    """Of the named agents inside a wrapper, the one that started first and the one that ended last."""

    first: bytes
    last: bytes


class Lineage(NamedTuple):
    """How the spans of a trace hang together; keys and values are span ids.

    ``stray`` are the spans that hang on a wrapper without an agent between.
    ``up`` is the known parent (empty: none); ``order`` has parents before their children; ``anchor`` is
    the topmost span of each, which may be one that has not come. ``heads`` maps the agent spans to the one
    that stands for their run; ``wrappers`` are agent spans that nobody named around agents that somebody
    did, with the one of those that started first and the one that ended last.
    """

    up: dict[bytes, bytes]
    order: list[bytes]
    anchor: dict[bytes, bytes]
    heads: dict[bytes, bytes]
    wrappers: dict[bytes, Inside]
    stray: set[bytes]


def trace_lineage(spans: Spans) -> Lineage:
    """The lineage of the spans of one trace."""
    up = _parents(spans)
    order = _parents_first(up)
    anchor: dict[bytes, bytes] = {}
    agents: list[bytes] = []
    for span_id in order:
        parent = up[span_id]
        if parent:
            anchor[span_id] = anchor[parent]
        else:
            said = spans[span_id].parent_id
            anchor[span_id] = said if said and said not in spans else span_id
        if spans[span_id].kind == "agent":
            agents.append(span_id)
    wrappers = _wrappers(spans, up, order) if len(agents) > 1 else {}
    heads = _heads(spans, up, order, wrappers) if agents else {}
    stray: set[bytes] = set()
    for span_id in order if wrappers else ():
        if span_id in wrappers or (up[span_id] in stray and span_id not in heads):
            stray.add(span_id)
    return Lineage(up, order, anchor, heads, wrappers, stray)


def by_start(spans: Spans, span_id: bytes) -> tuple[int, bytes]:
    """The key that sorts spans by their start, and those of one moment by their ids."""
    return spans[span_id].start, span_id


def _parents(spans: Spans) -> dict[bytes, bytes]:
    up = {span_id: span.parent_id if span.parent_id in spans else b"" for span_id, span in spans.items()}
    done: set[bytes] = set()
    for span_id in spans:
        path: dict[bytes, int] = {}
        node = span_id
        while node and node not in done:
            if node in path:
                # A circle is cut at its lowest id, so that every order of arrival cuts it there.
                up[min(list(path)[path[node] :])] = b""
                break
            path[node] = len(path)
            node = up[node]
        done.update(path)
    return up


def _parents_first(up: Mapping[bytes, bytes]) -> list[bytes]:
    order: list[bytes] = []
    placed: set[bytes] = set()
    for span_id in up:
        path = []
        node = span_id
        while node and node not in placed:
            placed.add(node)
            path.append(node)
            node = up[node]
        order.extend(reversed(path))
    return order


def _wrappers(spans: Spans, up: Mapping[bytes, bytes], order: list[bytes]) -> dict[bytes, Inside]:
    wrappers: dict[bytes, Inside] = {}
    below: dict[bytes, Inside] = {}
    # Children before their parents: each tells its parent which named agents can be reached through it.
    for span_id in reversed(order):
        span, inside = spans[span_id], below.pop(span_id, None)
        if span.kind == "tool":
            continue
        if span.kind == "agent":
            if span.agent_named:
                inside = Inside(span_id, span_id)
            elif span.run_id or inside is None:
                continue
            else:
                wrappers[span_id] = inside
        parent = up[span_id]
        if inside is not None and parent:
            beside = below.get(parent)
            below[parent] = _both(spans, beside, inside) if beside else inside
    return wrappers


def _both(spans: Spans, one: Inside, other: Inside) -> Inside:
    return Inside(
        min(one.first, other.first, key=lambda span_id: by_start(spans, span_id)),
        max(one.last, other.last, key=lambda span_id: (spans[span_id].end, span_id)),
    )


def _heads(
    spans: Spans, up: Mapping[bytes, bytes], order: list[bytes], wrappers: Mapping[bytes, Inside]
) -> dict[bytes, bytes]:
    heads: dict[bytes, bytes] = {}
    # The nearest agent span around what lies in a span, wrappers passed over, and whether a tool call
    # lies between.
    around: dict[bytes, tuple[bytes, bool]] = {b"": (b"", False)}
    for span_id in order:
        span = spans[span_id]
        outer, through_tool = around[up[span_id]]
        if span.kind == "agent" and span_id not in wrappers:
            same = outer and _same_run(span, spans[outer], through_tool)
            heads[span_id] = heads[outer] if same else span_id
            around[span_id] = (span_id, False)
        else:
            around[span_id] = (outer, through_tool or span.kind == "tool")
    return heads


def _same_run(inner: KnownSpan, outer: KnownSpan, through_tool: bool) -> bool:
    """Whether an agent span inside another tells of the same run, not of an agent that was called."""
    if inner.call_id and outer.call_id:
        return inner.call_id == outer.call_id
    if inner.run_id:
        return inner.run_id == outer.run_id
    if through_tool:
        return False
    return not inner.agent_named or not outer.agent_named or inner.agent == outer.agent


class Wrapped(NamedTuple):
    """Calls around calls of the same kind, as a framework's span is around that of the client it uses.

    ``any`` has every call with another inside, ``used`` those of which one inside reported usage.
    ``total_of`` are the spans of any kind with such a call somewhere below.
    """

    any: set[bytes]
    used: set[bytes]
    total_of: set[bytes]


_SEEN: Final = {"inference": 1, "embedding": 2}
_USED: Final = {"inference": 4, "embedding": 8}
_NEAR: Final = 15
_TOTAL: Final = 16
_CALLED: Final = {"inference": 32, "embedding": 64}
_FAR: Final = 96


def wrapped_calls(spans: Spans, line: Lineage) -> Wrapped:
    """The calls that tell again what a call inside them tells."""
    wrapped = Wrapped(set(), set(), set())
    below: dict[bytes, int] = {}
    # Children before their parents: bits for the calls of either kind that can be seen from above.
    for span_id in reversed(line.order):
        span, seen = spans[span_id], below.pop(span_id, 0)
        kind = span.kind
        if seen & _TOTAL:
            wrapped.total_of.add(span_id)
        if kind in CALLS:
            if seen & _SEEN[kind]:
                wrapped.any.add(span_id)
            if seen & _USED[kind]:
                wrapped.used.add(span_id)
            if span.by_answer and seen & _CALLED[kind]:
                # What only the id of an answer makes a call may be around a whole agent, with its last answer.
                wrapped.any.add(span_id)
                wrapped.used.add(span_id)
            # The record of a streamed call lies inside the call of which it tells.
            if not span.log:
                seen |= _SEEN[kind]
            if span.usage:
                seen |= _USED[kind] | _CALLED[kind] | _TOTAL
        elif kind in _BARRIERS:
            seen &= ~_NEAR if kind == "agent" else ~(_NEAR | _FAR)
        parent = line.up[span_id]
        if seen and parent:
            below[parent] = below.get(parent, 0) | seen
    return wrapped


def tool_around(spans: Spans, line: Lineage) -> dict[bytes, str]:
    """For each span the tool call in which it lies, with no agent or call of a model between, by its tool."""
    tools: dict[bytes, str] = {}
    inside: dict[bytes, str] = {}
    for span_id in line.order:
        span = spans[span_id]
        if tool := inside.get(line.up[span_id]):
            tools[span_id] = tool
        if span.kind == "tool":
            inside[span_id] = span.tool
        elif tool and span.kind not in ("agent", "inference"):
            inside[span_id] = tool
    return tools
