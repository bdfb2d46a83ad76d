"""Google's Agent Development Kit; its first releases counted thoughts beside the output."""

from __future__ import annotations

from typing import Final

from .convention import Convention

GOOGLE_ADK: Final = Convention(
    "google_adk",
    names={
        "reasoning_beside": ("gen_ai.usage.experimental.reasoning_tokens",),
        "session": ("gcp.vertex.agent.session_id",),
    },
    marks=("gcp.vertex.agent.invocation_id", "gcp.vertex.agent.event_id"),
    scopes=("gcp.vertex.agent",),
)
