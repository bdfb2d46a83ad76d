"""What a batch of spans changes in the books: runs, steps, charges, and what was placed too early.

A trace is viewed as it was known and as it is with the batch; what differs is said as instructions.
Applied one batch after the other they come to the same books in whatever order, halves or repetitions
the spans arrive, because each view is a function of the set of spans alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .known import MAX_SPANS, KnownSpan, KnownTrace, to_known
from .reading import CALLS, Reading
from .trace_view import STEPS, Run, TraceView, view_trace


class Step(NamedTuple):
    """A step to be recorded: an LLM call, a tool call, an embedding or a retrieval, under a run or none.

    ``counted`` is False where another span tells of the same call.
    """

    reading: Reading
    run_id: str
    counted: bool


class Charge(NamedTuple):
    """A cost to be recorded, once by its ``event_id``. Both names are empty when nobody named an agent.

    ``settled`` is False while a span that has not come may place it under another run.
    """

    event_id: str
    reading: Reading
    run_id: str
    agent: str
    hold_id: str
    settled: bool


class Moved(NamedTuple):
    """A span that was placed before and belongs elsewhere now: its step and, if ``charged``, its cost.

    The run is the same where only the name of its agent turned out to be another.
    """

    trace_id: bytes
    span_id: bytes
    from_run_id: str
    to_run_id: str
    to_agent: str
    charged: bool


class Withdrawn(NamedTuple):
    """A cost that was recorded and turned out to be told again by a call inside it."""

    event_id: str
    trace_id: bytes
    span_id: bytes
    run_id: str


class Changes(NamedTuple):
    """What a batch changes. Runs are whole and replace what was known of them by (run id, trace id).

    ``settled`` are charges of earlier batches, by trace and span, that nothing can move any more.
    ``gone`` maps runs that turned out to be part of another to it (empty: of none). ``agents_gone`` are
    names by which no run of their trace goes any more. ``traces`` is what to remember instead of before.
    """

    runs: list[Run]
    gone: dict[str, str]
    steps: list[Step]
    charges: list[Charge]
    moved: list[Moved]
    withdrawn: list[Withdrawn]
    settled: list[tuple[bytes, bytes]]
    agents_gone: set[str]
    traces: dict[bytes, KnownTrace]
    duplicates: int
    unremembered: int


def cost_event_id(trace_id: bytes, span_id: bytes) -> str:
    """The event id under which the cost of a call is recorded, whatever sends it again."""
    return f"{trace_id.hex()}-{span_id.hex()}"


def first_known(readings: Iterable[Reading], max_spans: int = MAX_SPANS) -> dict[bytes, KnownTrace]:
    """What is to be remembered of each trace were nothing known of it, as :func:`derive_changes` would say."""
    found: dict[bytes, dict[bytes, KnownSpan]] = {}
    for reading in readings:
        spans = found.setdefault(reading.trace_id, {})
        if reading.span_id not in spans and len(spans) < max_spans:
            spans[reading.span_id] = to_known(reading)
    return {trace_id: KnownTrace(trace_id, tuple(spans.values())) for trace_id, spans in found.items()}


def derive_changes(
    readings: Iterable[Reading], known: Mapping[bytes, KnownTrace], max_spans: int = MAX_SPANS
) -> Changes:
    """What ``readings`` change, given what is ``known`` of their traces by trace id.

    A span whose id is known already changes nothing. Spans of a trace beyond ``max_spans`` are placed by
    their parents and not remembered: a later span cannot move them.
    """
    changes = Changes([], {}, [], [], [], [], [], set(), {}, 0, 0)
    duplicates = unremembered = 0
    by_trace: dict[bytes, list[Reading]] = {}
    for reading in readings:
        by_trace.setdefault(reading.trace_id, []).append(reading)
    for trace_id, fresh in by_trace.items():
        trace = known.get(trace_id)
        before = {span.span_id: span for span in trace.spans} if trace else {}
        after = dict(before)
        new: list[Reading] = []
        beyond: dict[bytes, Reading] = {}
        for reading in fresh:
            if reading.span_id in after or reading.span_id in beyond:
                duplicates += 1
            elif len(after) < max_spans:
                after[reading.span_id] = to_known(reading)
                new.append(reading)
            else:
                beyond[reading.span_id] = reading
        unremembered += len(beyond)
        if new or beyond:
            _compare(trace_id, before, after, [*new, *beyond.values()], changes)
    return changes._replace(duplicates=duplicates, unremembered=unremembered)


def _compare(
    trace_id: bytes,
    before: dict[bytes, KnownSpan],
    after: dict[bytes, KnownSpan],
    new: list[Reading],
    changes: Changes,
) -> None:
    old, now = view_trace(trace_id, before), view_trace(trace_id, after)
    changes.runs.extend(run for run_id, run in now.runs.items() if old.runs.get(run_id) != run)
    for run_id in old.runs.keys() - now.runs.keys():
        member = min(span_id for span_id, placed in old.placed.items() if placed == run_id)
        changes.gone[run_id] = now.placed[member]
    named = {run.agent for run in now.runs.values()}
    changes.agents_gone.update(run.agent for run in old.runs.values() if run.agent not in named)
    for reading in new:
        _record(reading, now, changes)
    for span_id, run_id in old.placed.items():
        charged = span_id in now.charged
        to_run = now.placed[span_id]
        own = before[span_id].agent
        agent = _agent(now, to_run) or own
        if to_run != run_id or (charged and agent != (_agent(old, run_id) or own)):
            changes.moved.append(Moved(trace_id, span_id, run_id, to_run, agent, charged))
        if span_id in old.charged and not charged:
            event_id = cost_event_id(trace_id, span_id)
            changes.withdrawn.append(Withdrawn(event_id, trace_id, span_id, run_id))
        elif charged and span_id in now.settled and span_id not in old.settled:
            changes.settled.append((trace_id, span_id))
    changes.traces[trace_id] = KnownTrace(trace_id, tuple(after.values()))


def _record(reading: Reading, now: TraceView, changes: Changes) -> None:
    span_id = reading.span_id
    remembered = span_id in now.placed
    run_id = now.placed[span_id] if remembered else now.placed.get(reading.parent_id, "")
    if reading.kind in STEPS:
        changes.steps.append(Step(reading, run_id, span_id in now.counted or not remembered))
    is_charged = span_id in now.charged if remembered else reading.kind in CALLS and reading.usage is not None
    if is_charged:
        changes.charges.append(
            Charge(
                cost_event_id(reading.trace_id, span_id),
                reading,
                run_id,
                _agent(now, run_id) or reading.agent,
                now.held.get(span_id, reading.hold_id),
                span_id in now.settled or not remembered,
            )
        )


def _agent(view: TraceView, run_id: str) -> str:
    run = view.runs.get(run_id)
    return run.agent if run else ""
