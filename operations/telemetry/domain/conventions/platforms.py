"""Platforms that add a kind or an object of their own to OpenTelemetry's names."""

from __future__ import annotations

from typing import Final

from .convention import Convention

ALIBABA: Final = Convention(
    "alibaba",
    kind=("gen_ai.span.kind", "gen_ai.span_kind_name"),
    kinds={
        "llm": "inference",
        "embedding": "embedding",
        "tool": "tool",
        "agent": "agent",
        "retriever": "retrieval",
        "reranker": "retrieval",
        "chain": "workflow",
        "task": "workflow",
        "workflow": "workflow",
        "entry": "workflow",
        "step": "workflow",
    },
    names={"session": ("gen_ai.session.id",), "user": ("gen_ai.user.id",)},
)

SPRING_AI: Final = Convention(
    "spring_ai",
    kind=("spring.ai.kind",),
    kinds={
        "chat_client": "workflow",
        "advisor": "workflow",
        "tool_call": "tool",
        "vector_store": "retrieval",
    },
    names={"tool": ("spring.ai.tool.definition.name",)},
    marks=("spring.ai.kind",),
)

LANGTRACE: Final = Convention(
    "langtrace",
    kind=("langtrace.service.type",),
    kinds={"llm": "inference", "framework": "workflow", "vectordb": "retrieval"},
    names={"provider": ("langtrace.service.name",), "model": ("llm.model",)},
    marks=("langtrace.service.type",),
    scopes=("langtrace",),
)

LANGWATCH: Final = Convention(
    "langwatch",
    kind=("langwatch.span.type",),
    kinds={
        "llm": "inference",
        "tool": "tool",
        "agent": "agent",
        "rag": "retrieval",
        "chain": "workflow",
        "workflow": "workflow",
        "task": "workflow",
        "span": "workflow",
    },
    names={"session": ("langwatch.thread.id",), "user": ("langwatch.user.id",)},
    objects={
        "langwatch.metrics": {
            "value promptTokens": "input",
            "value completionTokens": "output",
            "promptTokens": "input",
            "completionTokens": "output",
            "value cost": "cost",
            "cost": "cost",
        }
    },
    marks=("langwatch.span.type",),
)

BRAINTRUST: Final = Convention(
    "braintrust",
    kind=("braintrust.span_attributes",),
    kind_path="type",
    # A call of a model is an "llm" whether it answers or embeds: its model tells.
    kinds={"task": "workflow", "function": "workflow", "eval": "workflow", "score": "other", "tool": "tool"},
    names={
        "input": ("braintrust.metrics.prompt_tokens",),
        "output": ("braintrust.metrics.completion_tokens",),
        "cache_read": ("braintrust.metrics.prompt_cached_tokens",),
        "cache_write": ("braintrust.metrics.prompt_cache_creation_tokens",),
        "reasoning": ("braintrust.metrics.completion_reasoning_tokens",),
    },
    objects={"braintrust.metadata": {"model": "model", "provider": "provider"}},
    marks=("braintrust.metrics", "braintrust.span_attributes"),
)

USAGE: Final = ("llm.token.counts", "braintrust.metrics")
