"""Traces for tests: recorded ones, ones made by hand, and the books that a series of batches comes to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from operations.telemetry.domain.conventions import is_wanted
from operations.telemetry.domain.decode import decode_traces
from operations.telemetry.domain.known import KnownTrace, pack, unpack
from operations.telemetry.domain.reading import Reading, read_spans
from operations.telemetry.domain.runs import Changes, derive_changes
from operations.telemetry.domain.spans import Attributes, Event, Origin, Span, Value
from operations.telemetry.domain.trace_view import Run

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "otlp"
RECORDED = (
    "pydantic_ai.bin",
    "otel_genai_openai.bin",
    "openinference_openai_agents.bin",
    "litellm.bin",
    "vercel_ai_json.json",
)
SECOND = 1_000_000_000
NOON = 1_795_348_800 * SECOND
TRACE = bytes(range(1, 17))


def recorded(name: str) -> bytes:
    """A recorded request; skips the test when it is not there."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the recorded request {name} is not in {FOLDER}")
    return path.read_bytes()


def expected() -> dict[str, Any]:
    """What a correct reader derives from the recorded requests."""
    return json.loads(recorded("expected.json"))


def read_recorded(name: str) -> list[Reading]:
    """The classified spans of a recorded request."""
    form = "json" if name.endswith(".json") else "protobuf"
    return read_spans(decode_traces(recorded(name), form, wanted=is_wanted).spans)


def span_id(number: int) -> bytes:
    return number.to_bytes(8, "big")


def span(
    attributes: Attributes | None = None,
    *,
    number: int = 1,
    parent: int = 0,
    name: str = "span",
    start: int = 0,
    end: int = 1000,
    status: int = 0,
    message: str = "",
    events: tuple[Event, ...] = (),
    scope: str = "",
    resource: Attributes | None = None,
    trace: bytes = TRACE,
) -> Span:
    """A decoded span; start and end in milliseconds after noon."""
    return Span(
        trace,
        span_id(number),
        span_id(parent) if parent else b"",
        name,
        1,
        NOON + start * 1_000_000,
        NOON + end * 1_000_000,
        status,
        message,
        attributes or {},
        events,
        Origin(resource or {}, scope),
    )


def read(attributes: Attributes | None = None, **rest: Any) -> Reading:
    """One span, classified."""
    return read_spans([span(attributes, **rest)])[0]


def chat(number: int, parent: int = 0, *, tokens: int = 10, **rest: Any) -> Span:
    """A call of gpt-4o that used ``tokens`` of input and one of output; of none without tokens."""
    attributes: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
    }
    if tokens:
        attributes |= {"gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": 1}
    attributes |= rest.pop("attributes", {})
    return span(attributes, number=number, parent=parent, name="chat gpt-4o", **rest)


def agent(number: int, parent: int = 0, name: str = "support", **rest: Any) -> Span:
    """The span of an agent."""
    attributes: Attributes = {"gen_ai.operation.name": "invoke_agent"}
    if name:
        attributes["gen_ai.agent.name"] = name
    attributes |= rest.pop("attributes", {})
    return span(attributes, number=number, parent=parent, name=f"invoke_agent {name}".strip(), **rest)


def tool(number: int, parent: int = 0, name: str = "search", **rest: Any) -> Span:
    """A tool call."""
    attributes: Attributes = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name}
    return span(attributes, number=number, parent=parent, name=f"execute_tool {name}", **rest)


def chain(number: int, parent: int = 0, **rest: Any) -> Span:
    """A step of a framework."""
    return span({"openinference.span.kind": "CHAIN"}, number=number, parent=parent, name="chain", **rest)


def run_id(number: int, trace: bytes = TRACE) -> str:
    """The id of the run whose agent span has this number."""
    return f"{trace.hex()}-{span_id(number).hex()}"


def derive(*spans: Span) -> Changes:
    """What the spans come to in one batch."""
    return derive_changes(read_spans(spans), {})


@dataclass
class Books:
    """What is left when every instruction has been carried out."""

    runs: dict[tuple[str, bytes], Run] = field(default_factory=dict)
    steps: dict[tuple[bytes, bytes], str] = field(default_factory=dict)
    costs: dict[str, tuple[str, str, Any]] = field(default_factory=dict)
    known: dict[bytes, bytes] = field(default_factory=dict)

    def take(self, readings: list[Reading]) -> Changes:
        """Carry out what one batch changes, as a database would."""
        traces = {reading.trace_id for reading in readings}
        known: dict[bytes, KnownTrace] = {
            trace: unpack(trace, self.known[trace]) for trace in traces if trace in self.known
        }
        changes = derive_changes(readings, known)
        for step in changes.steps:
            key = (step.reading.trace_id, step.reading.span_id)
            assert key not in self.steps
            self.steps[key] = step.run_id
        for charge in changes.charges:
            assert charge.event_id not in self.costs
            self.costs[charge.event_id] = (charge.run_id, charge.agent, charge.reading.usage)
        for moved in changes.moved:
            key = (moved.trace_id, moved.span_id)
            if key in self.steps:
                assert self.steps[key] == moved.from_run_id
                self.steps[key] = moved.to_run_id
            event_id = f"{moved.trace_id.hex()}-{moved.span_id.hex()}"
            if moved.charged:
                assert self.costs[event_id][0] == moved.from_run_id
                self.costs[event_id] = (moved.to_run_id, moved.to_agent, self.costs[event_id][2])
        for withdrawn in changes.withdrawn:
            del self.costs[withdrawn.event_id]
        for gone in changes.gone:
            for trace in traces:
                self.runs.pop((gone, trace), None)
        for run in changes.runs:
            self.runs[run.run_id, run.trace_id] = run
        for trace, spans in changes.traces.items():
            self.known[trace] = pack(spans.spans)
        return changes

    def told(self) -> tuple[Any, Any, Any]:
        """What two deliveries of the same spans have to agree in."""
        return self.runs, self.steps, self.costs


def any_value(value: Value) -> AnyValue:
    """A protobuf value."""
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    if isinstance(value, bytes):
        return AnyValue(bytes_value=value)
    if isinstance(value, str):
        return AnyValue(string_value=value)
    made = AnyValue()
    if isinstance(value, list):
        made.array_value.values.extend(any_value(item) for item in value)
    elif isinstance(value, dict):
        made.kvlist_value.values.extend(
            KeyValue(key=key, value=any_value(item)) for key, item in value.items()
        )
    return made


def request(*attributes: Attributes, **fields: Any) -> ExportTraceServiceRequest:
    """A protobuf request with a span for each set of attributes, numbered from 1."""
    made = ExportTraceServiceRequest()
    of_scope = made.resource_spans.add().scope_spans.add()
    for number, said in enumerate(attributes, 1):
        one = of_scope.spans.add(
            **{
                "trace_id": TRACE,
                "span_id": span_id(number),
                "name": "span",
                "start_time_unix_nano": NOON,
                "end_time_unix_nano": NOON + SECOND,
                **fields,
            }
        )
        one.attributes.extend(KeyValue(key=key, value=any_value(value)) for key, value in said.items())
    return made
