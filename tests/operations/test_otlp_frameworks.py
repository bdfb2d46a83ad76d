"""Spans as instrumentations and frameworks for agents write them, and exactly what they mean."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from operations.telemetry.domain.spans import Event

from .otlp import NOON, SECOND, read
from .otlp_readings import OPENAI, counts

pytestmark = pytest.mark.once


# --- OpenInference ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("LLM", "inference"), ("EMBEDDING", "embedding"), ("TOOL", "tool"), ("AGENT", "agent"),
        ("CHAIN", "workflow"), ("RETRIEVER", "retrieval"), ("RERANKER", "retrieval"), ("GUARDRAIL", "other"),
        ("EVALUATOR", "other"), ("PROMPT", "other"), ("UNKNOWN", "other"), ("llm", "inference"),
    ],
)  # fmt: skip
def test_openinference_kinds(said: str, kind: str) -> None:
    assert read({"openinference.span.kind": said}).kind == kind


def test_openinference_call() -> None:
    said = {
        "openinference.span.kind": "LLM",
        "llm.system": "openai",
        "llm.invocation_parameters": '{"model": "gpt-4o", "temperature": 1.0}',
        "llm.token_count.prompt": 1200,
        "llm.token_count.completion": 340,
        "llm.token_count.total": 1540,
        "llm.token_count.prompt_details.cache_input": 800,
        "llm.token_count.completion_details.reasoning": 64,
        "llm.token_count.completion_details.audio": 20,
        "llm.cost.total": 0.0054,
        "session.id": "s-1",
        "user.id": "u-1",
    }
    first = Event("First Token Stream Event", NOON + SECOND // 4, {})
    found = read(said, events=(first,), scope="openinference.instrumentation.openai")
    assert counts(found) == (1200, 800, 0, 340, 64)
    assert (found.provider, found.model, found.convention) == ("openai", "gpt-4o", "openinference")
    assert (found.reported_cost, found.first_token) == (Decimal("0.0054"), SECOND // 4)
    assert (found.session, found.user) == ("s-1", "u-1")


def test_openinference_agents_named_and_not() -> None:
    said = {"openinference.span.kind": "AGENT"}
    inner = read({**said, "graph.node.id": "support_agent"}, name="node")
    assert (inner.agent, inner.agent_named) == ("support_agent", True)
    outer = read(said, name="Agent workflow")
    assert (outer.agent, outer.agent_named) == ("Agent workflow", False)
    assert read({"openinference.span.kind": "TOOL"}, name="lookup_order").tool == "lookup_order"


# --- OpenLLMetry -----------------------------------------------------------------------------------


def test_openllmetry() -> None:
    said = {
        "llm.request.type": "chat",
        "gen_ai.system": "Langchain",
        "gen_ai.request.model": "unknown",
        "gen_ai.response.model": "unknown",
        "traceloop.association.properties.ls_model_name": "gpt-4o",
        "traceloop.association.properties.thread_id": "t-1",
        "traceloop.association.properties.user_id": "u-1",
        "gen_ai.usage.prompt_tokens": 1200,
        "gen_ai.usage.completion_tokens": 340,
        "llm.usage.total_tokens": 1540,
        "gen_ai.usage.cache_read_input_tokens": 800,
        "gen_ai.usage.reasoning_tokens": 64,
    }
    found = read(said)
    assert (found.kind, found.provider, found.model) == ("inference", "openai", "gpt-4o")
    assert counts(found) == (1200, 800, 0, 340, 64)
    assert (found.session, found.user) == ("t-1", "u-1")


@pytest.mark.parametrize(
    ("said", "kind", "agent", "tool"),
    [
        ("agent", "agent", "planner", ""), ("tool", "tool", "", "planner"), ("workflow", "workflow", "", ""),
        ("task", "workflow", "", ""),
    ],
)  # fmt: skip
def test_openllmetry_entities(said: str, kind: str, agent: str, tool: str) -> None:
    found = read({"traceloop.span.kind": said, "traceloop.entity.name": "planner"}, name="planner.x")
    assert (found.kind, found.agent, found.tool, found.convention) == (kind, agent, tool, "openllmetry")


# --- Vercel ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "function", "kind"),
    [
        ("ai.generateText", "support", "agent"), ("ai.generateText", "", "workflow"),
        ("ai.streamText", "support", "agent"), ("ai.generateText.doGenerate", "support", "inference"),
        ("ai.streamObject.doStream", "", "inference"), ("ai.embed", "support", "workflow"),
        ("ai.embedMany.doEmbed", "", "embedding"), ("ai.toolCall", "support", "tool"), ("ai.new", "", "other"),
    ],
)  # fmt: skip
def test_vercel_operations(operation: str, function: str, kind: str) -> None:
    assert read({"ai.operationId": operation, "ai.telemetry.functionId": function}, scope="ai").kind == kind


def test_vercel_call() -> None:
    said = {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.provider": "anthropic.messages",
        "ai.model.id": "claude-sonnet-4-5",
        "ai.usage.inputTokens": 400,
        "ai.usage.inputTokenDetails.noCacheTokens": 400,
        "ai.usage.cachedInputTokens": 300,
        "ai.usage.outputTokens": 340,
        "ai.usage.reasoningTokens": 64,
        "ai.response.msToFirstChunk": 125.5,
        "ai.telemetry.metadata.sessionId": "s-1",
        "ai.telemetry.metadata.userId": "u-1",
    }
    found = read(said, scope="ai")
    assert counts(found) == (700, 300, 0, 340, 64)
    assert (found.provider, found.model) == ("anthropic", "claude-sonnet-4-5")
    assert (found.first_token, found.session, found.user) == (125_500_000, "s-1", "u-1")
    old = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.usage.promptTokens": 5,
        "ai.usage.completionTokens": 6,
    }
    assert counts(read(old)) == (5, 0, 0, 6, 0)


# --- Strands, Pydantic AI, Logfire, ADK, OpenLIT, MCP ----------------------------------------------


def test_strands_counts_what_bedrock_counts() -> None:
    said = {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "strands-agents",
        "gen_ai.request.model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 340, "gen_ai.usage.total_tokens": 2140,
        "gen_ai.usage.cache_read_input_tokens": 800, "gen_ai.usage.cache_write_input_tokens": 100,
        "gen_ai.server.time_to_first_token": 254,
    }  # fmt: skip
    found = read(said)
    assert counts(found) == (1800, 800, 100, 340, 0)
    assert found.first_token == 254_000_000


def test_pydantic_ai_details_and_totals() -> None:
    said = {
        **OPENAI, "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 340,
        "gen_ai.usage.details.cache_read_tokens": 800, "gen_ai.usage.details.reasoning_tokens": 64,
        "operation.cost": 0.0054,
    }  # fmt: skip
    found = read(said, scope="pydantic-ai")
    assert counts(found) == (1200, 800, 0, 340, 64)
    assert (found.reported_cost, found.convention) == (Decimal("0.0054"), "pydantic_ai")
    total = {"gen_ai.aggregated_usage.input_tokens": 110, "agent_name": "support"}
    assert read({**total, "gen_ai.operation.name": "invoke_agent"}).usage is None
    former = read(
        {"agent_name": "support", "gen_ai.usage.input_tokens": 5, "model_name": "x"}, name="agent run"
    )
    assert (former.kind, former.agent) == ("agent", "support")


def test_logfire_streams_leave_the_usage_to_a_log_of_no_length() -> None:
    said = {
        "gen_ai.request.model": "gpt-4o", "gen_ai.system": "openai", "logfire.span_type": "log", "duration": 0.5,
        "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 340,
        "gen_ai.usage.raw": '{"input_tokens":1200,"input_tokens_details":{"cached_tokens":800},"output_tokens":340}',
    }  # fmt: skip
    found = read(said, start=1000, end=1000)
    assert (found.kind, found.log, found.end - found.start) == ("inference", True, SECOND // 2)
    assert counts(found) == (1200, 800, 0, 340, 0)
    pending = read({**said, "logfire.span_type": "pending_span"})
    assert (pending.kind, pending.usage) == ("other", None)


def test_logfire_raw_usage_of_anthropic_counts_cached_tokens_beside() -> None:
    said = {
        "gen_ai.operation.name": "chat", "gen_ai.system": "anthropic", "gen_ai.request.model": "claude-sonnet-4-5",
        "gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 340,
        "gen_ai.usage.raw": json.dumps(
            {
                "input_tokens": 300, "output_tokens": 340, "cache_read_input_tokens": 800,
                "cache_creation_input_tokens": 100, "cache_creation": {"ephemeral_1h_input_tokens": 40},
            }
        ),
    }  # fmt: skip
    found = read(said)
    assert counts(found) == (1200, 800, 60, 340, 0)
    assert found.usage is not None
    assert found.usage.cache_write_1h_tokens == 40


def test_google_adk_counted_thoughts_beside_the_output() -> None:
    said = {
        "gen_ai.operation.name": "generate_content", "gen_ai.system": "gcp.vertex.agent",
        "gen_ai.request.model": "gemini-2.5-flash", "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 276, "gcp.vertex.agent.invocation_id": "i-1",
        "gcp.vertex.agent.session_id": "s-1",
    }  # fmt: skip
    former = read({**said, "gen_ai.usage.experimental.reasoning_tokens": 64})
    assert counts(former) == (1200, 0, 0, 340, 64)
    present = {**said, "gen_ai.usage.output_tokens": 340, "gen_ai.usage.reasoning.output_tokens": 64}
    found = read({**present, "gen_ai.usage.cache_read.input_tokens": 800})
    assert counts(found) == (1200, 800, 0, 340, 64)
    assert (found.convention, found.session, found.provider) == ("google_adk", "s-1", "google")
    assert read({"gen_ai.system": "gcp.vertex.agent"}, name="agent_run [root_agent]").agent == "root_agent"


def test_openlit_costs_of_nothing_are_no_costs_and_its_tools_no_executions() -> None:
    said = {
        **OPENAI,
        "gen_ai.tool.name": "search",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 1,
    }
    found = read(
        {**said, "gen_ai.usage.cost": 0.0, "gen_ai.environment": "staging"}, scope="openlit.otel.tracing"
    )
    assert (found.kind, found.tool, found.reported_cost) == ("inference", "", None)
    assert (found.convention, found.environment) == ("openlit", "staging")
    assert read({**said, "gen_ai.usage.cost": "0.0054"}).reported_cost == Decimal("0.0054")


def test_mcp_calls_tools_and_does_other_things() -> None:
    found = read({"mcp.method.name": "tools/call", "gen_ai.tool.name": "search"}, name="tools/call search")
    assert (found.kind, found.tool, found.convention) == ("tool", "search", "mcp")
    assert read({"mcp.method.name": "tools/call"}, name="tools/call search").tool == "search"
    assert read({"mcp.method.name": "tools/list"}, name="tools/list").kind == "other"


@pytest.mark.parametrize(
    ("said", "kind"),
    [("llm", "inference"), ("agent", "agent"), ("tool", "tool"), ("session", "workflow"), ("other", "other")],
)
def test_agentops_kinds(said: str, kind: str) -> None:
    found = read({"agentops.span.kind": said, "agentops.entity.name": "support"})
    assert (found.kind, found.convention, found.agent) == (
        kind,
        "agentops",
        "support" if kind == "agent" else "",
    )
