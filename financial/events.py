"""What the money side tells the rest of the system, through the outbox."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CostsRecorded:
    """A batch was appended to the ledger; ``batch`` is its audit event, ``runs`` the run ids it names."""

    batch: str
    events: int
    amount: str
    runs: list[str]
