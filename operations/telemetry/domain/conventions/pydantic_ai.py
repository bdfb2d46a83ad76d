"""Pydantic AI and Logfire: details under ``gen_ai.usage.details``, and log spans that carry the usage."""

from __future__ import annotations

from typing import Final

from .convention import Convention

_DETAILS: Final = "gen_ai.usage.details."

PYDANTIC_AI: Final = Convention(
    "pydantic_ai",
    names={
        "cache_read": (
            f"{_DETAILS}cache_read_tokens",
            f"{_DETAILS}cached_tokens",
            f"{_DETAILS}cache_read_input_tokens",
            f"{_DETAILS}cached_content_tokens",
        ),
        "cache_write": (f"{_DETAILS}cache_write_tokens", f"{_DETAILS}cache_creation_input_tokens"),
        "reasoning": (f"{_DETAILS}reasoning_tokens", f"{_DETAILS}thoughts_tokens"),
        "audio_input": (f"{_DETAILS}input_audio_tokens",),
        "audio_output": (f"{_DETAILS}output_audio_tokens",),
        "cost": ("operation.cost",),
        "agent": ("agent_name",),
        "agent_call": ("gen_ai.agent.call.id",),
        "log_kind": ("logfire.span_type",),
        "duration_s": ("duration",),
    },
    marks=("logfire.json_schema", "logfire.msg", "logfire.span_type"),
    scopes=("pydantic-ai", "logfire"),
)

USAGE: Final = "gen_ai.usage.raw"
