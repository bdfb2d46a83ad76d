"""However spans arrive, in whatever order, halves or repetitions: the same books."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operations.telemetry.domain.reading import Reading, read_spans
from operations.telemetry.domain.spans import Span
from tests.effort import examples

from .otlp import RECORDED, Books, agent, chain, chat, read_recorded, span, tool

pytestmark = pytest.mark.once


def at_once(readings: list[Reading]) -> Books:
    books = Books()
    books.take(readings)
    return books


def batches(readings: list[Reading], chooser: random.Random) -> list[list[Reading]]:
    """The readings in any order, some of them twice, in parts of any size."""
    delivered = [*readings, *chooser.sample(readings, chooser.randint(0, len(readings)))]
    chooser.shuffle(delivered)
    parts: list[list[Reading]] = []
    while delivered:
        size = chooser.randint(1, len(delivered))
        parts.append(delivered[:size])
        del delivered[:size]
    return parts


def check_any_delivery(readings: list[Reading], chooser: random.Random) -> None:
    want = at_once(readings).told()
    books = Books()
    for part in batches(readings, chooser):
        books.take(part)
    assert books.told() == want
    again = books.take(readings)
    assert again.duplicates == len(readings)
    assert not again.runs
    assert not again.charges
    assert books.told() == want


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_requests_twice_reversed_halved_and_one_by_one(name: str) -> None:
    readings = read_recorded(name)
    want = at_once(readings).told()
    half = len(readings) // 2
    for parts in (
        [readings, readings],
        [readings[::-1]],
        [readings[:half], readings[half:]],
        [readings[half:], readings[:half]],
        [[one] for one in readings],
        [[one] for one in readings[::-1]],
    ):
        books = Books()
        for part in parts:
            books.take(part)
        assert books.told() == want


@settings(max_examples=examples(150), deadline=None)
@given(st.randoms(use_true_random=False))
def test_all_recorded_requests_interleaved(chooser: random.Random) -> None:
    check_any_delivery([one for name in RECORDED for one in read_recorded(name)], chooser)


@st.composite
def traces(draw: st.DrawFn) -> list[Span]:
    """Traces with agents in agents, calls in calls, wrappers, parents that never come, and circles."""
    spans: list[Span] = []
    count = draw(st.integers(1, 14))
    for number in range(1, count + 1):
        # 15 never comes; a parent of a higher number may close a circle.
        parent = draw(st.sampled_from([0, 15, *range(1, count + 1)]))
        start, length = draw(st.integers(0, 5)), draw(st.integers(0, 5))
        times = {"start": start, "end": start + length, "status": draw(st.sampled_from([0, 1, 2]))}
        named = {"gen_ai.agent.name": draw(st.sampled_from(["support", "billing"]))}
        given_run = {"agent_factory.run.id": draw(st.sampled_from(["r-1", "r-2"]))}
        extra = draw(st.sampled_from([{}, {}, named, named, given_run]))
        kind = draw(
            st.sampled_from(["chat", "chat", "tool", "agent", "wrapper", "chain", "embedding", "other"])
        )
        if kind == "chat":
            made = chat(number, parent, tokens=draw(st.sampled_from([0, number])), attributes=extra, **times)
        elif kind == "tool":
            made = tool(number, parent, draw(st.sampled_from(["search", "order"])), **times)
        elif kind == "agent":
            made = agent(number, parent, draw(st.sampled_from(["support", "billing", "triage"])), **times)
        elif kind == "wrapper":
            made = span(
                {"openinference.span.kind": "AGENT", **(given_run if extra is given_run else {})},
                number=number, parent=parent, name="Agent workflow", **times,
            )  # fmt: skip
        elif kind == "chain":
            made = chain(number, parent, **times)
        elif kind == "embedding":
            usage = {"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": number}
            made = span({**usage, **extra}, number=number, parent=parent, **times)
        else:
            made = span(extra, number=number, parent=parent, name="GET", **times)
        spans.append(made)
    return spans


@settings(max_examples=examples(600), deadline=None)
@given(traces(), st.randoms(use_true_random=False))
def test_generated_traces_in_any_delivery(spans: list[Span], chooser: random.Random) -> None:
    check_any_delivery(read_spans(spans), chooser)


@settings(max_examples=examples(200), deadline=None)
@given(traces())
def test_no_call_is_charged_twice_and_only_calls_are(spans: list[Span]) -> None:
    books = at_once(read_spans(spans))
    by_id = {one.span_id: one for one in read_spans(spans)}
    for event_id in books.costs:
        charged = by_id[bytes.fromhex(event_id.partition("-")[2])]
        assert charged.kind in ("inference", "embedding")
        assert charged.usage is not None
        seen = {charged.span_id}
        above = by_id.get(charged.parent_id)
        while above is not None and above.span_id not in seen and above.kind in ("workflow", "other"):
            seen.add(above.span_id)
            above = by_id.get(above.parent_id)
        if above is not None and above.span_id not in seen and above.kind == charged.kind:
            in_circle = above.span_id in seen or _in_circle(by_id, charged)
            assert in_circle or f"{above.trace_id.hex()}-{above.span_id.hex()}" not in books.costs


def _in_circle(by_id: dict[bytes, Reading], one: Reading) -> bool:
    seen: set[bytes] = set()
    node: Reading | None = one
    while node is not None and node.span_id not in seen:
        seen.add(node.span_id)
        node = by_id.get(node.parent_id)
    return node is not None
