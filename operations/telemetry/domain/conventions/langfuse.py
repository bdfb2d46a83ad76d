"""Langfuse: every kind of token is counted beside the others, unless the usage has OpenAI's own shape."""

from __future__ import annotations

from typing import Final

from .convention import Convention

LANGFUSE: Final = Convention(
    "langfuse",
    kind=("langfuse.observation.type",),
    kinds={
        "generation": "inference",
        "embedding": "embedding",
        "tool": "tool",
        "agent": "agent",
        "chain": "workflow",
        "span": "workflow",
        "retriever": "retrieval",
        "event": "other",
        "evaluator": "other",
        "guardrail": "other",
    },
    unlisted="other",
    names={
        "model": ("langfuse.observation.model.name",),
        "first_token_at": ("langfuse.observation.completion_start_time",),
        "session": ("langfuse.session.id",),
        "user": ("langfuse.user.id",),
        "level": ("langfuse.observation.level",),
        "error_message": ("langfuse.observation.status_message",),
        "environment": ("langfuse.environment",),
        "release": ("langfuse.release",),
    },
    objects={
        "langfuse.observation.cost_details": {"total": "cost"},
    },
    marks=("langfuse.observation.type",),
    scopes=("langfuse-sdk",),
)

USAGE: Final = "langfuse.observation.usage_details"
COSTS: Final = "langfuse.observation.cost_details"
"""By kind of token, with or without a total."""
