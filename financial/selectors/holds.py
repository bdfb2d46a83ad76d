"""Reading holds: the open ones of an owner, and which budgets a hold counts into."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from financial.models import Hold, HoldPart


class HeldBudget(NamedTuple):
    """What a hold takes of one budget: ``amount`` in nano-units of its ``currency``, in the period ``key``."""

    id: UUID
    name: str
    key: str
    amount: int
    currency: str


def open_holds(owner: str | None) -> QuerySet[Hold]:
    """The holds of ``owner`` that nobody has ended yet; of everybody with None."""
    holds = Hold.objects.filter(state=Hold.State.HELD)
    return holds if owner is None else holds.filter(owner=owner)


def held_budgets(holds: Collection[UUID]) -> Mapping[UUID, Sequence[HeldBudget]]:
    """What each of ``holds`` takes of its budgets, the oldest budget first; one query."""
    found: dict[UUID, list[HeldBudget]] = {hold: [] for hold in holds}
    rows = HoldPart.objects.filter(hold__in=list(holds)).order_by("period__budget_id", "period_id")
    for hold, budget, name, key, amount, currency in rows.values_list(
        "hold_id",
        "period__budget_id",
        "period__budget__name",
        "period__key",
        "amount",
        "period__budget__currency",
    ):
        found[hold].append(HeldBudget(budget, name, key, amount, currency))
    return found
