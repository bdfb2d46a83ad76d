"""Prompts and completions: decoded only while some agent keeps them."""

from __future__ import annotations

import time
from typing import Final

from operations.fleet.models import Agent
from operations.telemetry.domain.content import is_content
from operations.telemetry.domain.conventions import is_wanted
from operations.telemetry.domain.spans import Wanted

_FOR: Final = 10.0
"""Seconds for which a process remembers whether any agent keeps content."""


class _Answer:
    """Whether any agent keeps content, asked again when it is old."""

    kept = False
    until = 0.0


def content_is_kept() -> bool:
    """Whether any agent keeps prompts and completions."""
    now = time.monotonic()
    if now >= _Answer.until:
        _Answer.kept = Agent.objects.filter(keep_content=True).exists()
        _Answer.until = now + _FOR
    return _Answer.kept


def forget_answer() -> None:
    """Ask again at the next request."""
    _Answer.until = 0.0


def wanted_attributes() -> Wanted:
    """Which attributes of spans are decoded."""
    return _with_content if content_is_kept() else is_wanted


def _with_content(attribute: str) -> bool:
    return is_wanted(attribute) or is_content(attribute)
