"""OpenLLMetry (Traceloop): OpenTelemetry's names with its own kinds and associated properties."""

from __future__ import annotations

from typing import Final

from .convention import Convention

_PROPERTY: Final = "traceloop.association.properties."

OPENLLMETRY: Final = Convention(
    "openllmetry",
    kind=("traceloop.span.kind", "llm.request.type"),
    kinds={
        "workflow": "workflow",
        "task": "workflow",
        "agent": "agent",
        "tool": "tool",
        "chat": "inference",
        "completion": "inference",
        "embedding": "embedding",
        "rerank": "retrieval",
    },
    unlisted="other",
    names={
        # The framework calls the model "unknown" where only its own metadata has the name.
        "model": (f"{_PROPERTY}ls_model_name", "llm.response.model", "llm.request.model"),
        "provider": (f"{_PROPERTY}ls_provider", "llm.vendor"),
        "input": ("llm.usage.prompt_tokens",),
        "output": ("llm.usage.completion_tokens",),
        "total": ("llm.usage.total_tokens",),
        "cache_read": ("llm.usage.cache_read_input_tokens",),
        "cache_write": ("llm.usage.cache_creation_input_tokens",),
        "reasoning": ("gen_ai.usage.reasoning_tokens", "llm.usage.reasoning_tokens"),
        "agent_weak": ("traceloop.entity.name",),
        "tool_weak": ("traceloop.entity.name",),
        "session": (f"{_PROPERTY}session_id", f"{_PROPERTY}thread_id", f"{_PROPERTY}conversation_id"),
        "user": (f"{_PROPERTY}user_id",),
    },
    marks=("traceloop.span.kind", "traceloop.entity.name", "traceloop.workflow.name"),
)
