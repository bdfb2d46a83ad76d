"""Batches of 512 spans as exporters send them: durable with runs, steps, costs and samples of service levels.

Each batch holds 64 runs of eight spans (an agent, five calls of a model, two of a tool), in protobuf and
gzip. The whole way of a request but for HTTP is measured: decompressing, decoding, classifying and the
transaction. Every run is a sample of two service levels, one by latency and one by success.
"""

from __future__ import annotations

import gc
import gzip
import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from statistics import median
from typing import Final

from django.db import connection
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from financial.models import CostEvent
from operations.fleet.models import Run, Step
from operations.slo.models import SloSample
from operations.slo.services.slos import create_slo
from operations.telemetry.domain.conventions import is_wanted
from operations.telemetry.domain.decode import decode_traces
from operations.telemetry.services.ingest import ingest_spans

from .outcome import Outcome
from .rounds import milliseconds, percentile

RUNS: Final = 64
CALLS: Final = 5
TOOLS: Final = 2
BATCH: Final = RUNS * (1 + CALLS + TOOLS)
WARM_UP: Final = 4
ROUNDS: Final = 40
BARS: Final = {"sqlite": 2500.0, "postgresql": 4000.0}
STRETCH: Final = 8000
DECODING: Final = 0.2
_SECOND: Final = 10**9


def main() -> list[Outcome]:
    _service_levels()
    bodies = _bodies(random.Random(8))
    for _ in range(WARM_UP):
        _ingest(next(bodies))
    whole: list[float] = []
    cpu: list[float] = []
    decoding: list[float] = []
    for _ in range(ROUNDS):
        body = next(bodies)
        gc.collect()
        began, began_cpu = time.perf_counter(), time.process_time()
        decoding.append(_ingest(body))
        whole.append(time.perf_counter() - began)
        cpu.append(time.process_time() - began_cpu)
    batches = WARM_UP + ROUNDS
    assert Run.objects.filter(status="ok").count() == batches * RUNS
    assert Step.objects.count() == batches * RUNS * (CALLS + TOOLS)
    assert CostEvent.objects.filter(unpriced=0).count() == batches * RUNS * CALLS
    assert SloSample.objects.count() == batches * RUNS * 2
    share = sum(decoding) / sum(cpu)
    return [
        Outcome(
            f"{BATCH} spans a batch, {RUNS} runs with {CALLS} calls each (stretch: {STRETCH:,})",
            BATCH / median(whole),
            "spans/s",
            ">=",
            BARS[connection.vendor],
            f"a batch takes {milliseconds(whole)}, p95 {percentile(whole, 0.95) * 1e3:.1f} ms; "
            f"{BATCH * batches / sum(cpu) * len(cpu) / batches:,.0f} spans per second of CPU",
        ),
        Outcome(
            "the share of decompressing and decoding in the CPU of a batch",
            share,
            "of the CPU",
            "<=",
            DECODING,
            f"{sum(decoding) / len(decoding) * 1e3:.1f} of {sum(cpu) / len(cpu) * 1e3:.1f} ms",
        ),
    ]


def _ingest(body: bytes) -> float:
    """Take a request in; the CPU seconds of decoding it."""
    began = time.process_time()
    decoded = decode_traces(body, "protobuf", encoding="gzip", wanted=is_wanted)
    took = time.process_time() - began
    outcome = ingest_spans(decoded=decoded, key="af_benchmark")
    assert (outcome.accepted, outcome.duplicates) == (BATCH, 0)
    return took


def _service_levels() -> None:
    indicators = (
        {"key": "fast", "kind": "threshold", "source": "runs", "threshold": 30, "op": "lte", "unit": "s"},
        {"key": "good", "kind": "ratio", "source": "runs"},
    )
    for sli in indicators:
        create_slo(
            body={"key": f"{sli['key']}-runs", "sli": sli, "target": 0.99, "window": {"rolling": "30d"}}
        )


def _bodies(chance: random.Random) -> Iterator[bytes]:
    now = int(datetime.now(UTC).timestamp())
    while True:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        resource.resource.attributes.extend(
            _pairs({"service.name": "fleet", "telemetry.sdk.name": "opentelemetry"})
        )
        scope = resource.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.openai_v2"
        for _ in range(RUNS):
            scope.spans.extend(_trace(chance, (now - chance.randrange(600)) * _SECOND))
        yield gzip.compress(request.SerializeToString(), compresslevel=6)


def _trace(chance: random.Random, start: int) -> list[Span]:
    trace_id = os.urandom(16)
    root = os.urandom(8)
    agent = f"agent-{chance.randrange(20)}"
    spans = []
    for number in range(CALLS):
        model = chance.choice(("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5"))
        began = start + (number + 1) * _SECOND
        spans.append(
            _span(
                trace_id,
                root,
                f"chat {model}",
                began,
                began + chance.randrange(_SECOND),
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "anthropic" if model.startswith("claude") else "openai",
                    "gen_ai.request.model": model,
                    "gen_ai.response.model": model,
                    "gen_ai.response.id": f"chatcmpl-{chance.getrandbits(64):x}",
                    "gen_ai.usage.input_tokens": chance.randrange(200, 5000),
                    "gen_ai.usage.output_tokens": chance.randrange(20, 800),
                    "gen_ai.usage.cache_read.input_tokens": chance.randrange(200),
                    "gen_ai.input.messages": "What is known of the order? " * 30,
                    "server.address": "api.openai.com",
                    "server.port": 443,
                },
            )
        )
    for number in range(TOOLS):
        tool = f"tool-{chance.randrange(30)}"
        began = start + (number + 1) * _SECOND
        spans.append(
            _span(
                trace_id,
                root,
                f"execute_tool {tool}",
                began,
                began + _SECOND // 10,
                {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool},
            )
        )
    end = start + (CALLS + 2) * _SECOND
    said: dict[str, str | int] = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": agent,
        "gen_ai.conversation.id": f"session-{chance.randrange(1000)}",
        "user.id": f"user-{chance.randrange(200)}",
    }
    return [*spans, _span(trace_id, b"", f"invoke_agent {agent}", start, end, said, root)]


def _span(
    trace_id: bytes,
    parent: bytes,
    name: str,
    start: int,
    end: int,
    attributes: dict[str, str | int],
    span_id: bytes = b"",
) -> Span:
    return Span(
        trace_id=trace_id,
        span_id=span_id or os.urandom(8),
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=start,
        end_time_unix_nano=end,
        attributes=_pairs(attributes),
    )


def _pairs(said: dict[str, str | int]) -> list[KeyValue]:
    return [
        KeyValue(
            key=key,
            value=AnyValue(int_value=value) if isinstance(value, int) else AnyValue(string_value=value),
        )
        for key, value in said.items()
    ]
