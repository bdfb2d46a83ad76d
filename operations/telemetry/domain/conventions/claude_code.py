"""Claude Code: an interaction around requests and tools; counts without a prefix, cached ones beside the input."""

from __future__ import annotations

from typing import Final

from .convention import Convention

NAME: Final = "claude_code"
AGENT: Final = "claude-code"
"""What an interaction is called when not even the service has a name."""

CLAUDE_CODE: Final = Convention(
    NAME,
    kind=("span.type",),
    kinds={
        "interaction": "agent",
        "llm_request": "inference",
        "tool": "tool",
        "tool.execution": "other",
        "tool.blocked_on_user": "other",
        "hook": "other",
    },
    names={},
    plain={
        "model": ("model",),
        "uncached": ("input_tokens",),
        "output": ("output_tokens",),
        "cache_read": ("cache_read_tokens",),
        "cache_write": ("cache_creation_tokens",),
        "first_token_ms": ("ttft_ms",),
        "tool": ("tool_name",),
        "tool_call": ("tool_use_id",),
        "http_status": ("status_code",),
    },
    marks=("interaction.sequence", "llm_request.context"),
    scopes=("com.anthropic.claude_code",),
)
