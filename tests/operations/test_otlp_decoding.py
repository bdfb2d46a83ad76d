"""Reading OTLP request bodies: both forms, compression, bounds, and everything that can be wrong with them."""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import Any

import msgspec
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agent_factory_site.common.errors import TooLarge, UnsupportedMedia
from operations.telemetry.domain import answers
from operations.telemetry.domain.compression import decompress
from operations.telemetry.domain.conventions import is_wanted
from operations.telemetry.domain.decode import decode_traces, form_of
from operations.telemetry.domain.errors import BadBody
from operations.telemetry.domain.protobuf import protobuf_implementation
from operations.telemetry.domain.spans import BOUNDS, Decoded, Rejected

from .otlp import NOON, SECOND, TRACE, request, span_id

pytestmark = pytest.mark.once

ID = "0102030405060708090A0b0c0d0e0f10"


def pb(*attributes: Any, **fields: Any) -> Decoded:
    return decode_traces(request(*attributes, **fields).SerializeToString(), "protobuf")


def js(*spans: Any, **top: Any) -> Decoded:
    body = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}], **top}
    return decode_traces(json.dumps(body).encode(), "json")


def json_span(**fields: Any) -> dict[str, Any]:
    return {
        "traceId": ID,
        "spanId": "0000000000000001",
        "name": "span",
        "startTimeUnixNano": str(NOON),
        "endTimeUnixNano": str(NOON + SECOND),
        **fields,
    }


def codes(decoded: Decoded) -> list[tuple[int, str]]:
    return [(one.index, one.code) for one in decoded.rejected]


def test_protobuf_is_decoded_by_the_fast_implementation() -> None:
    assert protobuf_implementation() == "upb"


VALUES = {"s": "text", "i": -7, "d": 0.5, "b": True, "l": ["a", 1], "m": {"k": {"n": 2}}}


def test_both_forms_say_the_same() -> None:
    said = [
        {"key": "s", "value": {"stringValue": "text"}},
        {"key": "i", "value": {"intValue": "-7"}},
        {"key": "d", "value": {"doubleValue": 0.5}},
        {"key": "b", "value": {"boolValue": True}},
        {"key": "l", "value": {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": 1}]}}},
        {
            "key": "m",
            "value": {
                "kvlistValue": {
                    "values": [
                        {
                            "key": "k",
                            "value": {"kvlistValue": {"values": [{"key": "n", "value": {"intValue": "2"}}]}},
                        }
                    ]
                }
            },
        },
    ]
    one = pb(VALUES).spans[0]
    other = js(json_span(attributes=said)).spans[0]
    assert one.attributes == VALUES
    assert (one.trace_id, one.span_id, one.parent_id, one.start, one.end) == (
        TRACE, span_id(1), b"", NOON, NOON + SECOND,
    )  # fmt: skip
    for name in (
        "trace_id",
        "span_id",
        "parent_id",
        "name",
        "start",
        "end",
        "status",
        "attributes",
        "events",
    ):
        assert getattr(other, name) == getattr(one, name)


def test_json_takes_ids_of_any_case_and_numbers_as_text_or_numbers_and_ignores_the_unknown() -> None:
    decoded = js(
        json_span(
            startTimeUnixNano=NOON, parentSpanId="00000000000000aB", surprise={"a": [1]}, status={"code": 2}
        ),
        json_span(traceId=ID.upper(), traceState="x", links=[{}], droppedAttributesCount=3),
        futureField=1,
    )
    assert [one.trace_id for one in decoded.spans] == [TRACE, TRACE]
    assert decoded.spans[0].parent_id == b"\0\0\0\0\0\0\0\xab"
    assert decoded.spans[0].status == 2
    assert decoded.spans[0].start == NOON


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\uDE00 cut", "\ufffd cut"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\\ud83d is text \udc00", "\\ud83d is text \ufffd"),
    ],
)
def test_halves_of_characters_as_javascript_leaves_them_cost_nothing(written: bytes, read: str) -> None:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [json_span(name="here")]}]}]}).encode()
    decoded = decode_traces(body.replace(b"here", written), "json")
    assert [one.name for one in decoded.spans] == [read]


def test_snake_case_is_not_the_json_form() -> None:
    assert codes(js({"trace_id": ID, "span_id": "0000000000000001"})) == [(0, "bad_trace_id")]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"trace_id": bytes(16)}, "bad_trace_id"),
        ({"trace_id": b"\1" * 15}, "bad_trace_id"),
        ({"span_id": bytes(8)}, "bad_span_id"),
        ({"span_id": b"\1"}, "bad_span_id"),
        ({"start_time_unix_nano": 0, "end_time_unix_nano": 0}, "no_time"),
        ({"start_time_unix_nano": 2**64 - 1, "end_time_unix_nano": 2**63}, "no_time"),
    ],
)
def test_a_bad_span_is_rejected_by_itself(fields: dict[str, Any], code: str) -> None:
    made = request({}, {}, {})
    bad = made.resource_spans[0].scope_spans[0].spans[1]
    for name, value in fields.items():
        setattr(bad, name, value)
    decoded = decode_traces(made.SerializeToString(), "protobuf")
    assert codes(decoded) == [(1, code)]
    assert [one.span_id for one in decoded.spans] == [span_id(1), span_id(3)]
    assert decoded.received == 3


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"traceId": "0" * 32}, "bad_trace_id"),
        ({"traceId": "AQIDBAUGBwgJCgsMDQ4PEA=="}, "bad_trace_id"),
        ({"traceId": " " + ID}, "bad_trace_id"),
        ({"traceId": None}, "bad_trace_id"),
        ({"spanId": "1"}, "bad_span_id"),
        ({"spanId": "zz" * 8}, "bad_span_id"),
        ({"spanId": 17}, "malformed"),
        ({"name": ["a"]}, "malformed"),
        ({"attributes": {"a": 1}}, "malformed"),
        ({"kind": "SPAN_KIND_CLIENT"}, "malformed"),
        ({"startTimeUnixNano": "soon", "endTimeUnixNano": "-5"}, "no_time"),
    ],
)
def test_a_bad_json_span_is_rejected_by_itself(fields: dict[str, Any], code: str) -> None:
    decoded = js(json_span(**fields), json_span())
    assert codes(decoded) == [(0, code)]
    assert len(decoded.spans) == 1


def test_zero_parents_are_none_and_an_end_before_the_start_is_mended_and_said() -> None:
    one = pb({}, parent_span_id=bytes(8), end_time_unix_nano=NOON - SECOND).spans[0]
    assert (one.parent_id, one.start, one.end, one.clock) == (b"", NOON, NOON, True)
    one = pb({}, start_time_unix_nano=0).spans[0]
    assert (one.start, one.end, one.clock) == (NOON + SECOND, NOON + SECOND, True)


def test_odd_values_become_nothing_or_what_they_are() -> None:
    assert math.isnan(pb({"d": math.nan}).spans[0].attributes["d"])  # type: ignore[arg-type]
    odd = [
        ("nan", {"doubleValue": "NaN"}), ("inf", {"doubleValue": "Infinity"}), ("bad", {"doubleValue": "many"}),
        ("text", {"intValue": "12"}), ("huge", {"intValue": "9" * 40}), ("half", {"intValue": 1.5}),
        ("empty", {}), ("null", None), ("future", {"newValue": 1}), ("list", {"arrayValue": {}}),
    ]  # fmt: skip
    found = js(json_span(attributes=[{"key": key, "value": value} for key, value in odd])).spans[0].attributes
    assert math.isnan(found.pop("nan"))  # type: ignore[arg-type]
    assert found == {
        "inf": math.inf, "bad": None, "text": 12, "huge": None, "half": None, "empty": None, "null": None,
        "future": None, "list": [],
    }  # fmt: skip


def test_attributes_are_bounded_in_number_length_and_depth() -> None:
    deep: Any = "bottom"
    for _ in range(30):
        deep = [deep]
    many = {f"key.{number}": number for number in range(100_000)}
    decoded = pb(many, {"long": "x" * 20_000_000, "k" * 300: 1, "deep": deep, "__proto__": "x"})
    assert len(decoded.spans[0].attributes) == BOUNDS.attributes
    assert decoded.cut == 100_000 - BOUNDS.attributes + 1
    bounded = decoded.spans[1].attributes
    assert len(str(bounded["long"])) == BOUNDS.text
    assert bounded["__proto__"] == "x"
    assert str(bounded["deep"]).count("[") == BOUNDS.depth
    assert len(bounded) == 3


def test_too_many_spans_are_refused_before_they_are_read() -> None:
    bounds = BOUNDS._replace(spans=2)
    for count, fits in ((2, True), (3, False)):
        body = request(*[{}] * count).SerializeToString()
        text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [json_span()] * count}]}]}).encode()
        for form, data in (("protobuf", body), ("json", text)):
            if fits:
                assert len(decode_traces(data, form, bounds=bounds).spans) == count
            else:
                with pytest.raises(TooLarge, match="more than 2 spans"):
                    decode_traces(data, form, bounds=bounds)


def test_of_many_events_the_first_and_the_last_are_kept() -> None:
    made = request({})
    names = [f"chunk {number}" for number in range(1000)] + ["exception"]
    for name in names:
        made.resource_spans[0].scope_spans[0].spans[0].events.add(name=name)
    kept = decode_traces(made.SerializeToString(), "protobuf").spans[0].events
    said = js(json_span(events=[{"name": name} for name in names])).spans[0].events
    assert [one.name for one in kept] == [one.name for one in said] == [*names[:64], *names[-64:]]


def test_what_no_convention_reads_is_not_decoded() -> None:
    said = {"gen_ai.input.messages": "a secret", "http.url": "x", "gen_ai.request.model": "m"}
    body = request(said, said).SerializeToString()
    decoded = decode_traces(body, "protobuf", wanted=is_wanted)
    assert [one.attributes for one in decoded.spans] == [{"gen_ai.request.model": "m"}] * 2
    said_json = [{"key": key, "value": {"stringValue": value}} for key, value in said.items()]
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [json_span(attributes=said_json)]}]}]})
    assert decode_traces(text.encode(), "json", wanted=is_wanted).spans[0].attributes == {
        "gen_ai.request.model": "m"
    }


@pytest.mark.parametrize("body", [b"", b"\n\0"])
def test_an_empty_request_is_a_request(body: bytes) -> None:
    assert decode_traces(body, "protobuf") == Decoded([], [], 0)
    for text in (b"{}", b'{"resourceSpans":null}', b'{"resourceSpans":[{"scopeSpans":[{}]}]}'):
        assert decode_traces(text, "json") == Decoded([], [], 0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"nonsense",
        b'{"resourceSpans": 5}',
        b'{"resourceSpans"',
        b'"x"',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_json_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        decode_traces(body, "json")


def test_logs_and_metrics_are_not_traces() -> None:
    for body in (b'{"resourceLogs": []}', b'{"resourceMetrics": [{}]}'):
        with pytest.raises(BadBody):
            decode_traces(body, "json")
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOON, severity_number=9)
    metrics = ExportMetricsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="tokens", description="d")
    for other in (logs, metrics):
        with pytest.raises(BadBody):
            decode_traces(other.SerializeToString(), "protobuf")


def test_a_cut_off_protobuf_body_is_refused() -> None:
    body = request({"a": "b" * 100}).SerializeToString()
    for length in (1, 2, len(body) // 2, len(body) - 1):
        with pytest.raises(BadBody):
            decode_traces(body[:length], "protobuf")


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:]) + b"\0\0"),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("identity", bytes),
        ("", bytes),
    ],
)
def test_bodies_are_decompressed_and_their_size_is_that_after_it(encoding: str, pack: Any) -> None:
    body = request({"a": "b" * 100}).SerializeToString()
    assert len(decode_traces(pack(body), "protobuf", encoding=encoding).spans) == 1
    assert decompress(pack(body), encoding, len(body)) == body
    with pytest.raises(TooLarge):
        decompress(pack(body), encoding, len(body) - 1)


def test_a_bomb_is_refused_before_it_has_grown() -> None:
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 9)
    assert len(bomb) < 300_000
    with pytest.raises(TooLarge):
        decode_traces(bomb, "protobuf", encoding="gzip")
    many = gzip.compress(bytes(1000)) * 100
    with pytest.raises(TooLarge):
        decompress(many, "gzip", 99_999)
    assert len(decompress(many, "gzip", 100_000)) == 100_000


def test_damaged_compression_and_other_encodings_are_refused() -> None:
    packed = gzip.compress(b"x" * 1000)
    for body in (packed[:-1], packed[:5], b"", b"plain", packed + b"rest"):
        with pytest.raises(BadBody):
            decompress(body, "gzip", 10_000)
    for body in (zlib.compress(b"x" * 1000)[:-2], zlib.compress(b"x") + b"rest", b"\xff\xff\xff"):
        with pytest.raises(BadBody):
            decompress(body, "deflate", 10_000)
    for encoding in ("br", "zstd", "gzip, gzip"):
        with pytest.raises(UnsupportedMedia):
            decompress(packed, encoding, 10_000)


def test_the_content_type_names_the_form() -> None:
    assert form_of("application/x-protobuf") == "protobuf"
    assert form_of("Application/JSON; charset=utf-8") == "json"
    for other in ("", "text/plain", "application/grpc"):
        with pytest.raises(UnsupportedMedia):
            form_of(other)


def test_answers_are_in_the_form_of_the_request() -> None:
    assert answers.accepted("protobuf") == b""
    assert answers.accepted("json") == b"{}"
    said = answers.summary([Rejected(number, "bad_span_id", "no id") for number in range(12)])
    assert said.startswith("span 0: no id (bad_span_id); span 1:")
    assert said.endswith("; and 2 more")
    answer = ExportTraceServiceResponse.FromString(answers.accepted("protobuf", 12, said))
    assert (answer.partial_success.rejected_spans, answer.partial_success.error_message) == (12, said)
    assert msgspec.json.decode(answers.accepted("json", 12, said)) == {
        "partialSuccess": {"rejectedSpans": "12", "errorMessage": said}
    }
    warning = ExportTraceServiceResponse.FromString(answers.accepted("protobuf", 0, "beware"))
    assert warning.partial_success.error_message == "beware"
    for ignored in (answers.ignored_logs, answers.ignored_metrics):
        assert ignored("protobuf") == b""
        assert ignored("json", "not kept") == b'{"partialSuccess":{"errorMessage":"not kept"}}'


def status_message() -> Any:
    """google.rpc.Status as its own documentation defines it."""
    file = descriptor_pb2.FileDescriptorProto(name="status.proto", package="google.rpc", syntax="proto3")
    message = file.message_type.add(name="Status")
    message.field.add(name="code", number=1, type=5, label=1)
    message.field.add(name="message", number=2, type=9, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status"))


def test_errors_are_a_status_in_both_forms() -> None:
    said = "Zu groß. " * 40
    status = status_message().FromString(answers.refused("protobuf", answers.RESOURCE_EXHAUSTED, said))
    assert (status.code, status.message) == (8, said)
    assert msgspec.json.decode(answers.refused("json", answers.UNAVAILABLE, said)) == {
        "code": 14,
        "message": said,
    }
