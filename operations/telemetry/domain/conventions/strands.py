"""Strands Agents: OpenTelemetry's names with flat cache counts, and milliseconds to the first token."""

from __future__ import annotations

from typing import Final

from .convention import Convention

STRANDS: Final = Convention(
    "strands",
    names={
        "cache_read": ("gen_ai.usage.cache_read_input_tokens",),
        "cache_write": ("gen_ai.usage.cache_write_input_tokens", "gen_ai.usage.cache_creation_input_tokens"),
    },
    scopes=("strands.",),
)

PROVIDER: Final = "strands-agents"
