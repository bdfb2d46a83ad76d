"""What each cost comes to: priced, converted to the base currency, bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from django.conf import settings

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import NANO, parse_amount
from financial.domain.cost_input import CostInput
from financial.domain.pricing import Unpriced, price_usage
from financial.models.cost_event import USAGE_FIELDS

from .prices import PriceResolver

NO_QUANTITIES = (0,) * len(USAGE_FIELDS)


@dataclass(frozen=True, slots=True)
class Charge:
    """One cost, worked out. Amounts in nano-units; ``quantities`` in the order of ``USAGE_FIELDS``."""

    occurred_at: datetime
    currency: str
    amount: int
    base_amount: int
    parts: dict[str, int]
    unpriced: str
    price_version: UUID | None
    quantities: tuple[int, ...]


def work_out_charges(costs: Sequence[CostInput]) -> list[Charge | FieldError]:
    """The charge of each cost, or the one reason it cannot be charged."""
    resolver = PriceResolver()
    return [_work_out(cost, resolver) for cost in costs]


def _work_out(cost: CostInput, resolver: PriceResolver) -> Charge | FieldError:
    occurred_at = cost.occurred_at.astimezone(UTC)
    quantities = NO_QUANTITIES if cost.usage is None else msgspec.structs.astuple(cost.usage)
    base = settings.BASE_CURRENCY
    if cost.amount is not None:
        currency, amount = cost.currency or base, parse_amount(cost.amount)
        parts: dict[str, int] = {}
        unpriced, version = "", None
    else:
        assert cost.usage is not None
        price = resolver.resolve(cost.provider or "", cost.model or "", cost.service_tier, occurred_at)
        if isinstance(price, Unpriced):
            return Charge(occurred_at, base, 0, 0, {}, price.reason, None, quantities)
        priced = price_usage(msgspec.structs.asdict(cost.usage), price.card)
        if isinstance(priced, Unpriced):
            return Charge(occurred_at, base, 0, 0, {}, priced.reason, None, quantities)
        currency, amount, parts = price.currency, priced.amount, priced.parts
        unpriced, version = "", price.price_version_id
    if amount > settings.COST_MAX_AMOUNT * NANO:
        return FieldError("/usage", "too_large", f"More than {settings.COST_MAX_AMOUNT} units in one event.")
    if currency != base:
        return FieldError(
            "/currency", "no_exchange_rate", f"There is no {currency} to {base} rate for {occurred_at:%Y-%m-%d}."
        )
    return Charge(occurred_at, currency, amount, amount, parts, unpriced, version, quantities)
