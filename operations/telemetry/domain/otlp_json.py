"""Spans from the JSON form of an OTLP trace request.

The mapping is OTLP's own, not protobuf's: ids are hex of any case, enums are numbers, 64-bit numbers are
strings or numbers, names are lowerCamelCase only, and unknown fields are ignored.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

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
    'The body is not an ExportTraceServiceRequest in JSON: an object with "resourceSpans". '
    "It is damaged or cut off, or has logs or metrics, which have paths of their own."
)
_SURROGATES: Final = re.compile(
    rb"(?P<pair>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
"""Escapes one after the other, so that a backslash that is itself escaped begins none."""
_INT64: Final = range(-(2**63), 2**63)
_Int = int | str | None


class _Said(msgspec.Struct, rename="camel", gc=False):
    """A JSON object of which unknown fields are ignored."""


class _Pair(_Said):
    key: str = ""
    value: dict[str, Any] | None = None


class _Resource(_Said):
    attributes: list[_Pair] | None = None


class _Scope(_Said):
    name: str | None = None
    version: str | None = None


class _Event(_Said):
    time_unix_nano: _Int = None
    name: str | None = None
    attributes: list[_Pair] | None = None


class _Status(_Said):
    code: int | None = None
    message: str | None = None


class _Span(_Said):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | None = None
    start_time_unix_nano: _Int = None
    end_time_unix_nano: _Int = None
    attributes: list[_Pair] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _ScopeSpans(_Said):
    scope: _Scope | None = None
    spans: list[msgspec.Raw] | None = None


class _ResourceSpans(_Said):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Request(_Said):
    resource_spans: list[_ResourceSpans] | None = None
    resource_logs: msgspec.Raw = msgspec.Raw()
    resource_metrics: msgspec.Raw = msgspec.Raw()


_request: Final = msgspec.json.Decoder(_Request)
# Each span is decoded by itself, so that one bad span costs no other.
_one: Final = msgspec.json.Decoder(_Span)


def decode_json(body: bytes, bounds: Bounds, wanted: Wanted) -> Decoded:
    """The spans of a request body; BadBody when it is not one. Links and trace state are not read."""
    try:
        request = _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        request = _mended(body)
    if request.resource_spans is None and (bytes(request.resource_logs) or bytes(request.resource_metrics)):
        raise bad_body(NOT_TRACES)
    held = sum(
        len(scope.spans or ())
        for resource in request.resource_spans or ()
        for scope in resource.scope_spans or ()
    )
    if held > bounds.spans:
        raise too_many_spans(bounds.spans)
    spans: list[Span] = []
    rejected: list[Rejected] = []
    index = cut = 0
    for of_resource in request.resource_spans or ():
        said = of_resource.resource
        resource, _ = _attributes(said.attributes if said else None, bounds, everything)
        for of_scope in of_resource.scope_spans or ():
            scope = of_scope.scope or _Scope()
            origin = Origin(resource, (scope.name or "")[: bounds.name], (scope.version or "")[: bounds.name])
            for raw in of_scope.spans or ():
                span = _span(raw, origin, index, bounds, wanted)
                if isinstance(span, Rejected):
                    rejected.append(span)
                else:
                    spans.append(span)
                    cut += span.dropped
                index += 1
    return Decoded(spans, rejected, cut)


def _mended(body: bytes) -> _Request:
    """The request of a body that did not decode, if halves of surrogate pairs were all that was wrong.

    JavaScript writes such when a text was cut within a character; they become U+FFFD.
    """
    if b"\\ud" not in body and b"\\uD" not in body:
        raise bad_body(NOT_TRACES)
    whole = _SURROGATES.sub(lambda found: rb"\ufffd" if found["half"] else found[0], body)
    try:
        return _request.decode(whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_body(NOT_TRACES) from None


def _span(raw: msgspec.Raw, origin: Origin, index: int, bounds: Bounds, wanted: Wanted) -> Span | Rejected:
    try:
        said = _one.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Rejected(index, "malformed", f"the span is not as OTLP writes it: {str(error)[:200]}")
    except RecursionError:
        return Rejected(index, "malformed", "the span is nested too deeply")
    trace_id, span_id = _id(said.trace_id), _id(said.span_id)
    if problem := bad_ids(trace_id, span_id):
        return Rejected(index, *problem)
    start, end = _whole(said.start_time_unix_nano), _whole(said.end_time_unix_nano)
    times = sound_times(start or 0, end or 0)
    if times is None:
        return Rejected(index, "no_time", "a span has a start or an end")
    parent_id = _id(said.parent_span_id)
    attributes, dropped = _attributes(said.attributes, bounds, wanted)
    status = said.status
    return Span(
        trace_id,
        span_id,
        parent_id if len(parent_id) == 8 and any(parent_id) else b"",
        (said.name or "")[: bounds.name],
        said.kind or 0,
        times[0],
        times[1],
        (status.code or 0) if status else 0,
        (status.message or "")[: bounds.text] if status else "",
        attributes,
        _events(said.events, bounds, wanted) if said.events else (),
        origin,
        dropped,
        times[2],
    )


def _events(events: Sequence[_Event], bounds: Bounds, wanted: Wanted) -> tuple[Event, ...]:
    return tuple(
        Event(
            (event.name or "")[: bounds.name],
            max(0, _whole(event.time_unix_nano) or 0),
            _attributes(event.attributes, bounds, wanted)[0],
        )
        for event in ends(events, bounds.events)
    )


def _id(text: str | None) -> bytes:
    # bytes.fromhex forgives white space, the format does not.
    if not text or not text.isalnum():
        return b""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _whole(said: object) -> int | None:
    """A 64-bit number that may be written as a string; None for anything else."""
    if isinstance(said, str):
        if not (said.isascii() and said.removeprefix("-").isdigit() and len(said) <= 20):
            return None
        said = int(said)
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    return said if type(said) is int and -(2**63) <= said < 2**64 else None


def _attributes(pairs: Sequence[_Pair] | None, bounds: Bounds, wanted: Wanted) -> tuple[Attributes, int]:
    attributes: Attributes = {}
    dropped = 0
    for pair in pairs or ():
        key = pair.key
        if not wanted(key):
            continue
        if len(attributes) >= bounds.attributes or len(key) > bounds.key:
            dropped += 1
            continue
        attributes[key] = _value(pair.value, bounds, bounds.depth)
    return attributes, dropped


def _value(said: Any, bounds: Bounds, depth: int) -> Value:
    """An AnyValue; None for an empty, unknown or malformed one."""
    if not isinstance(said, dict) or depth <= 0:
        return None
    for kind, inner in said.items():
        if kind == "stringValue":
            return inner[: bounds.text] if isinstance(inner, str) else None
        if kind == "intValue":
            number = _whole(inner)
            return number if number is not None and number in _INT64 else None
        if kind == "doubleValue":
            return _double(inner)
        if kind == "boolValue":
            return inner if isinstance(inner, bool) else None
        if kind == "bytesValue":
            return inner[: bounds.text] if isinstance(inner, str) else None
        if kind in ("arrayValue", "kvlistValue"):
            values = inner.get("values") if isinstance(inner, dict) else None
            items = values[: bounds.items] if isinstance(values, list) else []
            if kind == "arrayValue":
                return [_value(item, bounds, depth - 1) for item in items]
            return {
                str(item.get("key", ""))[: bounds.key]: _value(item.get("value"), bounds, depth - 1)
                for item in items
                if isinstance(item, dict)
            }
    return None


def _double(said: object) -> float | None:
    if isinstance(said, bool):
        return None
    if isinstance(said, int | float):
        return float(said) if abs(said) < 1e300 else math.inf
    if isinstance(said, str):
        try:
            return float(said)
        except ValueError:
            return None
    return None
