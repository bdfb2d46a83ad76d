"""What no sane client sends: it is refused or bounded, and the rest of the request is taken."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from agent_factory_site.common.services.api_keys import create_api_key
from financial.models import CostEvent
from operations.fleet.models import Agent, Run, Step
from operations.telemetry.domain.spans import Attributes, Value
from operations.telemetry.models import TelemetrySource
from tests.effort import examples

from .otlp import NOON, SECOND, TRACE, agent, chat, request, run_id, span_id
from .otlp_books import net, settle, take

pytestmark = pytest.mark.django_db

AGENT: Attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
CHAT: Attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 10,
    "gen_ai.usage.output_tokens": 1,
}


@pytest.fixture
def send(client: Client) -> Any:
    key = create_api_key(name="exporter", scopes=["ingest"])[1]

    def post(made: ExportTraceServiceRequest) -> int:
        body = made.SerializeToString()
        response = client.generic(
            "POST", "/v1/traces", body, content_type="application/x-protobuf", headers={"X-API-Key": key}
        )
        return int(response.status_code)

    return post


def chats(*said: Attributes) -> ExportTraceServiceRequest:
    """An agent's span and calls below it."""
    made = request(AGENT, *({**CHAT, **one} for one in said))
    for one in made.resource_spans[0].scope_spans[0].spans[1:]:
        one.parent_span_id = span_id(1)
    return made


@pytest.mark.parametrize(
    ("count", "taken"),
    [
        ("1200", 1200),
        ("1200.0", 1200),
        (1200.0, 1200),
        (float("nan"), None),
        (float("inf"), None),
        ("NaN", None),
        (10**12, None),
        (-5, None),
        ("many", None),
    ],
)
def test_counts_of_any_kind_are_read_or_leave_a_step_without_a_cost(
    send: Any, count: Value, taken: int | None
) -> None:
    assert send(chats({"gen_ai.usage.input_tokens": count}, {})) == 200
    settle()
    found = sorted(CostEvent.objects.values_list("input_tokens", flat=True))
    assert found == ([10] if taken is None else [10, taken])
    assert Step.objects.count() == 2
    assert (TelemetrySource.objects.get().ignored_by != {}) == (taken is None)


def test_usage_in_a_json_string_is_read(send: Any) -> None:
    usage = json.dumps(
        {"prompt_tokens": 1200, "completion_tokens": 340, "prompt_tokens_details": {"cached_tokens": 800}}
    )
    said: Attributes = {**CHAT, "metadata.usage_object": usage}
    said["gen_ai.usage.input_tokens"] = 1200
    said["gen_ai.usage.output_tokens"] = 340
    assert send(chats(said)) == 200
    assert CostEvent.objects.get().cache_read_tokens == 800
    assert sum(net().values()) == 5_400_000


def test_clocks_that_are_hours_off_or_run_backwards_are_mended(send: Any) -> None:
    made = chats({}, {}, {})
    spans = made.resource_spans[0].scope_spans[0].spans
    ahead = int((datetime.now(UTC) + timedelta(hours=9)).timestamp()) * SECOND
    spans[1].start_time_unix_nano, spans[1].end_time_unix_nano = ahead, ahead + SECOND
    spans[2].start_time_unix_nano, spans[2].end_time_unix_nano = SECOND, 2 * SECOND
    spans[3].start_time_unix_nano, spans[3].end_time_unix_nano = NOON + 5 * SECOND, NOON
    assert send(made) == 200
    now = datetime.now(UTC)
    times = sorted(CostEvent.objects.values_list("occurred_at", flat=True))
    assert len(times) == 3
    assert all(abs(one - now) < timedelta(minutes=5) for one in times[1:]) or times[-1] <= now
    assert times[-1] <= now
    run = Run.objects.get()
    assert (run.latency, run.status) == (1_000_000, "ok")
    assert all(step.ended_at >= step.started_at for step in Step.objects.all())


def test_100_000_attributes_and_a_span_of_20_mb_are_cut(send: Any) -> None:
    many: Attributes = {f"agent_factory.experiment.e{number}": "a" for number in range(100_000)}
    large: Attributes = {**AGENT, "gen_ai.agent.name": "x" * 20_000_000}
    made = request({**AGENT, **many}, large)
    assert send(made) == 200
    assert TelemetrySource.objects.get().ignored_by["attributes_cut"] > 90_000
    assert {len(one) for one in Agent.objects.values_list("key", flat=True)} == {7, 255}


@pytest.mark.parametrize(
    "name",
    [
        "__proto__", "constructor", "<script>alert(1)</script>", "'; DROP TABLE operations_run; --", "\u202eevil",
        "a\0b", "\ud7ff\ue000", "💥" * 300, "../../etc/passwd", "%s %d {0}", "a" * 255 + "b",
    ],
)  # fmt: skip
def test_names_are_only_names(send: Any, name: str) -> None:
    said: Attributes = {"gen_ai.agent.name": name, "user.id": name, "session.id": name, name[:100]: name}
    made = request({**AGENT, **said}, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name})
    spans = made.resource_spans[0].scope_spans[0].spans
    spans[1].parent_span_id = span_id(1)
    spans[1].name = name[:200]
    assert send(made) == 200
    run = Run.objects.get()
    assert run.tool_calls == 1
    assert run.agent.key
    assert len(run.agent.key) <= 255
    assert "\0" not in run.agent.key
    assert run.session == (run.user.key if run.user else "")


def test_long_ids_of_runs_are_told_apart() -> None:
    take(
        agent(1, attributes={"agent_factory.run.id": "r" * 250 + "1"}),
        agent(2, attributes={"agent_factory.run.id": "r" * 250 + "1"}, trace=b"2" * 16),
        agent(3, attributes={"agent_factory.run.id": "s" * 200}, trace=b"3" * 16),
    )
    found = sorted(Run.objects.values_list("run_id", flat=True))
    assert [len(one) for one in found] == [200, 200]


def test_an_agent_that_calls_itself_around_a_circle_ends(send: Any) -> None:
    made = request(AGENT, AGENT, CHAT)
    spans = made.resource_spans[0].scope_spans[0].spans
    spans[0].parent_span_id, spans[1].parent_span_id = span_id(2), span_id(1)
    spans[2].parent_span_id = span_id(3)
    assert send(made) == 200
    settle()
    assert sum(net().values()) == 35_000


def test_names_without_end_are_led_together(settings: Any) -> None:
    settings.AGENT_LIMIT = settings.TOOL_LIMIT = 5
    for number in range(4):
        trace = bytes([number + 1]) * 16
        take(*(agent(one, name=f"agent-{number}-{one}", trace=trace) for one in range(1, 5)))
    assert Agent.objects.count() <= 6
    assert Run.objects.count() == 16
    assert Run.objects.filter(agent__key="(other)").count() == 11


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.agent.name", "gen_ai.tool.name", "user.id",
    "session.id", "agent_factory.run.id", "agent_factory.hold.id", "agent_factory.experiment.x", "error.type",
    "gen_ai.operation.name", "gen_ai.request.model", "gen_ai.provider.name", "llm.cost.total", "metadata.usage_object",
    "gen_ai.response.time_to_first_chunk", "service.version", "openai.response.service_tier",
)  # fmt: skip


@given(
    st.lists(st.dictionaries(st.sampled_from(NAMES), values, max_size=8), min_size=1, max_size=4), st.data()
)
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_attributes_say_it_can_be_stored(said: list[Attributes], data: Any) -> None:
    spans = [
        chat(
            number,
            parent=data.draw(st.integers(0, 4)),
            attributes=one,
            trace=data.draw(st.binary(min_size=15, max_size=15)) + b"1",
        )
        for number, one in enumerate(said, 1)
    ]
    before = Step.objects.count()
    take(*spans)
    settle()
    assert Step.objects.count() >= before
    connection.check_constraints()


def test_the_ids_of_what_was_sent_stay_readable() -> None:
    take(agent(1), chat(2, parent=1))
    assert Step.objects.get().step_id == f"{TRACE.hex()}-{span_id(2).hex()}"
    assert Run.objects.get().run_id == run_id(1)
