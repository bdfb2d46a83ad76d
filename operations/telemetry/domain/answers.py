"""What a client is answered, in the form in which it asked."""

from __future__ import annotations

from typing import Final

import msgspec
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from .decode import Form
from .spans import Rejected

INVALID_ARGUMENT: Final = 3
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16
"""Codes of google.rpc.Status."""

MAX_MESSAGE: Final = 4000


def summary(rejected: list[Rejected]) -> str:
    """One sentence for each of the first refusals, and how many more there are."""
    shown = [f"span {one.index}: {one.detail} ({one.code})" for one in rejected[:10]]
    more = len(rejected) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def accepted(form: Form, rejected: int = 0, message: str = "") -> bytes:
    """The body of a 200. ``partial_success`` is set only when there is something to say.

    A message without rejected spans is a warning. The client must not send anything again.
    """
    message = message[:MAX_MESSAGE]
    if form == "json":
        said = {"rejectedSpans": str(rejected), "errorMessage": message}
        return msgspec.json.encode({"partialSuccess": said} if rejected or message else {})
    answer = ExportTraceServiceResponse()
    if rejected or message:
        answer.partial_success.rejected_spans = rejected
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def ignored_logs(form: Form, message: str = "") -> bytes:
    """The body of a 200 to ``/v1/logs``: taken, counted and not kept, with a warning if one is given."""
    if form == "json":
        return _warning(message)
    answer = ExportLogsServiceResponse()
    if message:
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def ignored_metrics(form: Form, message: str = "") -> bytes:
    """The body of a 200 to ``/v1/metrics``, as :func:`ignored_logs`."""
    if form == "json":
        return _warning(message)
    answer = ExportMetricsServiceResponse()
    if message:
        answer.partial_success.error_message = message
    return bytes(answer.SerializeToString())


def _warning(message: str) -> bytes:
    return msgspec.json.encode({"partialSuccess": {"errorMessage": message}} if message else {})


def refused(form: Form, code: int, message: str) -> bytes:
    """The body of a 4xx or 5xx: a google.rpc.Status with ``code`` and ``message``."""
    message = message[:MAX_MESSAGE]
    if form == "json":
        return msgspec.json.encode({"code": code, "message": message})
    # Two fields do not justify a package of generated code: 1 is the code, 2 the message.
    text = message.encode("utf-8", "replace")
    return b"\x08" + _varint(code) + (b"\x12" + _varint(len(text)) + text if text else b"")


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)
