"""Durations in the unit that an indicator names."""

from __future__ import annotations

from typing import Final

_A_SECOND: Final = {"ms": 1e3, "milliseconds": 1e3, "us": 1e6, "min": 1 / 60, "minutes": 1 / 60}


def in_unit(seconds: float, unit: str) -> float:
    """A duration in ``unit``; in seconds where that is none of time, or not said."""
    return seconds * _A_SECOND.get(unit.lower(), 1.0)
