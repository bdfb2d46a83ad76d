"""Genkit: what a call used stands in the JSON of its output, which is read for that alone."""

from __future__ import annotations

from typing import Final

from .convention import Convention

GENKIT: Final = Convention(
    "genkit",
    kind=("genkit:metadata:subtype",),
    kinds={
        "model": "inference",
        "embedder": "embedding",
        "tool": "tool",
        "tool.v2": "tool",
        "agent": "agent",
        "flow": "workflow",
        "retriever": "retrieval",
        "reranker": "retrieval",
    },
    unlisted="other",
    names={
        # "googleai/gemini-2.5-flash": the plugin stands before the model.
        "model": ("genkit:name",),
        "tool_weak": ("genkit:name",),
        "agent_weak": ("genkit:name",),
        "session": ("genkit:sessionId",),
    },
    objects={
        "genkit:output": {
            "usage inputTokens": "input",
            "usage outputTokens": "output",
            "usage totalTokens": "total",
            "usage cachedContentTokens": "cache_read",
            "usage thoughtsTokens": "reasoning_beside",
        }
    },
    marks=("genkit:metadata:subtype",),
)
