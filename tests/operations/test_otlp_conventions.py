"""Each convention with spans as its clients write them, and exactly what they mean."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from operations.telemetry.domain.conventions import CONVENTIONS, is_wanted
from operations.telemetry.domain.conventions.convention import Convention
from operations.telemetry.domain.reading import Reading
from operations.telemetry.domain.spans import Event

from .otlp import NOON, SECOND, read

pytestmark = pytest.mark.once

OPENAI = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def counts(reading: Reading) -> tuple[int, int, int, int, int] | None:
    """Input, cache read, cache write, output, reasoning."""
    usage = reading.usage
    if usage is None:
        return None
    return (
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )


# --- OpenTelemetry ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("chat", "inference"), ("generate_content", "inference"), ("text_completion", "inference"),
        ("embeddings", "embedding"), ("execute_tool", "tool"), ("invoke_agent", "agent"),
        ("invoke_workflow", "workflow"), ("plan", "workflow"), ("retrieval", "retrieval"),
        ("create_agent", "other"), ("delete_memory", "other"), ("Chat", "inference"),
        ("chain", "workflow"), ("execute_task", "workflow"), ("execute_event_loop_cycle", "workflow"),
    ],
)  # fmt: skip
def test_otel_operations(operation: str, kind: str) -> None:
    assert read({"gen_ai.operation.name": operation, "gen_ai.usage.input_tokens": 5}).kind == kind


def test_otel_usage_under_present_names() -> None:
    said = {
        **OPENAI,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 340,
        "gen_ai.usage.cache_read.input_tokens": 800,
        "gen_ai.usage.cache_write.input_tokens": 100,
        "gen_ai.usage.cache_creation.input_tokens": 7,
        "gen_ai.usage.reasoning.output_tokens": 64,
        "gen_ai.usage.text.input_tokens": 1100,
        "gen_ai.usage.audio.input_tokens": 100,
        "openai.response.service_tier": "flex",
    }
    found = read(said)
    assert counts(found) == (1200, 800, 100, 340, 64)
    assert found.usage is not None
    assert found.usage.audio_input_tokens == 100
    assert (found.provider, found.model, found.service_tier) == ("openai", "gpt-4o-2024-08-06", "flex")


def test_otel_usage_under_former_names_and_as_text() -> None:
    said = {
        "gen_ai.system": "vertex_ai",
        "gen_ai.request.model": "Gemini-2.5-Flash",
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.prompt_tokens": "1200",
        "gen_ai.usage.completion_tokens": 340.0,
    }
    found = read(said)
    assert counts(found) == (1200, 0, 0, 340, 0)
    assert (found.provider, found.model) == ("google", "gemini-2.5-flash")


@pytest.mark.parametrize(
    ("provider", "model", "seller", "sold"),
    [
        ("openai.chat", "gpt-4o", "openai", "gpt-4o"),
        ("strands-agents", "claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
        ("genericfakechatmodel", "fake", "", "fake"),
        ("gcp.vertex.agent", "gemini-2.5-flash", "google", "gemini-2.5-flash"),
        ("az.ai.inference", "gpt-4o", "azure", "gpt-4o"),
        ("x_ai", "grok-4", "x-ai", "grok-4"),
        ("", "openai/gpt-4o", "openai", "gpt-4o"),
        ("ollama", "gpt-oss:20b", "ollama", "gpt-oss:20b"),
        ("openai", "unknown", "openai", ""),
    ],
)
def test_who_is_paid(provider: str, model: str, seller: str, sold: str) -> None:
    said = {"gen_ai.operation.name": "chat", "gen_ai.system": provider, "gen_ai.request.model": model}
    found = read(said)
    assert (found.provider, found.model) == (seller, sold)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (float("nan"), "not_a_number"), (float("inf"), "not_a_number"), ("many", "not_a_number"),
        (True, "not_a_number"), ([1], "not_a_number"), (10**12, "too_large"), ("1e12", "too_large"),
        ("1e999999999", "too_large"), ("-1e999999999", "negative"),
        (-1, "negative"), (1.5, "not_whole"),
    ],
)  # fmt: skip
def test_impossible_counts_are_refused_with_the_reason(value: Any, code: str) -> None:
    found = read({**OPENAI, "gen_ai.usage.input_tokens": value, "gen_ai.usage.output_tokens": 1})
    assert found.usage is None
    assert found.usage_problem is not None
    assert found.usage_problem.code == code
    assert found.usage_problem.detail.startswith("input tokens are ")


def test_a_class_as_python_prints_it_is_its_name() -> None:
    found = read({**OPENAI, "error.type": "<class 'openai.RateLimitError'>"}, status=2)
    assert (found.failed, found.error_type) == (True, "openai.RateLimitError")


def test_no_usage_is_not_zero_usage() -> None:
    assert read(OPENAI).usage is None
    zeros = read({**OPENAI, "gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0})
    assert (zeros.usage, zeros.usage_problem) == (None, None)
    total = read({**OPENAI, "gen_ai.usage.total_tokens": 30})
    assert total.usage_problem is not None
    assert total.usage_problem.code == "only_total"
    embedding = {**OPENAI, "gen_ai.operation.name": "embeddings", "gen_ai.usage.total_tokens": 30}
    assert counts(read(embedding)) == (30, 0, 0, 0, 0)


def flat(**said: int) -> tuple[int, int, int, int, int] | None:
    names = {
        "input": "input_tokens", "output": "output_tokens", "total": "total_tokens",
        "read": "cache_read.input_tokens", "write": "cache_write.input_tokens",
        "reasoning": "reasoning.output_tokens",
    }  # fmt: skip
    return counts(read({**OPENAI, **{f"gen_ai.usage.{names[name]}": count for name, count in said.items()}}))


def test_cached_tokens_are_inside_unless_the_numbers_prove_otherwise() -> None:
    assert flat(input=1200, output=340, read=800, reasoning=64) == (1200, 800, 0, 340, 64)
    assert flat(input=1200, output=340, read=800, reasoning=64, total=1540) == (1200, 800, 0, 340, 64)
    assert flat(input=400, output=340, read=800) == (1200, 800, 0, 340, 0)
    assert flat(input=900, output=340, read=800, total=2040) == (1700, 800, 0, 340, 0)
    assert flat(input=900, output=340, read=200, write=300, total=1740) == (1400, 200, 300, 340, 0)
    assert flat(input=100, output=10, reasoning=64) == (100, 0, 0, 74, 64)
    assert flat(input=100, output=80, reasoning=64, total=244) == (100, 0, 0, 144, 64)
    assert flat(input=400, output=276, read=300, reasoning=64, total=1040) == (700, 300, 0, 340, 64)
    assert flat(output=5, total=12) == (7, 0, 0, 5, 0)
    assert flat(input=7, total=12) == (7, 0, 0, 5, 0)


def test_a_zero_under_the_preferred_name_hides_nothing() -> None:
    said = {
        "gen_ai.usage.cache_write.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 100,
        "gen_ai.usage.details.cache_read_tokens": "800",
        "gen_ai.usage.cache_read.input_tokens": "0",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.prompt_tokens": 0,
    }
    assert counts(read({**OPENAI, **said})) == (1200, 800, 100, 0, 0)
    assert counts(read({**OPENAI, **dict(reversed(said.items()))})) == (1200, 800, 100, 0, 0)


@pytest.mark.parametrize(
    ("attributes", "status", "failed", "error_type"),
    [
        ({}, 0, False, ""),
        ({}, 1, False, ""),
        ({}, 2, True, "_OTHER"),
        ({"error.type": "openai.RateLimitError"}, 2, True, "openai.RateLimitError"),
        ({"error.type": "tool_error"}, 0, True, "tool_error"),
        ({"error.type": ""}, 0, False, ""),
        ({"http.response.status_code": 429}, 0, True, "429"),
        ({"http.response.status_code": "200"}, 0, False, ""),
    ],
)
def test_errors(attributes: dict[str, Any], status: int, failed: bool, error_type: str) -> None:
    found = read({**OPENAI, **attributes}, status=status)
    assert (found.failed, found.error_type) == (failed, error_type)


def test_an_exception_event_names_the_error_of_a_failed_span_only() -> None:
    event = Event("exception", NOON, {"exception.type": "RuntimeError", "exception.message": "upstream\n500"})
    found = read(OPENAI, status=2, message="other", events=(event,))
    assert (found.error_type, found.error_message) == ("RuntimeError", "upstream 500")
    assert read(OPENAI, events=(event,)).failed is False


@pytest.mark.parametrize(
    ("attributes", "scope", "nanoseconds"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, "", 250_000_000),
        ({"gen_ai.server.time_to_first_token": 0.254}, "openlit", 254_000_000),
        ({"gen_ai.server.time_to_first_token": 254}, "strands.telemetry.tracer", 254_000_000),
        ({"gen_ai.server.time_to_first_token": 254}, "", 254_000_000),
        ({"gen_ai.server.time_to_first_token": "0.9"}, "", 900_000_000),
        ({"gen_ai.server.time_to_first_token": 254_000}, "", None),
        ({"gen_ai.response.time_to_first_chunk": 1.5}, "", None),
        ({"gen_ai.response.time_to_first_chunk": -1}, "", None),
        ({"gen_ai.response.time_to_first_chunk": float("nan")}, "", None),
    ],
)
def test_time_to_first_token_in_its_units(
    attributes: dict[str, Any], scope: str, nanoseconds: int | None
) -> None:
    assert read({**OPENAI, **attributes}, scope=scope).first_token == nanoseconds


def test_names_are_bounded_cleaned_and_otherwise_kept() -> None:
    said = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "<script>alert(1)</script>\0\n" + "x" * 500,
    }
    found = read(said)
    assert found.agent.startswith("<script>alert(1)</script>  xxx")
    assert len(found.agent) == 255
    assert "\0" not in found.agent


def test_the_resource_speaks_for_all_its_spans() -> None:
    resource = {
        "service.name": "shop", "service.version": "1.4", "deployment.environment": "production",
        "gen_ai.agent.name": "support", "agent_factory.run.id": "r-1", "agent_factory.experiment.prompt": "b",
    }  # fmt: skip
    found = read({**OPENAI, "deployment.environment.name": "staging"}, resource=resource)
    assert (found.agent, found.run_id, found.experiments) == ("support", "r-1", (("prompt", "b"),))
    assert (found.environment, found.release, found.service) == ("staging", "1.4", "shop")


def test_an_agent_without_a_name_goes_by_its_span_or_its_service() -> None:
    said = {"gen_ai.operation.name": "invoke_agent"}
    named = read(said, name="invoke_agent billing", resource={"service.name": "shop"})
    assert (named.agent, named.agent_named) == ("billing", True)
    unnamed = read(said, name="invoke_agent", resource={"service.name": "shop"})
    assert (unnamed.agent, unnamed.agent_named) == ("shop", False)
    assert read(said, name="invoke_agent", resource={"service.name": "unknown_service:python"}).agent == ""


# --- Our own ---------------------------------------------------------------------------------------


def test_own_attributes_and_feature_flags() -> None:
    events = (
        Event(
            "feature_flag.evaluation",
            NOON,
            {"feature_flag.key": "tone", "feature_flag.result.variant": "warm"},
        ),
        Event("feature_flag", NOON, {"feature_flag.key": "fast", "feature_flag.variant": True}),
        Event("feature_flag", NOON, {"feature_flag.key": "prompt", "feature_flag.variant": "late"}),
        Event("feature_flag", NOON, {"feature_flag.key": "nothing"}),
        Event("other", NOON, {"feature_flag.key": "no", "feature_flag.variant": "no"}),
    )
    said = {
        **OPENAI, "agent_factory.run.id": "r-7", "agent_factory.hold.id": "h-1", "agent_factory.agent": "ours",
        "gen_ai.agent.name": "theirs", "agent_factory.experiment.prompt": "b", "agent_factory.experiment.": "x",
    }  # fmt: skip
    found = read(said, events=events)
    assert (found.run_id, found.hold_id, found.agent) == ("r-7", "h-1", "ours")
    assert found.experiments == (("fast", "true"), ("prompt", "b"), ("tone", "warm"))


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


# --- Langfuse --------------------------------------------------------------------------------------


def langfuse(usage: dict[str, Any]) -> Reading:
    said = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.usage_details": json.dumps(usage),
        "langfuse.observation.cost_details": '{"input": 0.002, "output": 0.0034, "total": 0.0054}',
        "langfuse.observation.completion_start_time": '"2026-11-22T12:00:00.250000Z"',
        "langfuse.environment": "staging",
        "langfuse.release": "v2",
        "session.id": "s-1",
    }
    return read(said, scope="langfuse-sdk")


def test_langfuse_counts_parts_beside_the_whole() -> None:
    parts = {"input": 400, "input_cached_tokens": 800, "output": 276, "output_reasoning_tokens": 64}
    for usage in (parts, {**parts, "total": 1540}):
        assert counts(langfuse(usage)) == (1200, 800, 0, 340, 64)
    assert counts(langfuse({"input": 100, "input_cache_creation": 50, "output": 7})) == (150, 0, 50, 7, 0)
    audio = langfuse(
        {"input": 100, "input_audio_tokens": 50, "output": 7, "output_audio_tokens": 3, "total": 160}
    ).usage
    assert audio is not None
    assert (audio.input_tokens, audio.audio_input_tokens, audio.output_tokens, audio.audio_output_tokens) == (
        150,
        50,
        10,
        3,
    )


def test_langfuse_in_the_shape_of_openai_or_with_a_telling_total() -> None:
    shape = {
        "prompt_tokens": 1200, "completion_tokens": 340, "total_tokens": 1540,
        "prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens_details": {"reasoning_tokens": 64},
    }  # fmt: skip
    assert counts(langfuse(shape)) == (1200, 800, 0, 340, 64)
    inside = {
        "input": 1200,
        "input_cached_tokens": 800,
        "output": 340,
        "output_reasoning_tokens": 64,
        "total": 1540,
    }
    assert counts(langfuse(inside)) == (1200, 800, 0, 340, 64)


def test_langfuse_names_times_and_costs() -> None:
    found = langfuse({"input": 1, "output": 1})
    assert (found.kind, found.convention, found.provider) == ("inference", "langfuse", "openai")
    assert (found.reported_cost, found.first_token) == (Decimal("0.0054"), SECOND // 4)
    assert (found.environment, found.release, found.session) == ("staging", "v2", "s-1")
    agent = read(
        {"langfuse.observation.type": "agent", "langfuse.observation.level": "ERROR"}, name="support"
    )
    assert (agent.kind, agent.agent, agent.agent_named, agent.failed) == ("agent", "support", True, True)
    assert read({"langfuse.observation.type": "tool"}, name="search").tool == "search"
    assert read({"langfuse.observation.type": "span"}).kind == "workflow"


# --- LangSmith -------------------------------------------------------------------------------------


def test_langsmith_hides_the_details_in_its_metadata() -> None:
    said = {
        "langsmith.span.kind": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 340,
        "gen_ai.usage.total_tokens": 1540,
        "langsmith.metadata.usage_metadata": json.dumps(
            {
                "input_tokens": 1200,
                "output_tokens": 340,
                "total_tokens": 1540,
                "input_token_details": {"cache_read": 800, "cache_creation": 10},
                "output_token_details": {"reasoning": 64},
            }
        ),
        "langsmith.metadata.thread_id": "t-1",
    }
    found = read(said, scope="langsmith")
    assert counts(found) == (1200, 800, 10, 340, 64)
    assert (found.session, found.convention) == ("t-1", "langsmith")
    assert read({"langsmith.span.kind": "chain", "gen_ai.operation.name": "chain"}).kind == "workflow"


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


# --- MLflow ----------------------------------------------------------------------------------------


def test_mlflow_writes_json_texts() -> None:
    usage = {"input_tokens": 1200, "output_tokens": 340, "total_tokens": 1540, "cache_read_input_tokens": 800}
    said = {
        "mlflow.spanType": '"CHAT_MODEL"',
        "mlflow.llm.model": '"gpt-4o"',
        "mlflow.llm.provider": '"openai"',
        "mlflow.chat.tokenUsage": json.dumps(usage),
        "mlflow.llm.cost": '{"input_cost": 0.002, "total_cost": 0.0054}',
        "mlflow.trace.user": '"u-1"',
        "mlflow.trace.session": '"s-1"',
    }
    found = read(said)
    assert (found.kind, found.provider, found.model, found.convention) == (
        "inference",
        "openai",
        "gpt-4o",
        "mlflow",
    )
    assert counts(found) == (1200, 800, 0, 340, 0)
    assert (found.reported_cost, found.user, found.session) == (Decimal("0.0054"), "u-1", "s-1")
    beside = read({**said, "mlflow.llm.provider": '"anthropic"', "mlflow.llm.model": '"claude-sonnet-4-5"'})
    assert counts(beside) == (2000, 800, 0, 340, 0)
    assert counts(read({**said, "mlflow.chat.tokenUsage": usage})) == (1200, 800, 0, 340, 0)
    assert read({"mlflow.spanType": '"AGENT"'}, name="support").agent == "support"


# --- LiteLLM ---------------------------------------------------------------------------------------


def test_litellm_hides_the_details_in_a_python_dict() -> None:
    said = {
        **OPENAI,
        "litellm.call_id": "c",
        "gen_ai.usage.input_tokens": 1200,
        "gen_ai.usage.output_tokens": 340,
        "gen_ai.usage.total_tokens": 1540,
        "metadata.usage_object": (
            "{'completion_tokens': 340, 'prompt_tokens': 1200, 'total_tokens': 1540, "
            "'completion_tokens_details': {'reasoning_tokens': 64, 'audio_tokens': None}, "
            "'prompt_tokens_details': {'cached_tokens': 800}, 'cache_read_input_tokens': 800}"
        ),
        "hidden_params": '{"response_cost": 0.0054}',
        "metadata.user_api_key_end_user_id": "",
        "metadata.user_api_key_user_id": "None",
        "llm.user": "u-1",
    }
    found = read(said, scope="litellm")
    assert counts(found) == (1200, 800, 0, 340, 64)
    assert (found.reported_cost, found.user, found.convention) == (Decimal("0.0054"), "u-1", "litellm")
    for odd in ("{'a': 1", "{}", "__import__('os')", "{1: 2}", "{'prompt_tokens': " * 3000):
        assert counts(read({**said, "metadata.usage_object": odd})) == (1200, 0, 0, 340, 0)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("acompletion", "inference"), ("completion", "inference"), ("aresponses", "inference"),
        ("anthropic_messages", "inference"), ("aembedding", "embedding"), ("arerank", "retrieval"),
        ("call_mcp_tool", "tool"), ("acreate_file", "workflow"),
    ],
)  # fmt: skip
def test_litellm_says_which_function_was_called(operation: str, kind: str) -> None:
    said = {**OPENAI, "gen_ai.operation.name": operation, "gen_ai.usage.input_tokens": 5}
    assert read({**said, "llm.request.type": operation}, scope="litellm").kind == kind


def test_litellm_names_its_price_anew() -> None:
    said = {**OPENAI, "litellm.call_id": "c", "gen_ai.usage.input_tokens": 5, "litellm.cost.total": 0.0054}
    assert read(said).reported_cost == Decimal("0.0054")


def test_litellm_raw_request_is_not_a_call() -> None:
    assert read({**OPENAI, "gen_ai.usage.input_tokens": 5}, name="raw_gen_ai_request").kind == "other"
    assert read({"http.request.method": "POST"}, name="POST").kind == "other"


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


@pytest.mark.parametrize("value", [float("nan"), -1, "free", 10**7, "1e999999999", True, None])
def test_impossible_costs_are_none(value: Any) -> None:
    assert read({**OPENAI, "operation.cost": value}).reported_cost is None


def test_spans_that_say_nothing_of_themselves_are_told_by_what_they_hold() -> None:
    said = {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 5}
    assert read(said).kind == "inference"
    assert read({**said, "gen_ai.request.model": "text-embedding-3-small"}).kind == "embedding"
    assert read({"gen_ai.request.model": "gpt-4o"}).kind == "other"
    assert read({"gen_ai.tool.name": "search"}, name="running tool").tool == "search"
    assert read({}).kind == "other"


@pytest.mark.parametrize("convention", CONVENTIONS, ids=lambda one: one.name)
def test_what_a_convention_names_is_decoded_and_prompts_are_not(convention: Convention) -> None:
    named = {*convention.kind, *convention.objects, *convention.marks}
    for attributes in convention.names.values():
        named.update(attributes)
    assert named or convention.scopes
    assert all(is_wanted(attribute) for attribute in named)
    for content in ("gen_ai.input.messages", "gen_ai.output.messages", "input.value", "output.value", "ai.prompt",
                    "ai.response.text", "langfuse.observation.input", "mlflow.spanInputs", "gen_ai.prompt.0.content",
                    "traceloop.entity.output", "llm.input_messages.0.message.content"):  # fmt: skip
        assert not is_wanted(content)
