"""What service levels tell the rest of the system, through the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class BurnConditionChanged:
    """A burn rule of an SLO changed its state: ok, firing, held or unknown; ``before`` is empty at first.

    ``note`` says why where it is not plain: stale, low_traffic, no_data, or ended for a rule or SLO that is no more.
    """

    slo: str
    key: str
    labels: dict[str, str]
    rule: str
    severity: str
    factor: float | None
    before: str
    state: str
    note: str
    long_burn: float | None
    short_burn: float | None
    at: datetime
    text: str
