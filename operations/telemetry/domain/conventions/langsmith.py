"""LangSmith and LangChain: the usage with its details stands in a JSON text of the metadata."""

from __future__ import annotations

from typing import Final

from .convention import Convention

_METADATA: Final = "langsmith.metadata."

LANGSMITH: Final = Convention(
    "langsmith",
    kind=("langsmith.span.kind",),
    kinds={
        "llm": "inference",
        "embedding": "embedding",
        "tool": "tool",
        "agent": "agent",
        "chain": "workflow",
        "retriever": "retrieval",
        "prompt": "other",
        "parser": "other",
    },
    unlisted="other",
    names={
        "provider": (f"{_METADATA}ls_provider",),
        "model": (f"{_METADATA}ls_model_name",),
        "cache_read": (f"{_METADATA}usage_metadata.input_token_details.cache_read",),
        "cache_write": (f"{_METADATA}usage_metadata.input_token_details.cache_creation",),
        "agent": (f"{_METADATA}lc_agent_name", f"{_METADATA}agent_name"),
        "session": (
            f"{_METADATA}session_id",
            f"{_METADATA}thread_id",
            f"{_METADATA}conversation_id",
            "langsmith.trace.session_id",
        ),
        "user": (f"{_METADATA}user_id",),
    },
    marks=("langsmith.span.kind", "langsmith.trace.id"),
    scopes=("langsmith",),
)

USAGE: Final = (f"{_METADATA}usage_metadata", "langsmith.usage_metadata")
