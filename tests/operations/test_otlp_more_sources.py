"""Spans of clients beyond those of which requests were recorded, to the token and with who is paid."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from operations.telemetry.domain.reading import Reading
from operations.telemetry.domain.spans import Attributes

from .otlp import read
from .otlp_readings import OPENAI, counts

pytestmark = pytest.mark.once

USED = {"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 340}
CLAUDE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-20250514",
    "gen_ai.usage.input_tokens": 1100,
    "gen_ai.usage.output_tokens": 50,
}


def call(reading: Reading) -> tuple[str, str, str]:
    return reading.kind, reading.provider, reading.model


@pytest.mark.parametrize(
    "operation",
    [
        "chat.completions", "chat.streaming_completions", "text.completions", "text.streaming_completions",
        "generateContent", "text_to_speech", "speech_to_text", "process_thread_run",
    ],
)  # fmt: skip
def test_operations_of_other_frameworks_are_calls(operation: str) -> None:
    assert read({**OPENAI, **USED, "gen_ai.operation.name": operation}).kind == "inference"


def test_an_unknown_operation_with_an_answer_is_a_call_and_without_one_a_total() -> None:
    unknown = {**OPENAI, **USED, "gen_ai.operation.name": "newest_way_to_ask"}
    assert read({**unknown, "gen_ai.response.id": "resp-1"}).kind == "inference"
    assert read(unknown).kind == "workflow"
    assert read({**unknown, "gen_ai.operation.name": "plan", "gen_ai.response.id": "r"}).kind == "workflow"
    embedded = {
        "gen_ai.operation.name": "embed_documents", "gen_ai.request.model": "text-embedding-3-small",
        "gen_ai.usage.total_tokens": 5, "gen_ai.response.id": "resp-1",
    }  # fmt: skip
    assert (read(embedded).kind, counts(read(embedded))) == ("embedding", (5, 0, 0, 0, 0))
    nothing_used = {"gen_ai.operation.name": "newest_way_to_ask", "gen_ai.response.id": "resp-1"}
    assert read(nothing_used).kind == "workflow"


@pytest.mark.parametrize(
    "details",
    [
        {"gen_ai.usage.input_token_details": '{"cache_read": 800, "audio": 0}',
         "gen_ai.usage.output_token_details": '{"reasoning": 64}'},
        {"gen_ai.usage.input_token_details": "{'cache_read': 800}",
         "gen_ai.usage.output_token_details": "{'reasoning': 64}"},
        {"gen_ai.usage.prompt_tokens_details": {"cached_tokens": 800},
         "gen_ai.usage.completion_tokens_details": {"reasoning_tokens": 64}},
        {"gen_ai.usage.input_token_details.cache_read": 800, "gen_ai.usage.output_token_details.reasoning": 64},
        {"gen_ai.usage.input_tokens.cached": 800, "gen_ai.usage.output_tokens.reasoning": "64"},
        {"gen_ai.usage.cache_read_tokens": 800, "gen_ai.usage.output_reasoning_tokens": 64},
        {"gen_ai.usage.details.cached_content_tokens": 800, "gen_ai.usage.details.thoughts_tokens": 64},
    ],
)  # fmt: skip
def test_details_under_other_names(details: Attributes) -> None:
    assert counts(read({**OPENAI, **USED, **details})) == (1200, 800, 0, 340, 64)


@pytest.mark.parametrize(
    "details",
    [
        {"gen_ai.usage.details.cache_read_input_tokens": 800,
         "gen_ai.usage.details.cache_creation_input_tokens": 200},
        {"gen_ai.usage.input_token_details": '{"cache_read": 800, "cache_creation": 200}'},
        {"gen_ai.usage.input_token_details": json.dumps(
            {"cache_read": 800, "cache_creation": 0, "ephemeral_5m_input_tokens": 200})},
        {"langsmith.metadata.usage_metadata": json.dumps({
            "input_tokens": 1100, "output_tokens": 50, "total_tokens": 1150, "input_token_details":
            {"cache_read": 800, "cache_creation": 0, "ephemeral_5m_input_tokens": 200}})},
    ],
)  # fmt: skip
def test_writes_to_a_cache_under_other_names(details: Attributes) -> None:
    assert counts(read({**CLAUDE, **details})) == (1100, 800, 200, 50, 0)


KEPT = {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50}


@pytest.mark.parametrize(
    ("kept", "minutes", "hour"),
    [
        (KEPT, 150, 50),
        ({**KEPT, "cache_creation": 0}, 150, 50),
        ({**KEPT, "cache_creation": 200}, 150, 50),
        ({**KEPT, "cache_creation": 150}, 150, 50),
        ({"cache_creation": 200, "ephemeral_1h_input_tokens": 50}, 150, 50),
        ({"cache_creation": 0, "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 50}, 0, 50),
        ({"cache_creation": 50, "ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 50}, 0, 50),
        ({"cache_creation": 200, "ephemeral_5m_input_tokens": 200}, 200, 0),
        ({"cache_creation": 200}, 200, 0),
    ],
)  # fmt: skip
def test_writes_for_an_hour_are_among_all_writes_and_beside_those_for_minutes(
    kept: dict[str, int], minutes: int, hour: int
) -> None:
    used = {"input_tokens": 1100, "output_tokens": 50, "total_tokens": 1150, "input_token_details": kept}
    for said in (
        {"gen_ai.usage.input_token_details": json.dumps(kept)},
        {"gen_ai.usage.input_token_details": kept},
        {"langsmith.metadata.usage_metadata": json.dumps(used)},
    ):
        usage = read({**CLAUDE, **said}).usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (1100, 50)
        assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (minutes, hour)


def test_writes_for_an_hour_are_among_those_of_a_plain_attribute() -> None:
    said = {"gen_ai.usage.cache_creation.input_tokens": 200, "gen_ai.usage.input_token_details": KEPT}
    usage = read({**CLAUDE, **said}).usage
    assert usage is not None
    assert (usage.input_tokens, usage.cache_write_tokens, usage.cache_write_1h_tokens) == (1100, 150, 50)


def test_the_first_names_of_openllmetry_and_of_semantic_kernel() -> None:
    first = {
        "llm.vendor": "OpenAI",
        "llm.request.type": "chat",
        "llm.request.model": "gpt-4o",
        "llm.response.model": "gpt-4o-2024-08-06",
        "llm.usage.prompt_tokens": 1200,
        "llm.usage.completion_tokens": 340,
        "llm.usage.total_tokens": 1540,
    }
    found = read(first, name="openai.chat")
    assert (call(found), counts(found)) == (
        ("inference", "openai", "gpt-4o-2024-08-06"),
        (1200, 0, 0, 340, 0),
    )
    kernel = {"gen_ai.response.prompt_tokens": 1200, "gen_ai.response.completion_tokens": 340}
    assert counts(read({**OPENAI, **kernel})) == (1200, 0, 0, 340, 0)


def test_langfuse_adds_the_costs_up_where_there_is_no_total() -> None:
    said = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o",
        "langfuse.observation.usage_details": '{"input": 1200, "output": 340}',
    }
    for costs, sum_of_them in (
        ({"input": 0.003, "output": 0.0034}, Decimal("0.0064")),
        ({"input": 0.003, "total": 0.0054}, Decimal("0.0054")),
        ({"input": "much", "output": 0.0034}, None),
        ({}, None),
    ):
        found = read({**said, "langfuse.observation.cost_details": json.dumps(costs)})
        assert found.reported_cost == sum_of_them


def test_costs_in_parts_or_by_another_name_and_the_tier() -> None:
    parts = {"llm.cost.prompt": 0.003, "llm.cost.completion": 0.0034}
    assert read({**OPENAI, **USED, **parts}).reported_cost == Decimal("0.0064")
    assert read({**OPENAI, **USED, **parts, "llm.cost.total": 0.0054}).reported_cost == Decimal("0.0054")
    assert read({**OPENAI, **USED, "llm.cost.prompt": "none of that"}).reported_cost is None
    for part, amount in parts.items():
        assert read({**OPENAI, **USED, part: amount}).reported_cost is None
    embedding = {**OPENAI, "gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 1200}
    assert read({**embedding, "llm.cost.prompt": 0.003}).reported_cost == Decimal("0.003")
    assert read({**embedding, **parts}).reported_cost == Decimal("0.0064")
    assert read({**OPENAI, **USED, "gen_ai.usage.total_cost": 0.0064}).reported_cost == Decimal("0.0064")
    assert read({**OPENAI, **USED, "gen_ai.usage.total_cost": 0}).reported_cost is None
    assert read({**OPENAI, **USED, "gen_ai.response.service_tier": "batch"}).service_tier == "batch"


# --- Claude Code and Codex -------------------------------------------------------------------------

REQUEST = {
    "span.type": "llm_request",
    "llm_request.context": "interaction",
    "session.id": "s-1",
    "model": "claude-sonnet-4-20250514",
    "gen_ai.system": "anthropic",
    "gen_ai.request.model": "claude-sonnet-4-20250514",
    "input_tokens": 2,
    "output_tokens": 1200,
    "cache_read_tokens": 84562,
    "cache_creation_tokens": 7096,
    "ttft_ms": 250,
}


@pytest.mark.parametrize("scope", ["com.anthropic.claude_code.tracing", ""])
def test_claude_code_counts_cached_tokens_beside_the_input(scope: str) -> None:
    found = read(REQUEST, name="claude_code.llm_request", scope=scope)
    assert call(found) == ("inference", "anthropic", "claude-sonnet-4-20250514")
    assert counts(found) == (91660, 84562, 7096, 1200, 0)
    assert (found.session, found.first_token) == ("s-1", 250_000_000)


def test_claude_code_has_interactions_tools_and_refused_requests() -> None:
    scope = "com.anthropic.claude_code.tracing"
    turn = read(
        {"span.type": "interaction", "interaction.sequence": 1},
        name="claude_code.interaction",
        scope=scope,
        resource={"service.name": "reviewer"},
    )
    assert (turn.kind, turn.agent, turn.agent_named) == ("agent", "reviewer", True)
    unnamed = read({"span.type": "interaction"}, name="claude_code.interaction", scope=scope)
    assert unnamed.agent == "claude-code"
    tool = read({"span.type": "tool", "tool_name": "Bash", "tool_use_id": "t-1"}, scope=scope)
    assert (tool.kind, tool.tool, tool.tool_call_id) == ("tool", "Bash", "t-1")
    for inner in ("tool.execution", "tool.blocked_on_user", "hook"):
        assert read({"span.type": inner}, scope=scope).kind == "other"
    refused = read({**REQUEST, "success": False, "status_code": 429}, scope=scope)
    assert (refused.failed, refused.error_type) == (True, "429")


def test_names_without_a_prefix_mean_nothing_elsewhere() -> None:
    bare = {"model": "gpt-4o", "input_tokens": 5, "output_tokens": 5, "status_code": 500, "tool_name": "x"}
    assert read(bare).kind == "other"
    assert counts(read({**OPENAI, **USED, **bare})) == (1200, 0, 0, 340, 0)
    assert not read({**OPENAI, **USED, **bare}).failed
    for kind in ("web", "interaction", "llm_request", "tool"):
        assert read({"span.type": kind}).kind == "other"
        assert (read({**OPENAI, **USED, "span.type": kind}).kind, read({"span.type": kind}).agent) == (
            "inference",
            "",
        )
    agent = {"gen_ai.operation.name": "newest_step", "span.type": "interaction"}
    assert read(agent).kind == "workflow"


def test_a_turn_of_codex_has_the_sum_of_its_requests() -> None:
    turn = {
        "model": "gpt-5-codex",
        "codex.turn.token_usage.input_tokens": 1200,
        "codex.turn.token_usage.cached_input_tokens": 800,
        "codex.turn.token_usage.output_tokens": 340,
        "codex.turn.token_usage.reasoning_output_tokens": 64,
        "codex.turn.token_usage.total_tokens": 1540,
    }
    found = read(turn, name="session_task.turn", scope="codex_cli_rs")
    assert call(found) == ("inference", "openai", "gpt-5-codex")
    assert counts(found) == (1200, 800, 0, 340, 64)
    assert read(USED, name="handle_responses", scope="codex_cli_rs").kind == "other"


# --- Platforms -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        {"gen_ai.span.kind": "LLM", "gen_ai.system": "openai", "gen_ai.model_name": "gpt-4o", **USED},
        {"langtrace.service.type": "llm", "langtrace.service.name": "OpenAI", "llm.model": "gpt-4o",
         "llm.token.counts": '{"input_tokens": 1200, "output_tokens": 340, "total_tokens": 1540}'},
        {"langwatch.span.type": "llm", "gen_ai.request.model": "gpt-4o", "langwatch.metrics":
         '{"type": "json", "value": {"promptTokens": 1200, "completionTokens": 340}}'},
        {"braintrust.span_attributes": '{"type": "llm"}', "braintrust.metrics":
         '{"prompt_tokens": 1200, "completion_tokens": 340, "tokens": 1540}',
         "braintrust.metadata": '{"provider": "openai", "model": "gpt-4o"}'},
        {**OPENAI, "gen_ai.usage.input_tokens": "1200", "gen_ai.usage.output_tokens": "340"},
        {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "gateway",
         "ai.model.id": "openai/gpt-4o", "ai.usage.inputTokens": 1200, "ai.usage.outputTokens": 340},
    ],
)  # fmt: skip
def test_calls_as_platforms_tell_of_them(said: Attributes) -> None:
    found = read(said)
    assert (call(found), counts(found)) == (("inference", "openai", "gpt-4o"), (1200, 0, 0, 340, 0))


def test_braintrust_tells_parts_apart() -> None:
    metrics = {
        "prompt_tokens": 1200, "completion_tokens": 340, "tokens": 1540, "prompt_cached_tokens": 800,
        "completion_reasoning_tokens": 64, "start": 1795348800.5, "end": 1795348801.5,
    }  # fmt: skip
    model = '{"provider": "openai", "model": "gpt-4o"}'
    said = {"braintrust.metrics": json.dumps(metrics), "braintrust.metadata": model}
    assert counts(read(said)) == (1200, 800, 0, 340, 64)
    assert read({"braintrust.metrics": '{"start": 1.5, "end": 2.5}'}).kind == "other"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("llm", "inference"), ("task", "workflow"), ("function", "workflow"), ("eval", "workflow"),
        ("score", "other"), ("tool", "tool"), ("newest", "inference"),
    ],
)  # fmt: skip
def test_braintrust_says_what_a_span_is_in_an_object(said: str, kind: str) -> None:
    totals = {
        "braintrust.metrics": '{"prompt_tokens": 1200, "completion_tokens": 340, "tokens": 1540}',
        "braintrust.metadata": '{"provider": "openai", "model": "gpt-4o"}',
    }
    for attributes in (json.dumps({"name": "x", "type": said}), {"name": "x", "type": said}):
        found = read({**totals, "braintrust.span_attributes": attributes}, name="lookup")
        assert (found.kind, found.tool) == (kind, "lookup" if said == "tool" else "")
        assert counts(found) == (1200, 0, 0, 340, 0)
    embedding = {
        "braintrust.span_attributes": '{"type": "llm"}',
        "braintrust.metrics": '{"prompt_tokens": 5, "tokens": 5}',
        "braintrust.metadata": '{"provider": "openai", "model": "text-embedding-3-small"}',
    }
    assert (read(embedding).kind, counts(read(embedding))) == ("embedding", (5, 0, 0, 0, 0))
    for odd in ("task", "{", '{"type": 5}', '{"type": null}', "[]"):
        assert read({**totals, "braintrust.span_attributes": odd}).kind == "inference"


def test_a_span_of_langwatch_is_a_total_and_its_call_is_not() -> None:
    said = {
        "gen_ai.request.model": "gpt-4o",
        "langwatch.metrics": '{"promptTokens": 5, "completionTokens": 6}',
    }
    assert read({**said, "langwatch.span.type": "span"}).kind == "workflow"
    assert read({**said, "langwatch.span.type": "llm"}).kind == "inference"
    assert read({**said, "langwatch.span.type": "span", "gen_ai.operation.name": "chat"}).kind == "inference"


def test_spring_ai_and_alibaba_name_what_is_around_the_call() -> None:
    framework = {"gen_ai.operation.name": "framework", "gen_ai.system": "spring_ai"}
    for kind, ours in (("chat_client", "workflow"), ("advisor", "workflow"), ("vector_store", "retrieval")):
        assert read({**framework, "spring.ai.kind": kind}).kind == ours
    tool = {**framework, "spring.ai.kind": "tool_call", "spring.ai.tool.definition.name": "lookup"}
    assert (read(tool).kind, read(tool).tool) == ("tool", "lookup")
    for kind, ours in (("AGENT", "agent"), ("TOOL", "tool"), ("STEP", "workflow"), ("RERANKER", "retrieval")):
        assert read({"gen_ai.span.kind": kind}).kind == ours


def test_genkit_says_what_was_used_in_its_output() -> None:
    used = {"inputTokens": 1000, "outputTokens": 100, "thoughtsTokens": 40, "totalTokens": 1140}
    said = {"genkit:metadata:subtype": "model", "genkit:name": "googleai/gemini-2.5-flash"}
    answer = {"message": {"role": "model", "content": [{"text": "Hi."}]}, "usage": used}
    found = read({**said, "genkit:output": json.dumps(answer)})
    assert call(found) == ("inference", "google", "gemini-2.5-flash")
    assert counts(found) == (1000, 0, 0, 140, 40)
    told = {**used, "outputTokens": 140, "totalTokens": 1140}
    assert counts(read({**said, "genkit:output": json.dumps({"usage": told})})) == (1000, 0, 0, 140, 40)
    del used["totalTokens"]
    assert counts(read({**said, "genkit:output": json.dumps({"usage": used})})) == (1000, 0, 0, 140, 40)
    long = {"message": "a" * 20_000, "usage": used}
    assert read({**said, "genkit:output": json.dumps(long)[:16_384]}).usage is None
    tool = {"genkit:metadata:subtype": "tool.v2", "genkit:name": "lookup", "genkit:output": '"a"'}
    assert (read(tool).kind, read(tool).tool) == ("tool", "lookup")
    assert read({"genkit:metadata:subtype": "flow", "genkit:name": "x"}).kind == "workflow"
    assert read({"genkit:metadata:subtype": "agent", "genkit:name": "helper"}).agent == "helper"
