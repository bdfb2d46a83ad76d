"""What a breakdown can be grouped and filtered by."""

from __future__ import annotations

from typing import Final

TIME_UNITS: Final = ("hour", "day", "week", "month")
SERIES_DIMENSIONS: Final = ("cost_type", "provider", "model")
ENTITY: Final = "entity:"
TAG: Final = "tag:"


def is_facet(name: str) -> bool:
    """Whether ``name`` is ``entity:<type>`` or ``tag:<key>``."""
    return any(name.startswith(prefix) and len(name) > len(prefix) for prefix in (ENTITY, TAG))


def is_grouping(name: str) -> bool:
    """Whether a breakdown can be grouped by ``name``."""
    return name in TIME_UNITS or name in SERIES_DIMENSIONS or is_facet(name)


def is_filter(name: str) -> bool:
    """Whether a breakdown can be narrowed by ``name``."""
    return name in SERIES_DIMENSIONS or is_facet(name)
