"""Names as clients send them, brought to what a key of an agent or a tool may be."""

from __future__ import annotations

from typing import Final

MAX_KEY: Final = 255
NAMELESS: Final = "(unnamed)"
"""The agent of runs in which nobody named one."""
OTHER: Final = "(other)"
"""The agent of runs whose agent is one too many."""


def key_of(name: str) -> str:
    """The key that a name leads to: without control characters and space around it, at most 255 characters."""
    plain = "".join(" " if one.isspace() else one for one in name if one.isprintable() or one.isspace())
    return plain.strip()[:MAX_KEY].rstrip() or NAMELESS
