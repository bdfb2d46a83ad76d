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


class Lineage(NamedTuple):
    """How the spans of a trace hang together; keys and values are span ids.

    ``stray`` are the spans that hang on a wrapper without an agent between.
    ``up`` is the known parent (empty: none); ``order`` has parents before their children; ``anchor`` is
    the topmost span of each, which may be one that has not come. ``heads`` maps the agent spans to the one
    that stands for their run; ``wrappers`` are agent spans that nobody named around agents that somebody
    did, with those agents, the first started first.
    """

    up: dict[bytes, bytes]
    order: list[bytes]
    anchor: dict[bytes, bytes]
    heads: dict[bytes, bytes]
    wrappers: dict[bytes, list[bytes]]
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
    wrappers = _wrappers(spans, up, agents) if len(agents) > 1 else {}
    heads = _heads(spans, up, agents, wrappers)
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


def _wrappers(spans: Spans, up: Mapping[bytes, bytes], agents: list[bytes]) -> dict[bytes, list[bytes]]:
    wrappers: dict[bytes, list[bytes]] = {}
    for agent in agents:
        if not spans[agent].agent_named:
            continue
        node = up[agent]
        while node:
            around = spans[node]
            if around.kind == "tool":
                break
            if around.kind == "agent":
                if around.agent_named or around.run_id:
                    break
                wrappers.setdefault(node, []).append(agent)
            node = up[node]
    for inner in wrappers.values():
        inner.sort(key=lambda span_id: by_start(spans, span_id))
    return wrappers


def _heads(
    spans: Spans, up: Mapping[bytes, bytes], agents: list[bytes], wrappers: Mapping[bytes, list[bytes]]
) -> dict[bytes, bytes]:
    heads: dict[bytes, bytes] = {}
    for agent in agents:
        if agent in wrappers:
            continue
        around, through_tool = agent_around(spans, up, agent, wrappers)
        same = around and _same_run(spans[agent], spans[around], through_tool)
        heads[agent] = heads[around] if same else agent
    return heads


def agent_around(
    spans: Spans, up: Mapping[bytes, bytes], span_id: bytes, wrappers: Mapping[bytes, list[bytes]]
) -> tuple[bytes, bool]:
    """The nearest agent span above, wrappers passed over, and whether a tool call lies between."""
    through_tool = False
    node = up[span_id]
    while node:
        kind = spans[node].kind
        if kind == "agent" and node not in wrappers:
            return node, through_tool
        through_tool = through_tool or kind == "tool"
        node = up[node]
    return b"", through_tool


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


def wrapped_calls(spans: Spans, up: Mapping[bytes, bytes]) -> Wrapped:
    """The calls that tell again what a call inside them tells."""
    around: set[bytes] = set()
    used: set[bytes] = set()
    total_of: set[bytes] = set()
    for span_id, span in spans.items():
        if span.kind not in CALLS:
            continue
        node, near = up[span_id], True
        while node:
            above = spans[node]
            if near and above.kind in _BARRIERS:
                near = False
            if (
                near
                and span.usage
                and above.kind == span.kind
                and node in used
                and (span.log or node in around)
            ):
                # From here on up another call inside has told the same already.
                break
            if not near and node in total_of:
                break
            if near and above.kind == span.kind:
                # The record of a streamed call lies inside the call of which it tells.
                if not span.log:
                    around.add(node)
                if span.usage:
                    used.add(node)
            if span.usage:
                total_of.add(node)
            elif not near:
                break
            node = up[node]
    return Wrapped(around, used, total_of)
