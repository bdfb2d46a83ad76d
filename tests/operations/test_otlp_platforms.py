"""Spans as Langfuse, LangSmith, MLflow and LiteLLM write them, and exactly what they mean."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from operations.telemetry.domain.reading import Reading

from .otlp import SECOND, read
from .otlp_readings import OPENAI, counts

pytestmark = pytest.mark.once


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
