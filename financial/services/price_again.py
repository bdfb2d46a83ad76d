"""What recorded charges would cost at the prices that hold now for their own time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal, Protocol

from django.conf import settings

from agent_factory_site.common.money import NANO, divide_half_even
from financial.domain.exchange import SAME, Exchange
from financial.domain.pricing import Unpriced, price_usage
from financial.domain.repricing import Worth, share
from financial.models import CostEvent
from financial.models.cost_event import USAGE_FIELDS
from financial.models.unit_price import PRICE_SCALE
from financial.selectors.exchange import find_exchanges
from financial.selectors.unit_prices import Measured, find_unit_prices

from .prices import ResolvedPrice

Unworkable = Literal["no_price", "other_currency", "no_exchange_rate", "too_large"]
"""Why a charge cannot be priced again: see docs/ledger.md."""


class Resolver(Protocol):
    """Which price holds for an event."""

    def resolve(
        self, provider: str, model: str, service_tier: str, occurred_at: datetime
    ) -> ResolvedPrice | Unpriced: ...


@dataclass(frozen=True, slots=True)
class _Priced:
    worth: Worth
    currency: str


def usage_of(event: CostEvent) -> dict[str, int]:
    """The usage of a ledger row."""
    return {name: getattr(event, name) for name in USAGE_FIELDS}


def price_again(charges: Sequence[CostEvent], resolver: Resolver) -> list[Worth | Unworkable]:
    """What each charge is worth in its own currency at the price of now; wants ``series`` loaded.

    A price in another currency is converted by the rate of the event's day into the base currency,
    in which charges without a price are booked.
    """
    measured = {
        index: Measured(
            event.series.cost_type, event.series.provider, event.series.model, event.unit, event.occurred_at
        )
        for index, event in enumerate(charges)
        if event.quantity is not None
    }
    units = dict(zip(measured, find_unit_prices(list(measured.values())), strict=True))
    found: list[_Priced | None] = []
    for index, event in enumerate(charges):
        if event.quantity is None:
            found.append(_of_usage(event, resolver))
            continue
        unit = units[index]
        if unit is None:
            found.append(None)
        else:
            amount = divide_half_even(event.quantity * unit.price, 10**PRICE_SCALE)
            found.append(_Priced(Worth(amount, price=unit.pk), unit.currency))
    exchanges = find_exchanges(
        {
            (priced.currency, _day(event))
            for event, priced in zip(charges, found, strict=True)
            if priced is not None and priced.currency != event.series.currency == settings.BASE_CURRENCY
        }
    )
    return [_in_currency(event, priced, exchanges) for event, priced in zip(charges, found, strict=True)]


def _of_usage(event: CostEvent, resolver: Resolver) -> _Priced | None:
    series = event.series
    price = resolver.resolve(
        series.provider, series.model, event.service_tier, event.occurred_at.astimezone(UTC)
    )
    if isinstance(price, Unpriced):
        return None
    priced = price_usage(usage_of(event), price.card)
    if isinstance(priced, Unpriced):
        return None
    return _Priced(Worth(priced.amount, priced.parts, price.price_version_id), price.currency)


def _in_currency(
    event: CostEvent, priced: _Priced | None, exchanges: Mapping[tuple[str, date], Exchange]
) -> Worth | Unworkable:
    if priced is None:
        return "no_price"
    worth, currency = priced.worth, event.series.currency
    if priced.currency != currency:
        if currency != settings.BASE_CURRENCY:
            return "other_currency"
        exchange = exchanges.get((priced.currency, _day(event)))
        if exchange is None:
            return "no_exchange_rate"
        amount = exchange.convert(worth.amount)
        worth = Worth(amount, share(amount, worth.parts), worth.price)
    most = settings.COST_MAX_AMOUNT * NANO
    if worth.amount > most or exchange_of(event).convert(worth.amount) > most:
        return "too_large"
    return worth


def exchange_of(event: CostEvent) -> Exchange:
    """How a ledger row was converted to the base currency."""
    return SAME if event.exchange is None else Exchange(*event.exchange)


def _day(event: CostEvent) -> date:
    return event.occurred_at.astimezone(UTC).date()
