"""Times on a command line."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime


def moment(text: str) -> datetime:
    """A date or a time such as ``2026-11-02T10:00:00Z``; UTC where no zone is said."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(
            f'"{text}" is neither a date nor a time such as 2026-11-02T10:00:00Z'
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
