"""Spans from the protobuf form of an OTLP trace request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .errors import bad_body, too_many_spans
from .spans import (
    Attributes,
    Bounds,
    Decoded,
    Event,
    Origin,
    Rejected,
    Span,
    Value,
    Wanted,
    bad_ids,
    ends,
    everything,
    sound_times,
)

NOT_TRACES: Final = (
    "The body is not an ExportTraceServiceRequest: it is damaged or cut off, or has logs or metrics, which have "
    "paths of their own."
)


def protobuf_implementation() -> str:
    """Which implementation decodes: ``upb`` is the fast one, ``python`` some fifty times slower."""
    return str(api_implementation.Type())


def decode_protobuf(body: bytes, bounds: Bounds, wanted: Wanted) -> Decoded:
    """The spans of a request body; BadBody when it is not one. Links and trace state are not read."""
    request = ExportTraceServiceRequest()
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise bad_body(NOT_TRACES) from None
    held = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if held > bounds.spans:
        raise too_many_spans(bounds.spans)
    spans: list[Span] = []
    rejected: list[Rejected] = []
    index = cut = strangers = 0
    for of_resource in request.resource_spans:
        resource, _ = _attributes(of_resource.resource.attributes, bounds, everything)
        for of_scope in of_resource.scope_spans:
            scope = of_scope.scope
            origin = Origin(resource, scope.name[: bounds.name], scope.version[: bounds.name])
            for said in of_scope.spans:
                span = _span(said, origin, index, bounds, wanted)
                if isinstance(span, Rejected):
                    rejected.append(span)
                    # Log records and metrics parse as spans whose every field is of another type.
                    strangers += len(said.trace_id) != 16 and not (
                        said.start_time_unix_nano or said.end_time_unix_nano
                    )
                else:
                    spans.append(span)
                    cut += span.dropped
                index += 1
    if index and strangers == index:
        raise bad_body(NOT_TRACES)
    return Decoded(spans, rejected, cut)


def _span(said: Any, origin: Origin, index: int, bounds: Bounds, wanted: Wanted) -> Span | Rejected:
    trace_id, span_id, parent_id = said.trace_id, said.span_id, said.parent_span_id
    if (len(trace_id) != 16 or len(span_id) != 8 or not any(trace_id) or not any(span_id)) and (
        problem := bad_ids(trace_id, span_id)
    ):
        return Rejected(index, *problem)
    times = sound_times(said.start_time_unix_nano, said.end_time_unix_nano)
    if times is None:
        return Rejected(index, "no_time", "a span has a start or an end")
    attributes, dropped = _attributes(said.attributes, bounds, wanted)
    events = said.events
    status = said.status
    return Span(
        trace_id,
        span_id,
        # All zeros are how some clients write that there is none.
        parent_id if len(parent_id) == 8 and any(parent_id) else b"",
        said.name[: bounds.name],
        said.kind,
        times[0],
        times[1],
        status.code,
        status.message[: bounds.text],
        attributes,
        _events(events, bounds, wanted) if events else (),
        origin,
        dropped,
        times[2],
    )


def _events(events: Any, bounds: Bounds, wanted: Wanted) -> tuple[Event, ...]:
    return tuple(
        Event(
            event.name[: bounds.name],
            event.time_unix_nano,
            _attributes(event.attributes, bounds, wanted)[0],
        )
        for event in ends(events, bounds.events)
    )


def _attributes(pairs: Iterable[Any], bounds: Bounds, wanted: Wanted) -> tuple[Attributes, int]:
    attributes: Attributes = {}
    longest, most = bounds.text, bounds.attributes
    dropped = 0
    for pair in pairs:
        key = pair.key
        if not wanted(key):
            continue
        if len(attributes) >= most or len(key) > bounds.key:
            dropped += 1
            continue
        value = pair.value
        kind = value.WhichOneof("value")
        if kind == "string_value":
            text = value.string_value
            attributes[key] = text if len(text) <= longest else text[:longest]
        elif kind == "int_value":
            attributes[key] = value.int_value
        else:
            attributes[key] = _value(value, kind, bounds, bounds.depth)
    return attributes, dropped


def _value(value: Any, kind: str | None, bounds: Bounds, depth: int) -> Value:
    if kind is None or depth <= 0:
        return None
    said = getattr(value, kind)
    if kind == "array_value":
        return [
            _value(item, item.WhichOneof("value"), bounds, depth - 1) for item in said.values[: bounds.items]
        ]
    if kind == "kvlist_value":
        return {
            pair.key[: bounds.key]: _value(pair.value, pair.value.WhichOneof("value"), bounds, depth - 1)
            for pair in said.values[: bounds.items]
        }
    if kind in ("string_value", "bytes_value"):
        return said[: bounds.text]  # type: ignore[no-any-return]
    return said  # type: ignore[no-any-return]
