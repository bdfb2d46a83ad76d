"""What runs tell the rest of the system, through the outbox."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RelatedRunsChanged:
    """Runs that others called, or that called others, came to something else; ``runs`` are their keys."""

    runs: list[str]
