"""LiteLLM: cached tokens only in a dict as Python prints it; some thirty empty attributes; its own price."""

from __future__ import annotations

from typing import Final

from .convention import Convention, Kind

CALL_TYPES: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        (
            "acompletion", "completion_with_retries", "atext_completion", "aresponses", "_aresponses_websocket",
            "anthropic_messages", "aanthropic_messages", "agenerate_content", "generate_content_stream",
            "agenerate_content_stream", "aimage_generation", "image_edit", "aimage_edit", "atranscription",
            "aspeech", "ocr", "aocr", "_arealtime", "video_generation", "avideo_generation", "create_video",
            "acreate_video",
        ),
        "inference",
    ),
    "aembedding": "embedding",
    **dict.fromkeys(
        ("arerank", "search", "asearch", "vector_store_search", "avector_store_search", "query", "aquery"),
        "retrieval",
    ),
    "call_mcp_tool": "tool",
}  # fmt: skip
"""Its functions, which it gives as the operation: those that OpenTelemetry has no such name for."""

LITELLM: Final = Convention(
    "litellm",
    names={
        "model": ("litellm.provider.model",),
        "cost": ("gen_ai.cost.total_cost", "litellm.cost.total"),
        "session": ("metadata.session_id", "litellm.session_id"),
        "user": (
            "llm.user",
            "metadata.user_api_key_end_user_id",
            "metadata.user_api_key_user_id",
        ),
    },
    objects={"hidden_params": {"response_cost": "cost"}},
    marks=("litellm.call_id", "litellm.provider.model"),
    scopes=("litellm",),
)

USAGE: Final = "metadata.usage_object"
RAW_REQUEST: Final = "raw_gen_ai_request"
"""The child that repeats the call in the provider's own words."""
