"""``/v1/traces``, ``/v1/logs`` and ``/v1/metrics`` as exporters find them: keys, forms, refusals."""

from __future__ import annotations

import base64
import gzip
import json
import sqlite3
import zlib
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from agent_factory_site.common.health_checks import all_checks
from agent_factory_site.common.services.api_keys import create_api_key
from operations.fleet.models import Agent, Run, Step
from operations.telemetry.domain.answers import refused
from operations.telemetry.models import TelemetrySource, Trace

from .otlp import NOON, SECOND, TRACE, any_value, request, span_id

pytestmark = pytest.mark.django_db

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
PATHS = ("/v1/traces", "/api/v1/operations/otlp/v1/traces")
AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}


@pytest.fixture
def key() -> str:
    return create_api_key(name="exporter", scopes=["ingest"])[1]


def body() -> bytes:
    made = request(AGENT)
    made.resource_spans[0].resource.attributes.add(key="service.name", value=any_value("shop"))
    return bytes(made.SerializeToString())


def json_body(**fields: Any) -> dict[str, Any]:
    span = {
        "traceId": TRACE.hex(),
        "spanId": span_id(1).hex(),
        "name": "invoke_agent",
        "startTimeUnixNano": str(NOON),
        "endTimeUnixNano": str(NOON + SECOND),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in AGENT.items()],
        **fields,
    }
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def send(
    client: Client, key: str, data: bytes, form: str = PROTOBUF, path: str = "/v1/traces", **headers: str
) -> Any:
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    return client.generic("POST", path, data, content_type=form, headers={**shown, **headers})


def status_of(response: Any) -> tuple[int, str]:
    """Code and message of the google.rpc.Status in a response."""
    if response["Content-Type"] == JSON:
        said = response.json()
        return said["code"], said["message"]
    text: bytes = response.content
    assert text[0] == 8
    for code in range(17):
        prefix = refused("protobuf", code, "")
        if text.startswith(prefix + b"\x12"):
            length, at = 0, len(prefix) + 1
            shift = 0
            while True:
                length |= (text[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if not text[at - 1] & 128:
                    break
            assert len(text) == at + length
            return code, text[at:].decode()
    raise AssertionError(text)


@pytest.mark.parametrize("path", PATHS)
def test_protobuf_is_taken_and_answered_in_protobuf(client: Client, key: str, path: str) -> None:
    response = send(client, key, body(), path=path)
    assert (response.status_code, response["Content-Type"]) == (200, PROTOBUF)
    assert response.content == b""
    assert Run.objects.get().agent.key == "support"
    assert Trace.objects.count() == 1


@pytest.mark.parametrize("path", PATHS)
def test_json_is_taken_and_answered_in_json(client: Client, key: str, path: str) -> None:
    response = send(client, key, json.dumps(json_body()).encode(), JSON, path)
    assert (response.status_code, response["Content-Type"], response.json()) == (200, JSON, {})
    assert Run.objects.get().status == "ok"


def test_a_request_without_spans_is_a_success(client: Client, key: str) -> None:
    assert send(client, key, b"", **{"Content-Type": PROTOBUF}).status_code == 200
    assert send(client, key, b"{}", JSON).status_code == 200
    assert not Trace.objects.exists()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data, wbits=-15)),
        ("identity", bytes),
    ],
)
def test_compressed_bodies_are_read(client: Client, key: str, encoding: str, pack: Any) -> None:
    response = send(client, key, pack(body()), **{"Content-Encoding": encoding})
    assert response.status_code == 200
    assert Run.objects.count() == 1


def headers_of(key: str) -> dict[str, dict[str, str]]:
    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    return {
        "bearer": {"Authorization": f"Bearer {key}"},
        "bearer in lower case": {"Authorization": f"bearer {key}"},
        "percent-encoded bearer": {"Authorization": f"Bearer%20{key}"},
        "the key alone": {"Authorization": key},
        "password": {"Authorization": basic(f"any:{key}")},
        "user": {"Authorization": basic(f"{key}:")},
        "percent-encoded basic": {
            "Authorization": basic(f"any:{key}").replace(" ", "%20").replace("=", "%3D")
        },
        "x-api-key": {"X-API-Key": key},
        "percent-encoded x-api-key": {"X-API-Key": f"%20{key}"},
        "both the same": {"Authorization": f"Bearer {key}", "X-API-Key": key},
    }


@pytest.mark.parametrize("way", list(headers_of("")))
def test_a_key_is_found_wherever_exporters_put_it(client: Client, key: str, way: str) -> None:
    assert send(client, "", body(), **headers_of(key)[way]).status_code == 200
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer af_nobody"},
        {"Authorization": "Basic !!"},
        {"Authorization": "Basic " + base64.b64encode(b"user:password").decode()},
        {"Authorization": "Bearer af_one", "X-API-Key": "af_other"},
        {"X-API-Key": "%"},
    ],
)
@pytest.mark.parametrize("form", [PROTOBUF, JSON])
def test_without_a_key_that_is_known_it_is_401_as_a_status(
    client: Client, headers: dict[str, str], form: str
) -> None:
    response = send(client, "", body(), form, **headers)
    assert (response.status_code, response["Content-Type"]) == (401, form)
    assert status_of(response)[0] == 16
    assert response["WWW-Authenticate"].startswith("Bearer ")
    assert not Trace.objects.exists()


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs", "/v1/metrics"])
@pytest.mark.parametrize("form", [PROTOBUF, JSON])
def test_a_key_without_the_scope_is_403(client: Client, path: str, form: str) -> None:
    key = create_api_key(name="reader", scopes=["operations:admin"])[1]
    response = send(client, key, body() if form == PROTOBUF else b"{}", form, path)
    assert (response.status_code, status_of(response)) == (403, (7, "This needs the scope ingest."))
    assert not Trace.objects.exists()


def test_a_revoked_key_is_refused_at_the_next_request(client: Client, key: str) -> None:
    from agent_factory_site.common.models import ApiKey
    from agent_factory_site.common.services.api_keys import revoke_api_key

    assert send(client, key, body()).status_code == 200
    revoke_api_key(key_id=ApiKey.objects.get(name="exporter").pk)
    assert send(client, key, body()).status_code == 401


@pytest.mark.parametrize(
    ("data", "form", "headers", "status", "code"),
    [
        (b"\xff\xff\xff", PROTOBUF, {}, 400, 3),
        (b"{", JSON, {}, 400, 3),
        (b"[]", JSON, {}, 400, 3),
        (b"\x00" * 20, PROTOBUF, {"Content-Encoding": "gzip"}, 400, 3),
        (body()[:-3], PROTOBUF, {}, 400, 3),
        (gzip.compress(body())[:-6], PROTOBUF, {"Content-Encoding": "gzip"}, 400, 3),
        (body(), PROTOBUF, {"Content-Encoding": "br"}, 415, 3),
        (body(), "text/plain", {}, 415, 3),
        (gzip.compress(b"\0" * (64 * 1024 * 1024 + 1)), PROTOBUF, {"Content-Encoding": "gzip"}, 413, 8),
    ],
)
def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    client: Client, key: str, data: bytes, form: str, headers: dict[str, str], status: int, code: int
) -> None:
    response = send(client, key, data, form, **headers)
    assert (response.status_code, status_of(response)[0]) == (status, code)
    assert response["Content-Type"] == (form if form != "text/plain" else PROTOBUF)
    assert not Trace.objects.exists()
    source = TelemetrySource.objects.get()
    assert key.startswith(source.key)
    assert source.key
    reason = {400: "bad_body", 413: "body_too_large", 415: "unsupported_media"}[status]
    assert (source.service, source.sdk) == ("", "")
    assert (source.requests, source.refused, source.ignored_by) == (1, 1, {reason: 1})


def test_refused_bodies_of_a_key_are_one_source_whatever_they_say(client: Client, key: str) -> None:
    for number in range(20):
        assert send(client, key, f'{{"resourceSpans": "shop-{number}"'.encode(), JSON).status_code == 400
        assert send(client, key, b"\xff", path="/v1/logs").status_code == 400
    assert send(client, key, body()).status_code == 200
    source = TelemetrySource.objects.get(service="")
    assert (source.requests, source.refused, source.accepted) == (40, 40, 0)
    assert source.ignored_by == {"bad_body": 40}
    assert TelemetrySource.objects.exclude(service="").get().accepted == 1


def test_requests_without_a_key_that_is_good_are_counted_nowhere(client: Client) -> None:
    stranger = create_api_key(name="reader", scopes=["operations:read"])[1]
    assert send(client, stranger, b"\xff").status_code == 403
    assert send(client, "af_nothing", b"\xff").status_code == 401
    assert not TelemetrySource.objects.exists()


def test_a_body_beyond_the_limit_is_refused_by_its_length(client: Client, key: str, settings: Any) -> None:
    settings.OTLP_MAX_BODY_BYTES = 1000
    response = send(client, key, b"\0" * 1001)
    assert (response.status_code, status_of(response)[0]) == (413, 8)


def test_bodies_above_the_limit_of_other_paths_are_taken(client: Client, key: str, settings: Any) -> None:
    settings.API_MAX_BODY_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    large = request({**AGENT, "gen_ai.input.messages": "x" * 20_000}).SerializeToString()
    assert send(client, key, large).status_code == 200
    assert Run.objects.count() == 1


def test_logs_sent_as_traces_are_refused(client: Client, key: str) -> None:
    made = ExportLogsServiceRequest()
    made.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=NOON, severity_number=9)
    response = send(client, key, made.SerializeToString())
    assert response.status_code == 400
    assert "Logs" in status_of(response)[1] or "logs" in status_of(response)[1]


def test_a_bad_span_is_rejected_by_itself(client: Client, key: str) -> None:
    made = request(AGENT, {}, {})
    spans = made.resource_spans[0].scope_spans[0].spans
    spans[1].span_id = b"\0" * 8
    spans[2].trace_id = b"short"
    response = send(client, key, made.SerializeToString())
    said = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (response.status_code, said.rejected_spans) == (200, 2)
    assert said.error_message.startswith("span 1: a span id is 8 bytes")
    assert Run.objects.count() == 1
    source = TelemetrySource.objects.get()
    assert (source.accepted, source.rejected) == (1, 2)
    assert source.ignored_by == {"bad_span_id": 1, "bad_trace_id": 1}


@pytest.mark.parametrize("form", [PROTOBUF, JSON])
def test_logs_and_metrics_are_counted_and_not_kept(client: Client, key: str, form: str) -> None:
    logs = ExportLogsServiceRequest()
    of_resource = logs.resource_logs.add()
    of_resource.resource.attributes.add(key="service.name", value=any_value("shop"))
    of_resource.scope_logs.add().log_records.add(time_unix_nano=NOON)
    of_resource.scope_logs[0].log_records.add(time_unix_nano=NOON)
    metrics = ExportMetricsServiceRequest()
    of_metrics = metrics.resource_metrics.add()
    of_metrics.resource.attributes.add(key="service.name", value=any_value("shop"))
    metric = of_metrics.scope_metrics.add().metrics.add(name="tokens")
    metric.gauge.data_points.add(as_int=1)
    metric.gauge.data_points.add(as_int=2)
    metric.gauge.data_points.add(as_int=3)
    if form == PROTOBUF:
        bodies = logs.SerializeToString(), metrics.SerializeToString()
    else:
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
        points = {"gauge": {"dataPoints": [{}, {}, {}]}}
        bodies = (
            json.dumps(
                {"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": [{}, {}]}]}]}
            ).encode(),
            json.dumps(
                {"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": [points]}]}]}
            ).encode(),
        )
    first = send(client, key, bodies[0], form, "/v1/logs")
    second = send(client, key, bodies[1], form, "/api/v1/operations/otlp/v1/metrics")
    assert (first.status_code, second.status_code) == (200, 200)
    if form == PROTOBUF:
        assert ExportLogsServiceResponse.FromString(first.content) == ExportLogsServiceResponse()
        assert ExportMetricsServiceResponse.FromString(second.content) == ExportMetricsServiceResponse()
    else:
        assert (first.json(), second.json()) == ({}, {})
    source = TelemetrySource.objects.get()
    assert (source.service, source.requests, source.ignored, source.accepted) == ("shop", 2, 5, 0)
    assert source.ignored_by == {"log_records": 2, "metric_points": 3}
    assert send(client, key, b"\xff", form, "/v1/logs").status_code == 400
    assert send(client, key, b"\xff", form, "/v1/metrics").status_code == 400


def test_sources_are_counted_by_key_service_and_sdk(client: Client, key: str) -> None:
    made = request(AGENT, {"http.request.method": "GET"})
    resource = made.resource_spans[0].resource.attributes
    for name, value in {
        "service.name": "shop",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.45.2",
    }.items():
        resource.add(key=name, value=any_value(value))
    for _ in range(2):
        assert send(client, key, made.SerializeToString()).status_code == 200
    source = TelemetrySource.objects.get()
    assert key.startswith(source.key)
    assert (source.service, source.sdk, source.sdk_version) == ("shop", "opentelemetry", "1.45.2")
    assert (source.requests, source.accepted, source.duplicates, source.ignored) == (2, 4, 2, 2)


def test_agents_beyond_the_limit_are_led_together_and_said(client: Client, key: str, settings: Any) -> None:
    settings.AGENT_LIMIT = 2
    made = request(*({**AGENT, "gen_ai.agent.name": f"agent-{number}"} for number in range(5)))
    response = send(client, key, made.SerializeToString())
    said = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (said.rejected_spans, "AGENT_LIMIT" in said.error_message) == (0, True)
    assert set(Agent.objects.values_list("key", flat=True)) == {"agent-0", "agent-1", "(other)"}
    assert Run.objects.filter(agent__key="(other)").count() == 3
    assert TelemetrySource.objects.get().remark == "Named 3 agents beyond AGENT_LIMIT, such as agent-2."


@pytest.mark.parametrize("table", ["operations_telemetrysource", "operations_step", "common_apikey"])
@pytest.mark.parametrize("form", [PROTOBUF, JSON])
def test_a_busy_database_is_503_and_nothing_is_half_done(
    client: Client, key: str, form: str, table: str
) -> None:
    def busy(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if table in sql:
            raise OperationalError("database is locked") from sqlite3.OperationalError("database is locked")
        return execute(sql, params, many, context)

    called = [AGENT, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}]
    data = request(*called).SerializeToString()
    if form == JSON:
        said = {
            "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in called[1].items()]
        }
        other = json_body(**said, spanId=span_id(2).hex())
        data = json.dumps(
            {"resourceSpans": [*json_body()["resourceSpans"], *other["resourceSpans"]]}
        ).encode()
    with connection.execute_wrapper(busy):
        response = send(client, key, data, form)
    assert (response.status_code, response["Retry-After"], status_of(response)[0]) == (503, "2", 14)
    assert not Trace.objects.exists()
    assert not Run.objects.exists()
    assert send(client, key, data, form).status_code == 200
    assert Run.objects.count() == 1


def test_other_methods_are_405(client: Client, key: str) -> None:
    response = client.get("/v1/traces", headers={"Authorization": f"Bearer {key}"})
    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")


def test_the_number_of_statements_does_not_grow_with_the_spans(client: Client, key: str) -> None:
    def traced(count: int, first: int) -> bytes:
        made = request(
            *[AGENT, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}] * count
        )
        for number, one in enumerate(made.resource_spans[0].scope_spans[0].spans):
            one.trace_id = (first + number // 2).to_bytes(16, "big")
            one.parent_span_id = b"" if number % 2 == 0 else span_id(number)
        return bytes(made.SerializeToString())

    # What a connection stages in is made once.
    send(client, key, traced(60, 100_000))
    with CaptureQueriesContext(connection) as few:
        assert send(client, key, traced(2, 100)).status_code == 200
    with CaptureQueriesContext(connection) as many:
        assert send(client, key, traced(60, 1000)).status_code == 200
    # Thirty times the spans: rows fill more than one statement on SQLite, and are staged on PostgreSQL.
    assert (len(few), len(many)) == ((20, 23) if connection.vendor == "sqlite" else (20, 24))
    assert Step.objects.filter(run__isnull=False).count() == 122


def test_health_says_how_protobuf_is_decoded() -> None:
    (check,) = [one for one in all_checks() if one.name == "otlp"]
    found = check.check()
    assert (found.status, found.text) == ("pass", "protobuf is decoded by upb")
