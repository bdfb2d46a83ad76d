"""What the last check found the price catalogue to state otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from financial.models import PriceDifference


@dataclass(frozen=True, slots=True)
class ChangedPrice:
    """One price: its tier, its dates, what it was and what the catalogue says; None where there is none."""

    service_tier: str
    valid_from: datetime
    valid_to: datetime | None
    since: datetime
    old_rates: Mapping[str, Any] | None
    new_rates: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ChangedModel:
    """A model with prices that differ, and what repricing would book for it in base nano-units."""

    provider: str
    model: str
    since: datetime
    events: int
    newly_priced: int
    amount: int
    catalogue: str
    checked_at: datetime
    prices: Sequence[ChangedPrice]


def price_diff() -> list[ChangedModel]:
    """Every model that the catalogue prices otherwise, by name; one query."""
    rows = PriceDifference.objects.select_related("old")
    return [
        _model(name, list(found)) for name, found in groupby(rows, key=lambda row: (row.provider, row.model))
    ]


def pending_differences() -> int:
    """How many prices the last check found to differ."""
    return PriceDifference.objects.count()


def _model(name: tuple[str, str], rows: list[PriceDifference]) -> ChangedModel:
    first = rows[0]
    return ChangedModel(
        *name,
        since=min(row.since for row in rows),
        events=first.events,
        newly_priced=first.newly_priced,
        amount=first.amount,
        catalogue=first.catalogue,
        checked_at=first.checked_at,
        prices=[
            ChangedPrice(
                row.service_tier,
                row.valid_from,
                row.valid_to,
                row.since,
                None if row.old is None else row.old.rates,
                row.new_rates,
            )
            for row in rows
        ],
    )
