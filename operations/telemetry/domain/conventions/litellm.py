"""LiteLLM: cached tokens only in a dict as Python prints it; some thirty empty attributes; its own price."""

from __future__ import annotations

from typing import Final

from .convention import Convention

LITELLM: Final = Convention(
    "litellm",
    names={
        "model": ("litellm.provider.model",),
        "cost": ("gen_ai.cost.total_cost",),
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
