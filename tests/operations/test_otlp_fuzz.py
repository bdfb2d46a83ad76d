"""Nothing that a client can send makes the reading of traces fail in any way but a refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_factory_site.common.errors import DomainError
from operations.telemetry.domain.conventions.table import (
    EVENT_ATTRIBUTES,
    FLAG_EVENTS,
    KINDS,
    MARKS,
    MEANINGS,
    OBJECTS,
    USAGE_OBJECTS,
)
from operations.telemetry.domain.decode import decode_traces
from operations.telemetry.domain.known import pack
from operations.telemetry.domain.reading import CALLS, read_spans
from operations.telemetry.domain.runs import derive_changes
from operations.telemetry.domain.spans import Event
from tests.effort import examples

from .otlp import NOON, request, span

pytestmark = pytest.mark.once

NAMES = sorted(
    {*MEANINGS, *KINDS, *MARKS, *OBJECTS, *USAGE_OBJECTS, *EVENT_ATTRIBUTES, "agent_factory.experiment.a"}
)
WORDS = (
    "chat", "LLM", "agent", '"AGENT"', "generation", "ai.toolCall", "log", "gpt-4o", "", "None", "1e999999999",
    "-1e999999999",
    "NaN", "1.5", "12", "{'prompt_tokens': 5}", '{"input": 1, "input_cached_tokens": 2}', '{"input": "x"}', "{" * 50,
    '"\\ud800"', "2026-11-22T12:00:00Z", '"2026-11-22"', "0001-01-01T00:00:00+14:00", "models/", "/",
    "arn:aws:bedrock:::",
)  # fmt: skip
VALUES: Any = st.recursive(
    st.one_of(
        st.sampled_from(WORDS), st.text(max_size=20), st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans(),
        st.binary(max_size=8), st.none(),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=14)
EVENT_NAMES = st.sampled_from([*FLAG_EVENTS, "exception", "First Token Stream Event"])
EVENTS = st.builds(Event, EVENT_NAMES, st.integers(0, 2**64 - 1), ATTRIBUTES)


def refusal_of(body: bytes, form: Any, encoding: str = "") -> int | None:
    """The status with which a body is refused; None when it is read, to the last span."""
    try:
        decoded = decode_traces(body, form, encoding=encoding)
    except DomainError as refusal:
        return refusal.status
    assert decoded.received == len(decoded.spans) + len(decoded.rejected)
    assert len(read_spans(decoded.spans)) == len(decoded.spans)
    return None


@settings(max_examples=examples(500), deadline=None)
@given(ATTRIBUTES, ATTRIBUTES, st.lists(EVENTS, max_size=2), st.text(max_size=20), st.integers(-5, 5))
def test_any_attributes_can_be_read(said: Any, resource: Any, events: Any, name: str, status: int) -> None:
    one = span(said, resource=resource, events=tuple(events), name=name, status=status)
    (reading,) = read_spans([one])
    changes = derive_changes([reading], {})
    assert len(changes.charges) == (reading.usage is not None and reading.kind in CALLS)
    assert pack(changes.traces[one.trace_id].spans)
    for named in (
        reading.agent,
        reading.model,
        reading.session,
        reading.user,
        reading.tool,
        reading.error_type,
    ):
        assert len(named) <= 255
        assert named.isprintable()


@settings(max_examples=examples(300), deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from(["protobuf", "json"]), st.sampled_from(["", "gzip", "deflate"])
)
def test_any_bytes_are_read_or_refused(body: bytes, form: Any, encoding: str) -> None:
    assert refusal_of(body, form, encoding) in (None, 400, 413)


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_a_damaged_protobuf_request_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(
        request({"gen_ai.request.model": "gpt-4o", "n": 5}, {"l": ["a", {"b": 1}]}).SerializeToString()
    )
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert refusal_of(bytes(body), "protobuf") in (None, 400)


JSON: Any = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.sampled_from(["1", "\ud800"])
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["key", "value", "values", "stringValue", "intValue", "doubleValue", "arrayValue", "kvlistValue", "code"]
        ),
        inner, max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=examples(500), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "kind", "attributes", "events", "status", "parentSpanId", "endTimeUnixNano"]
        ),
        JSON,
    )
)
def test_any_json_span_is_read_or_refused(said: Any) -> None:
    one = {"traceId": "ab" * 16, "spanId": "cd" * 8, "startTimeUnixNano": str(NOON), **said}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}).encode()
    # Only what is not JSON at all costs the whole request: NaN, a lone surrogate.
    if refusal_of(body, "json") is not None:
        assert any(word in body for word in (b"NaN", b"Infinity", b"\\ud"))
