"""How much of what is not kept a request holds: log records and points of metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from .compression import decompress
from .decode import Form
from .errors import bad_body
from .spans import Origin
from .values import text


class Held(NamedTuple):
    """How much a request holds, and the first resource in it."""

    items: int
    origin: Origin


class _Value(msgspec.Struct, rename="camel", gc=False):
    string_value: str = ""


class _Pair(msgspec.Struct, gc=False):
    key: str = ""
    value: _Value | None = None


class _Resource(msgspec.Struct, gc=False):
    attributes: list[_Pair] | None = None


class _ScopeLogs(msgspec.Struct, rename="camel", gc=False):
    log_records: list[msgspec.Raw] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel", gc=False):
    resource: _Resource | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _Logs(msgspec.Struct, rename="camel", gc=False):
    resource_logs: list[_ResourceLogs] | None = None


class _ScopeMetrics(msgspec.Struct, gc=False):
    metrics: list[dict[str, Any]] | None = None


class _ResourceMetrics(msgspec.Struct, rename="camel", gc=False):
    resource: _Resource | None = None
    scope_metrics: list[_ScopeMetrics] | None = None


class _Metrics(msgspec.Struct, rename="camel", gc=False):
    resource_metrics: list[_ResourceMetrics] | None = None


_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
_JSON_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
_logs = msgspec.json.Decoder(_Logs)
_metrics = msgspec.json.Decoder(_Metrics)


def count_logs(body: bytes, form: Form, encoding: str, limit: int) -> Held:
    """The log records of a request; raises BadBody, TooLarge and UnsupportedMedia."""
    plain = decompress(body, encoding, limit)
    if form == "json":
        of_resources = _decoded(_logs, plain).resource_logs or []
        count = sum(len(scope.log_records or ()) for one in of_resources for scope in one.scope_logs or ())
        return Held(count, _origin(_pairs(one.resource) for one in of_resources))
    request = ExportLogsServiceRequest()
    _parse(request, plain)
    count = sum(len(scope.log_records) for one in request.resource_logs for scope in one.scope_logs)
    return Held(count, _origin(one.resource.attributes for one in request.resource_logs))


def count_metrics(body: bytes, form: Form, encoding: str, limit: int) -> Held:
    """The points of metrics of a request; raises BadBody, TooLarge and UnsupportedMedia."""
    plain = decompress(body, encoding, limit)
    if form == "json":
        resources = _decoded(_metrics, plain).resource_metrics or []
        found = [
            metric for one in resources for scope in one.scope_metrics or () for metric in scope.metrics or ()
        ]
        count = sum(_points(metric.get(kind)) for metric in found for kind in _JSON_KINDS)
        return Held(count, _origin(_pairs(one.resource) for one in resources))
    request = ExportMetricsServiceRequest()
    _parse(request, plain)
    count = sum(
        len(getattr(metric, kind).data_points)
        for one in request.resource_metrics
        for scope in one.scope_metrics
        for metric in scope.metrics
        for kind in _KINDS
        if metric.HasField(kind)
    )
    return Held(count, _origin(one.resource.attributes for one in request.resource_metrics))


def _points(data: object) -> int:
    points = data.get("dataPoints") if isinstance(data, dict) else None
    return len(points) if isinstance(points, list) else 0


def _parse(request: Message, body: bytes) -> None:
    try:
        request.ParseFromString(body)
    except DecodeError:
        raise bad_body("The body cannot be read.") from None


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_body("The body cannot be read.") from None


def _pairs(resource: _Resource | None) -> list[_Pair]:
    return (resource.attributes or []) if resource is not None else []


def _origin(resources: Iterable[Iterable[Any]]) -> Origin:
    first: Iterable[Any] = next(iter(resources), ())
    said = {pair.key: text(pair.value.string_value) for pair in first if pair.value is not None}
    return Origin({key: value for key, value in said.items() if value})
