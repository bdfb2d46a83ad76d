"""The Model Context Protocol: ``tools/call`` is a tool, everything else is neither tool nor model."""

from __future__ import annotations

from typing import Final

from .convention import Convention

MCP: Final = Convention(
    "mcp",
    kind=("mcp.method.name",),
    kinds={"tools/call": "tool"},
    unlisted="other",
    names={
        "tool": ("mcp.tool.name",),
        "tool_call": ("mcp.request.id",),
    },
    marks=("mcp.method.name",),
)
