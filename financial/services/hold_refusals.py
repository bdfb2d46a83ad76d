"""Saying which budget refused a hold, what is left of it, and when it renews."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agent_factory_site.common.errors import PaymentRequired
from agent_factory_site.common.money import format_amount
from financial.models import BudgetPeriod


class Refused(Exception):
    """A period row does not admit the ``amount`` (nano-units of its budget's currency)."""

    def __init__(self, period: int, amount: int) -> None:
        super().__init__(period, amount)
        self.period = period
        self.amount = amount


def payment_required(period: int, amount: int, now: datetime) -> PaymentRequired:
    """The refusal in words, naming the budget."""
    row = BudgetPeriod.objects.select_related("budget", "entity").get(pk=period)
    budget = row.budget
    remaining = row.limit - row.settled - row.held
    renews_at = row.ends_at
    extensions: dict[str, Any] = {
        "budget": {
            "id": str(budget.pk),
            "name": budget.name,
            "entity_type": row.entity.type,
            "entity_id": row.entity.key,
        },
        "period": row.key,
        "limit": format_amount(row.limit),
        "settled": format_amount(row.settled),
        "held": format_amount(row.held),
        "remaining": format_amount(max(0, remaining)),
        "requested": format_amount(amount),
        "currency": budget.currency,
        "renews_at": None if renews_at is None else renews_at.isoformat().replace("+00:00", "Z"),
    }
    return PaymentRequired(
        "budget_exceeded",
        f"Budget {budget.name!r} has {format_amount(max(0, remaining))} {budget.currency} left of "
        f"{format_amount(row.limit)}: {format_amount(amount)} is more.",
        extensions=extensions,
    )
