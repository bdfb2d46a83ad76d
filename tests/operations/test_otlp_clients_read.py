"""What the reader makes of real clients, in whatever order and how often their spans arrive."""

from __future__ import annotations

import functools
import random
from collections import defaultdict

import pytest

from operations.telemetry.domain.conventions import is_wanted
from operations.telemetry.domain.decode import decode_traces, form_of
from operations.telemetry.domain.reading import Reading, read_spans

from .client_truths import BY_NAME, Client, Tokens
from .otlp import Books
from .stand_ins import Sent, keeper

pytestmark = pytest.mark.once


@functools.cache
def sent(name: str) -> tuple[Sent, ...]:
    """The requests that a client makes."""
    with keeper() as kept:
        BY_NAME[name].run(kept.url)
        return tuple(kept.requests)


@functools.cache
def readings(name: str) -> tuple[Reading, ...]:
    """Its spans, classified, in the order in which they ended."""
    found: list[Reading] = []
    for request in sent(name):
        assert request.path == "/v1/traces"
        form, encoding = form_of(request.headers["content-type"]), request.headers.get("content-encoding", "")
        decoded = decode_traces(request.body, form, encoding=encoding, wanted=is_wanted)
        assert decoded.rejected == []
        found += read_spans(decoded.spans)
    return tuple(found)


@pytest.fixture(params=sorted(BY_NAME))
def client(request: pytest.FixtureRequest) -> Client:
    return BY_NAME[request.param]


def test_it_sends_in_the_form_it_was_told(client: Client) -> None:
    (request,) = sent(client.name)
    assert form_of(request.headers["content-type"]) == client.form
    assert request.headers.get("content-encoding", "") == ("gzip" if client.gzip else "")
    # LiteLLM's first form sends the value as it stands in the environment, without decoding it.
    space = "%20" if client.name == "LiteLLM" else " "
    assert request.headers["authorization"] == f"Bearer{space}af_none"


def test_it_is_read_to_the_unit(client: Client) -> None:
    books = Books()
    books.take(list(readings(client.name)))
    used: dict[str, Tokens] = defaultdict(Tokens)
    loose = []
    for event_id, (run_id, _agent, usage) in books.costs.items():
        tokens = Tokens(
            usage.input_tokens, usage.cache_read_tokens, usage.output_tokens, usage.reasoning_tokens
        )
        if run_id:
            used[run_id] = Tokens(*map(sum, zip(used[run_id], tokens, strict=True)))
        else:
            (model,) = (r.model for r in readings(client.name) if event_id.endswith(r.span_id.hex()))
            loose.append((model, tokens))
    agents = {run.run_id: run.agent for run in books.runs.values()}
    told = sorted(
        (
            run.agent,
            run.error_type if run.status == "error" else "",
            run.calls,
            run.failed_calls,
            run.tool_calls,
            agents.get(run.parent_run_id, ""),
            run.user,
            used[run.run_id],
        )
        for run in books.runs.values()
    )
    assert told == sorted(
        (run.agent, run.error, run.calls, run.failed_calls, run.tools, run.parent, run.user, run.tokens)
        for run in client.runs
    )
    assert {run.status for run in books.runs.values()} <= {"ok", "error"}
    assert sorted(loose) == sorted((call.model, call.tokens) for call in client.loose)


def test_its_books_are_the_same_in_any_order(client: Client) -> None:
    spans = list(readings(client.name))
    whole = Books()
    whole.take(spans)
    half = len(spans) // 2
    shuffled = spans[:]
    random.Random(8).shuffle(shuffled)
    other = list(readings("OpenInference" if client.name != "OpenInference" else "genai-openai"))
    for batches in (
        [spans, spans],
        [spans[:half], spans[half:]],
        [spans[half:], spans[:half]],
        [[span] for span in reversed(spans)],
        [[span] for span in shuffled],
        [spans[:half], spans, spans[half:]],
    ):
        books = Books()
        for batch in batches:
            books.take(batch)
        assert books.told() == whole.told()

    both, alone = Books(), Books()
    alone.take(other)
    for index in range(max(len(spans), len(other))):
        if batch := spans[index : index + 1] + other[index : index + 1]:
            both.take(batch)
    for mixed, first, second in zip(both.told(), whole.told(), alone.told(), strict=True):
        assert mixed == first | second
