"""AgentOps: OpenTelemetry's names with a kind of its own."""

from __future__ import annotations

from typing import Final

from .convention import Convention

AGENTOPS: Final = Convention(
    "agentops",
    kind=("agentops.span.kind",),
    kinds={
        "llm": "inference",
        "agent": "agent",
        "tool": "tool",
        "session": "workflow",
        "workflow": "workflow",
        "task": "workflow",
        "operation": "workflow",
        "chain": "workflow",
        "guardrail": "other",
    },
    unlisted="other",
    names={"agent_weak": ("agentops.entity.name",)},
    marks=("agentops.span.kind",),
    scopes=("agentops",),
)
