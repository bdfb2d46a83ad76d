"""Real exporters and real servers: chunked bodies, the OpenTelemetry SDK, and a web process that is killed."""

from __future__ import annotations

import gzip
import http.client
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.db import connection
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from agent_factory_site.common.services.api_keys import create_api_key
from agent_factory_site.common.supervisor import programs
from financial.models import CostEvent
from operations.fleet.models import Run, Step
from operations.telemetry.models import TelemetrySource, Trace
from tests.common.callers import granian
from tests.ports import free_port
from tests.processes import PATIENCE, until

from .otlp import recorded
from .otlp_books import settle

pytestmark = pytest.mark.django_db(transaction=True)

SITE = "agent_factory_site.wsgi:application"


@pytest.fixture
def key() -> str:
    return create_api_key(name="exporter", scopes=["ingest"])[1]


def post_chunked(url: str, path: str, parts: list[bytes], headers: dict[str, str]) -> tuple[int, bytes]:
    """Send a body in chunks, without a length."""
    caller = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    caller.request("POST", path, iter(parts), headers, encode_chunked=True)
    response = caller.getresponse()
    answer = response.status, response.read()
    caller.close()
    return answer


@pytest.mark.parametrize(
    "packed", [False, pytest.param(True, marks=pytest.mark.once_when_quick)], ids=["plain", "gzip"]
)
def test_a_body_in_chunks_without_a_length_arrives_whole(live_database: str, key: str, packed: bool) -> None:
    body = recorded("vercel_ai_json.json")
    headers = {"Content-Type": "application/json", "X-API-Key": key, "Transfer-Encoding": "chunked"}
    if packed:
        body = gzip.compress(body)
        headers["Content-Encoding"] = "gzip"
    parts = [body[start : start + 1000] for start in range(0, len(body), 1000)]
    with granian(SITE, live_database) as url:
        assert post_chunked(url, "/v1/traces", parts, headers) == (200, b"{}")
    settle()
    assert Run.objects.count() == 2
    assert CostEvent.objects.count() == 2


@pytest.mark.once_when_quick
def test_a_body_in_chunks_arrives_under_asgi_as_well(live_database: str, key: str) -> None:
    body = recorded("vercel_ai_json.json")
    headers = {"Content-Type": "application/json", "X-API-Key": key, "Transfer-Encoding": "chunked"}
    port = free_port()
    with web(live_database, port, Path(os.devnull), "agent_factory_site.asgi:application"):
        parts = [body[:5000], body[5000:]]
        assert post_chunked(f"http://127.0.0.1:{port}", "/v1/traces", parts, headers) == (200, b"{}")
    assert Run.objects.count() == 2


@pytest.mark.once_when_quick
def test_a_body_that_grows_without_end_is_cut_off(live_database: str, key: str) -> None:
    headers = {"Content-Type": "application/json", "X-API-Key": key, "Transfer-Encoding": "chunked"}
    with granian(SITE, live_database, OTLP_MAX_BODY_BYTES="100000") as url:
        status, answer = post_chunked(url, "/v1/traces", [b" " * 10_000] * 11, headers)
    assert status == 413
    assert b"100000 bytes" in answer


def provider(
    url: str,
    key: str,
    compression: Compression,
    name: str = "shop",
    exporter_class: type[OTLPSpanExporter] = OTLPSpanExporter,
    timeout: float = 30,
) -> TracerProvider:
    """An SDK as an agent sets it up, with the key percent-encoded as in OTEL_EXPORTER_OTLP_HEADERS."""
    exporter = exporter_class(
        endpoint=f"{url}/v1/traces",
        headers={"authorization": f"Bearer%20{quote(key)}"},
        compression=compression,
        timeout=timeout,
    )
    made = TracerProvider(resource=Resource.create({"service.name": name}), shutdown_on_exit=False)
    made.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    return made


def run_agent(tracer: Any, agent: str, calls: int) -> None:
    """A run of an agent with calls of a model and one of a tool."""
    with tracer.start_as_current_span(
        f"invoke_agent {agent}",
        attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent},
    ):
        for _ in range(calls):
            said = {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 1200,
                "gen_ai.usage.cache_read.input_tokens": 800,
                "gen_ai.usage.output_tokens": 340,
            }
            with tracer.start_as_current_span("chat gpt-4o", attributes=said):
                pass
        said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
        with tracer.start_as_current_span("execute_tool search", attributes=said):
            pass


@pytest.mark.parametrize(
    "compression",
    [
        pytest.param(Compression.NoCompression, marks=pytest.mark.once_when_quick),
        Compression.Gzip,
        pytest.param(Compression.Deflate, marks=pytest.mark.once_when_quick),
    ],
)
def test_spans_of_the_sdk_become_runs_and_money(
    live_database: str, key: str, compression: Compression
) -> None:
    with granian(SITE, live_database) as url:
        sdk = provider(url, key, compression)
        for _ in range(3):
            run_agent(sdk.get_tracer("tests"), "support", 2)
        assert sdk.force_flush(30_000)
        sdk.shutdown()
    runs = Run.objects.all()
    assert [(one.agent.key, one.status, one.calls, one.tool_calls, one.cost) for one in runs] == [
        ("support", "ok", 2, 1, 10_800_000)
    ] * 3
    assert Step.objects.filter(kind="inference", charged=True).count() == 6
    assert sum(CostEvent.objects.values_list("base_amount", flat=True)) == 6 * 5_400_000
    source = TelemetrySource.objects.get()
    assert (source.service, source.sdk, source.accepted, source.duplicates) == (
        "shop",
        "opentelemetry",
        12,
        0,
    )


@contextmanager
def web(database: str, port: int, log: Path, site: str = SITE) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a port that stays the same, in a process group of its own, so that all of it can be killed."""
    with log.open("ab") as output:
        server = subprocess.Popen(
            programs.granian(site, "127.0.0.1", port, workers=1, threads=3),
            env=os.environ | {"DATABASE_URL": database},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        until(lambda: answers(port) or server.poll() is not None)
        assert server.poll() is None, log.read_text()
        yield server
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def accepted() -> dict[str, int]:
    """Spans taken in from each service."""
    return dict(TelemetrySource.objects.values_list("service", "accepted"))


def more_came(before: dict[str, int], exporters: dict[str, subprocess.Popen[str]]) -> bool:
    """Whether every exporter that still runs has brought more than before.

    Each of them, so that every kill comes in the midst of what each sends.
    """
    now = accepted()
    return all(
        now.get(name, 0) > before.get(name, 0) or exporter.poll() is not None
        for name, exporter in exporters.items()
    )


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


CLIENT = """
import random
import sys
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from tests.operations.test_otlp_servers import provider, run_agent


class TellingExporter(OTLPSpanExporter):
    # Flushing does not say whether a batch was dropped. As one with a queue, and unlike that of the SDK, it does
    # not drop one after six tries: how long a server takes to start on a busy machine is no matter here.

    def export(self, spans):
        for _ in range(20):
            outcome = super().export(spans)
            if outcome.name == "SUCCESS":
                break
        print(len(spans), outcome.name, flush=True)
        return outcome


url, key, name = sys.argv[1:4]
sdk = provider(url, key, Compression.Gzip, name, TellingExporter, timeout=120)
tracer = sdk.get_tracer("tests")
for batch in range(12):
    for _ in range(8):
        run_agent(tracer, "support", 2)
    sdk.force_flush(120_000)
sdk.shutdown()
"""


def test_a_web_process_killed_again_and_again_loses_nothing_and_counts_nothing_twice(
    live_database: str, key: str, tmp_path: Path
) -> None:
    port = free_port()
    log = tmp_path / "log"
    names = ["client-0", "client-1"]
    with web(live_database, port, log):
        exporters = {
            name: subprocess.Popen(
                [sys.executable, "-c", PRELUDE + CLIENT, f"http://127.0.0.1:{port}", key, name],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name in names
        }
        until(partial(more_came, {}, exporters))
    runs = len(names) * 12 * 8
    assert Trace.objects.count() < runs
    for _ in range(3):
        with web(live_database, port, log):
            # In the middle of it: something new has come, and more is on its way.
            until(partial(more_came, accepted(), exporters))
    with web(live_database, port, log):
        said = [one.communicate(timeout=2 * PATIENCE) for one in exporters.values()]
    assert [one.returncode for one in exporters.values()] == [0] * len(names), said
    assert [out.splitlines() for out, _ in said] == [["32 SUCCESS"] * 12] * len(names), said
    settle()
    assert Run.objects.count() == Trace.objects.count() == runs
    assert set(Run.objects.values_list("status", "calls", "tool_calls", "steps")) == {("ok", 2, 1, 3)}
    assert Step.objects.count() == runs * 3
    assert CostEvent.objects.count() == runs * 2
    assert sum(CostEvent.objects.values_list("base_amount", flat=True)) == runs * 2 * 5_400_000


PRELUDE = """
import django
django.setup()
"""


@contextmanager
def writers_shut_out(url: str) -> Iterator[None]:
    """Hold, from outside, what a batch of spans needs to be written."""
    if connection.vendor == "postgresql":
        with closing(connection.get_new_connection(connection.get_connection_params())) as other:
            other.execute("LOCK TABLE operations_trace IN ACCESS EXCLUSIVE MODE")
            yield
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def test_a_locked_database_is_said_before_exporters_give_up(live_database: str, key: str) -> None:
    headers = {"Content-Type": "application/json", "X-API-Key": key}
    body = recorded("vercel_ai_json.json")
    with granian(SITE, live_database) as url:

        def post(body: bytes, timeout: float = PATIENCE) -> tuple[int, str | None]:
            caller = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
            caller.request("POST", "/v1/traces", body, headers)
            answer = caller.getresponse()
            return answer.status, answer.getheader("Retry-After")

        # A server loads much at its first request, which is no waiting for a lock.
        assert post(b"{}") == (200, None)
        with writers_shut_out(live_database):
            # Ten seconds is what the exporters of all languages wait, and then the batch is lost.
            assert post(body, timeout=10) == (503, "2")
        assert post(body) == (200, None)
    assert Run.objects.count() == 2
