"""Vercel's AI SDK: an outer span for the whole generation, whose totals repeat those of the calls inside."""

from __future__ import annotations

from typing import Final

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
        "ai.response.providerMetadata": {
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
