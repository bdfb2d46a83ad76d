"""Spans of OpenTelemetry's own convention and of ours, and what holds for all of them."""

from __future__ import annotations

from typing import Any

import pytest

from operations.telemetry.domain.conventions import CONVENTIONS, is_wanted
from operations.telemetry.domain.conventions.convention import Convention
from operations.telemetry.domain.spans import Event

from .otlp import NOON, read
from .otlp_readings import OPENAI, counts

pytestmark = pytest.mark.once


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
