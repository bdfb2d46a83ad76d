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


@dataclass(frozen=True, slots=True)
class BudgetThresholdCrossed:
    """Spending and holds reached a share of a budget's limit, for the first time in its period.

    ``used`` and ``limit`` are decimals of ``currency``.
    """

    crossing: str
    budget: str
    entity_type: str
    entity_id: str
    period: str
    threshold: str
    used: str
    limit: str
    currency: str


@dataclass(frozen=True, slots=True)
class BudgetOverran:
    """Money beyond a budget's limit, and why."""

    overrun: str
    budget: str
    entity_type: str
    entity_id: str
    period: str
    amount: str
    currency: str
    cause: str
