"""Calls as each release of Vercel's AI SDK counts them, with Anthropic, on Bedrock and with others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from operations.telemetry.domain.reading import Reading

from .otlp import read
from .otlp_readings import counts

pytestmark = pytest.mark.once


def vercel(provider: str, model: str, used: dict[str, Any], metadata: dict[str, Any]) -> Reading:
    said = {
        "ai.operationId": "ai.streamText.doStream",
        "ai.model.provider": provider,
        "ai.model.id": model,
        "ai.response.providerMetadata": json.dumps(metadata),
    }
    return read({**said, **{f"ai.usage.{name}": count for name, count in used.items()}}, scope="ai")


@pytest.mark.parametrize("uncached", [100, 5000])
def test_vercel_passes_the_counts_of_anthropic_on(uncached: int) -> None:
    claude = ("anthropic.messages", "claude-sonnet-4-20250514")
    written = {"anthropic": {"cacheCreationInputTokens": 200}}
    fifth = {"inputTokens": uncached, "outputTokens": 50, "totalTokens": uncached + 50}
    whole = (uncached + 1000, 800, 200, 50, 0)
    assert counts(vercel(*claude, {**fifth, "cachedInputTokens": 800}, written)) == whole
    fourth = {"promptTokens": uncached, "completionTokens": 50}
    both = {"anthropic": {"cacheCreationInputTokens": 200, "cacheReadInputTokens": 800}}
    assert counts(vercel(*claude, fourth, both)) == whole
    vertex = ("google.vertex.anthropic.messages", "claude-sonnet-4@20250514")
    assert counts(vercel(*vertex, {**fifth, "cachedInputTokens": 800}, written)) == whole
    bedrock = {"bedrock": {"usage": {"cacheWriteInputTokens": 200}}}
    model = "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert counts(vercel("amazon-bedrock", model, {**fifth, "cachedInputTokens": 800}, bedrock)) == whole


def test_vercel_since_the_sixth_and_with_others_counts_inside() -> None:
    sixth = {
        "inputTokens": 6000,
        "inputTokenDetails.noCacheTokens": 5000,
        "inputTokenDetails.cacheReadTokens": 800,
        "inputTokenDetails.cacheWriteTokens": 200,
        "outputTokens": 50,
    }
    written = {"anthropic": {"cacheCreationInputTokens": 200}}
    assert counts(vercel("anthropic.messages", "claude-sonnet-4-5", sixth, written)) == (
        6000,
        800,
        200,
        50,
        0,
    )
    fourth = {"promptTokens": 1200, "completionTokens": 340}
    hidden = {"openai": {"cachedPromptTokens": 800, "reasoningTokens": 64}}
    assert counts(vercel("openai.chat", "gpt-4o", fourth, hidden)) == (1200, 800, 0, 340, 64)


CLAUDE_BY_VERCEL = ("anthropic.messages", "claude-sonnet-4-5")
ANTHROPIC = {"input_tokens": 5000, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 200}


def test_vercel_is_judged_by_what_anthropic_itself_counted() -> None:
    metadata = {"anthropic": {"usage": ANTHROPIC, "cacheCreationInputTokens": 200}}
    whole = (6000, 800, 200, 50, 0)
    for given in (5000, 6000):
        generated = {"promptTokens": given, "completionTokens": 50}
        assert counts(vercel(*CLAUDE_BY_VERCEL, generated, metadata)) == whole
        streamed = {"inputTokens": given, "outputTokens": 50, "totalTokens": given + 50}
        assert counts(vercel(*CLAUDE_BY_VERCEL, {**streamed, "cachedInputTokens": 800}, metadata)) == whole
    on_bedrock = ("bedrock.anthropic.messages", "us.anthropic.claude-sonnet-4-20250514-v1:0")
    assert counts(vercel(*on_bedrock, {"promptTokens": 6000, "completionTokens": 50}, metadata)) == whole
    broken = {"anthropic": {"usage": {**ANTHROPIC, "input_tokens": "many"}}}
    assert counts(vercel(*CLAUDE_BY_VERCEL, {"promptTokens": 5000, "completionTokens": 50}, broken)) == whole


def test_vercel_adds_the_iterations_of_anthropic_up() -> None:
    parts = [
        {"type": "compaction", "input_tokens": 3000, "output_tokens": 20},
        {"type": "message", "input_tokens": 5000, "output_tokens": 30},
        {"type": "advisor_message", "input_tokens": 70, "output_tokens": 7},
    ]
    metadata = {"anthropic": {"usage": {**ANTHROPIC, "iterations": parts}}}
    for given in (8000, 9000):
        used = {"promptTokens": given, "completionTokens": 50}
        assert counts(vercel(*CLAUDE_BY_VERCEL, used, metadata)) == (9000, 800, 200, 50, 0)
    # The fifth release adds an adviser's up as well.
    fifth = {"promptTokens": 8070, "completionTokens": 57}
    assert counts(vercel(*CLAUDE_BY_VERCEL, fifth, metadata)) == (9070, 800, 200, 57, 0)
    by_another = {"iterations": [*parts, {"type": "fallback_message", "input_tokens": 5000}]}
    metadata = {"anthropic": {"usage": {**ANTHROPIC, **by_another}}}
    for given in (5000, 6000):
        used = {"promptTokens": given, "completionTokens": 50}
        assert counts(vercel(*CLAUDE_BY_VERCEL, used, metadata)) == (6000, 800, 200, 50, 0)


def test_vercel_on_bedrock_takes_a_write_alone_as_inside_unless_the_numbers_prove_otherwise() -> None:
    bedrock = ("amazon-bedrock", "us.anthropic.claude-sonnet-4-20250514-v1:0")
    written = {"bedrock": {"usage": {"cacheWriteInputTokens": 200}}}
    used = {"promptTokens": 6000, "completionTokens": 50}
    assert counts(vercel(*bedrock, used, written)) == (6000, 0, 200, 50, 0)
    assert counts(vercel(*bedrock, {**used, "promptTokens": 100}, written)) == (300, 0, 200, 50, 0)
    # Only the fourth release tells there what was read.
    fourth = {"bedrock": {"usage": {"cacheReadInputTokens": 800, "cacheWriteInputTokens": 200}}}
    assert counts(vercel(*bedrock, {**used, "promptTokens": 5000}, fourth)) == (6000, 800, 200, 50, 0)
