"""What a period of a budget says: its state, its shares, and where its thresholds lie."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

State = Literal["ok", "warning", "exceeded", "closed"]


@dataclass(frozen=True, slots=True)
class Standing:
    """The sums of one period, in nano-units of the budget's currency."""

    limit: int
    settled: int
    provisional: int = 0
    held: int = 0
    overrun: int = 0

    @property
    def used(self) -> int:
        """What is spent or set aside."""
        return self.settled + self.held

    @property
    def remaining(self) -> int:
        """What a hold may still take; negative once spent beyond the limit."""
        return self.limit - self.used

    @property
    def utilisation(self) -> float | None:
        """``(settled + held) / limit``; None where the limit is 0."""
        return self.used / self.limit if self.limit else None

    def excess(self, hard: bool) -> int:
        """What an overrun row must still account for: beyond the limit and not yet in ``overrun``.

        Of a hard budget held money counts as well, so that ``settled - overrun + held <= limit``.
        """
        return max(0, self.settled + (self.held if hard else 0) - self.overrun - self.limit)


def state_of(standing: Standing, thresholds: Sequence[Decimal], closed: bool) -> State:
    """``exceeded``: settled >= limit; ``warning``: settled + held >= the first threshold of the limit."""
    if closed:
        return "closed"
    if standing.settled >= standing.limit:
        return "exceeded"
    if thresholds and standing.used >= threshold_amount(thresholds[0], standing.limit):
        return "warning"
    return "ok"


def threshold_amount(threshold: Decimal, limit: int) -> int:
    """The least sum, in nano-units, that reaches ``threshold`` of ``limit``: at least one."""
    share = threshold * limit
    whole = int(share)
    return max(1, whole + (share > whole))


def crossed(thresholds: Sequence[Decimal], limit: int, used: int) -> list[Decimal]:
    """The thresholds that ``used`` has reached."""
    return [each for each in thresholds if used >= threshold_amount(each, limit)]


def next_alert(thresholds: Sequence[Decimal], known: Collection[Decimal], limit: int) -> int | None:
    """Where the lowest threshold lies that was not crossed yet; None where all were."""
    return min(
        (threshold_amount(each, limit) for each in thresholds if each not in known),
        default=None,
    )


def burn_rate(standing: Standing, start: datetime, end: datetime | None, now: datetime) -> float | None:
    """Share of the limit used / share of the period elapsed; None where either is undefined.

    Above 1 the limit is reached before the period ends, at the present pace.
    """
    if end is None or not standing.limit or now <= start:
        return None
    elapsed = min(1.0, (now - start) / (end - start))
    return standing.used / standing.limit / elapsed


def carry_over(rollover: str, cap: int | None, remaining: int) -> int:
    """What the next period gets on top of its limit from ``remaining`` of the one before."""
    if rollover == "none" or remaining <= 0:
        return 0
    return remaining if cap is None else min(cap, remaining)
