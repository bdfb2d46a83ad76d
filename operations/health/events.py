"""What health checks tell the rest of the system, through the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HealthCheckChanged:
    """A check changed its state: unknown, passing or failing; ``entity`` is ``type/key`` or empty."""

    check: str
    key: str
    entity: str
    before: str
    state: str
    at: datetime
    text: str
