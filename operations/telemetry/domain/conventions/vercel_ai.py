"""Vercel's AI SDK: an outer span for the whole generation, whose totals repeat those of the calls inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..values import tokens
from .convention import Convention, Kind

KINDS: Final[dict[str, Kind]] = {
    **{
        f"ai.{call}.{inner}": "inference"
        for call in ("generatetext", "streamtext", "generateobject", "streamobject")
        for inner in ("dogenerate", "dostream")
    },
    "ai.embed.doembed": "embedding",
    "ai.embedmany.doembed": "embedding",
    "ai.rerank.dorerank": "retrieval",
    "ai.toolcall": "tool",
    "ai.generatetext": "agent",
    "ai.streamtext": "agent",
    "ai.generateobject": "agent",
    "ai.streamobject": "agent",
    "ai.embed": "workflow",
    "ai.embedmany": "workflow",
    "ai.rerank": "workflow",
}

NAME: Final = "vercel_ai"
METADATA: Final = "ai.response.providerMetadata"

VERCEL_AI: Final = Convention(
    NAME,
    kind=("ai.operationId",),
    kinds=KINDS,
    unlisted="other",
    names={
        "provider": ("ai.model.provider",),
        "model": ("ai.response.model", "ai.model.id"),
        "input": ("ai.usage.inputTokens", "ai.usage.promptTokens", "ai.usage.tokens"),
        "output": ("ai.usage.outputTokens", "ai.usage.completionTokens"),
        "total": ("ai.usage.totalTokens",),
        "uncached": ("ai.usage.inputTokenDetails.noCacheTokens",),
        "cache_read": ("ai.usage.inputTokenDetails.cacheReadTokens", "ai.usage.cachedInputTokens"),
        "cache_write": ("ai.usage.inputTokenDetails.cacheWriteTokens",),
        "reasoning": ("ai.usage.outputTokenDetails.reasoningTokens", "ai.usage.reasoningTokens"),
        "first_token_ms": ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
        "agent": ("ai.telemetry.functionId",),
        "tool": ("ai.toolCall.name",),
        "tool_call": ("ai.toolCall.id",),
        "session": (
            "ai.telemetry.metadata.sessionId",
            "ai.telemetry.metadata.session_id",
            "ai.telemetry.metadata.threadId",
            "ai.telemetry.metadata.conversationId",
        ),
        "user": ("ai.telemetry.metadata.userId", "ai.telemetry.metadata.user_id"),
    },
    objects={
        # Before its sixth release only the provider's own numbers have what was written to a cache, and
        # before its fifth what was read from it.
        METADATA: {
            "anthropic cacheReadInputTokens": "cache_read",
            "anthropic usage cache_read_input_tokens": "cache_read",
            "anthropic cacheCreationInputTokens": "cache_write",
            "anthropic usage cache_creation_input_tokens": "cache_write",
            "bedrock usage cacheReadInputTokens": "cache_read",
            "bedrock usage cacheWriteInputTokens": "cache_write",
            "openai cachedPromptTokens": "cache_read",
            "openai reasoningTokens": "reasoning",
        },
    },
    marks=("ai.operationId",),
    # The scope "ai" is matched whole.
    scopes=("ai\0",),
)


def uncached_inputs(metadata: Mapping[str, Any]) -> set[int]:
    """What input without cached tokens may be by the usage of Anthropic that a provider's metadata pass on.

    Releases differ in whose iterations they add up: every one's, or without those of an adviser, or not at
    all where another model took over. Empty when there is no such usage.
    """
    anthropic = metadata.get("anthropic")
    usage = anthropic.get("usage") if isinstance(anthropic, Mapping) else None
    if not isinstance(usage, Mapping):
        return set()
    iterations = usage.get("iterations")
    parts = [one for one in iterations if isinstance(one, Mapping)] if isinstance(iterations, list) else []
    own = [one for one in parts if one.get("type") in _OWN_ITERATIONS]
    found: set[int] = set()
    for added in ([usage], parts, own):
        counts = [tokens(one.get("input_tokens")) for one in added]
        known = [count for count in counts if isinstance(count, int)]
        if known and len(known) == len(counts):
            found.add(sum(known))
    return found


_OWN_ITERATIONS: Final = ("compaction", "message")
