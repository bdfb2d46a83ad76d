"""OpenInference (Arize Phoenix): prompt tokens include cached ones, completion tokens reasoning."""

from __future__ import annotations

from typing import Final

from .convention import Convention

OPENINFERENCE: Final = Convention(
    "openinference",
    kind=("openinference.span.kind",),
    kinds={
        "llm": "inference",
        "embedding": "embedding",
        "tool": "tool",
        "agent": "agent",
        "chain": "workflow",
        "retriever": "retrieval",
        "reranker": "retrieval",
        "guardrail": "other",
        "evaluator": "other",
        "prompt": "other",
    },
    unlisted="other",
    names={
        "provider": ("llm.provider", "llm.system"),
        "model": (
            "llm.response.model_name",
            "llm.model_name",
            "llm.request.model_name",
            "embedding.model_name",
            "reranker.model_name",
        ),
        "input": ("llm.token_count.prompt",),
        "output": ("llm.token_count.completion",),
        "total": ("llm.token_count.total",),
        "cache_read": (
            "llm.token_count.prompt_details.cache_read",
            "llm.token_count.prompt_details.cache_input",
        ),
        "cache_write": ("llm.token_count.prompt_details.cache_write",),
        "reasoning": ("llm.token_count.completion_details.reasoning",),
        "audio_input": ("llm.token_count.prompt_details.audio",),
        "audio_output": ("llm.token_count.completion_details.audio",),
        "cost": ("llm.cost.total",),
        "cost_input": ("llm.cost.prompt",),
        "cost_output": ("llm.cost.completion",),
        "agent": ("agent.name",),
        "agent_weak": ("graph.node.id",),
        "tool": ("tool.name",),
        "tool_call": ("tool_call.id", "tool.id"),
    },
    objects={"llm.invocation_parameters": {"model": "model"}},
    marks=("openinference.span.kind",),
    scopes=("openinference.",),
)

FIRST_TOKEN_EVENT: Final = "First Token Stream Event"  # noqa: S105 - the name of an event, not a secret
