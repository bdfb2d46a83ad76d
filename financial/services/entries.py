"""What each cost comes to: a ledger entry, priced, converted to the base currency and bounded."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

import msgspec
from django.conf import settings

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import NANO, divide_half_even, parse_amount
from agent_factory_site.common.selectors.entities import EntityName
from financial.domain.cost_input import Correction, CostInput, CostItem, parse_quantity
from financial.domain.exchange import SAME, Exchange
from financial.domain.pricing import Unpriced, price_usage
from financial.models import CostEvent, UnitPrice
from financial.models.cost_event import USAGE_FIELDS
from financial.models.unit_price import PRICE_SCALE
from financial.selectors.exchange import find_exchanges
from financial.selectors.unit_prices import Measured, find_unit_prices

from .prices import PriceResolver
from .series import SeriesName

NO_QUANTITIES: Final = (0,) * len(USAGE_FIELDS)


# Not frozen: that would triple the cost of making one, which every event pays.
@dataclass(slots=True)
class Entry:
    """One ledger row, worked out but not yet identified.

    Amounts in nano-units; ``usage`` in the order of ``USAGE_FIELDS``; ``quantity`` in billionths.
    ``entities`` holds every entity that sees the entry, its own included.
    """

    occurred_at: datetime
    entity: EntityName
    entities: frozenset[EntityName]
    series: SeriesName
    amount: int
    base_amount: int
    unpriced: int = 0
    price_version: UUID | None = None
    service_tier: str = ""
    parts: dict[str, int] = field(default_factory=dict)
    usage: tuple[int, ...] = NO_QUANTITIES
    quantity: int | None = None
    unit: str = ""
    unit_price: UUID | None = None
    exchange: Exchange = SAME
    run_id: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    kind: str = CostEvent.Kind.CHARGE.value
    corrects: UUID | None = None
    reason: str = ""


@dataclass(slots=True)
class _Worth:
    """What a cost is worth in its own currency, and why."""

    currency: str
    amount: int
    unpriced: int = 0
    parts: dict[str, int] | None = None
    price_version: UUID | None = None
    unit_price: UUID | None = None


def work_out_entries(costs: Sequence[CostItem], prices: Hashable = ...) -> list[Entry | FieldError]:
    """The entry of each charge and credit, or the one reason it cannot be booked; corrections are not for here.

    ``prices`` is the revision of the prices where the caller has just read it.
    """
    events = [cost for cost in costs if not isinstance(cost, Correction)]
    resolver = PriceResolver(revision=prices)
    unit_prices = _unit_prices(events)
    worths = [_worth(cost, resolver, unit_prices.get(index)) for index, cost in enumerate(events)]
    foreign = {
        (worth.currency, _day(cost))
        for cost, worth in zip(events, worths, strict=True)
        if isinstance(worth, _Worth) and worth.currency != settings.BASE_CURRENCY
    }
    exchanges = find_exchanges(foreign)
    return [_entry(cost, worth, exchanges) for cost, worth in zip(events, worths, strict=True)]


def _day(cost: CostInput) -> date:
    return cost.occurred_at.astimezone(UTC).date()


def _unit_prices(events: Sequence[CostInput]) -> dict[int, UnitPrice]:
    measured = {
        index: Measured(
            cost.cost_type, cost.provider or "", cost.model or "", cost.unit or "", cost.occurred_at
        )
        for index, cost in enumerate(events)
        if cost.quantity is not None and cost.amount is None
    }
    found = find_unit_prices(list(measured.values()))
    return {index: price for index, price in zip(measured, found, strict=True) if price is not None}


def _worth(cost: CostInput, resolver: PriceResolver, unit_price: UnitPrice | None) -> _Worth | FieldError:
    base = settings.BASE_CURRENCY
    if cost.amount is not None:
        return _Worth(cost.currency or base, parse_amount(cost.amount))
    if cost.quantity is not None:
        if unit_price is None:
            return _Worth(base, 0, unpriced=1)
        amount = divide_half_even(parse_quantity(cost.quantity) * unit_price.price, 10**PRICE_SCALE)
        worth = _Worth(unit_price.currency, amount, unit_price=unit_price.pk)
    else:
        assert cost.usage is not None
        price = resolver.resolve(
            cost.provider or "", cost.model or "", cost.service_tier, cost.occurred_at.astimezone(UTC)
        )
        if isinstance(price, Unpriced):
            return _Worth(base, 0, unpriced=1)
        priced = price_usage(msgspec.structs.asdict(cost.usage), price.card)
        if isinstance(priced, Unpriced):
            return _Worth(base, 0, unpriced=1)
        worth = _Worth(
            price.currency, priced.amount, parts=priced.parts, price_version=price.price_version_id
        )
    if worth.amount > settings.COST_MAX_AMOUNT * NANO:
        pointer = "/quantity" if cost.usage is None else "/usage"
        return FieldError(pointer, "too_large", f"More than {settings.COST_MAX_AMOUNT} units in one event.")
    return worth


def _entry(
    cost: CostInput, worth: _Worth | FieldError, exchanges: dict[tuple[str, date], Exchange]
) -> Entry | FieldError:
    if isinstance(worth, FieldError):
        return worth
    base = settings.BASE_CURRENCY
    exchange = SAME
    if worth.currency != base:
        found = exchanges.get((worth.currency, _day(cost)))
        if found is None:
            return FieldError(
                "/currency",
                "no_exchange_rate",
                f"There is no {worth.currency} to {base} rate for {_day(cost)}.",
            )
        exchange = found
    base_amount = exchange.convert(worth.amount)
    if abs(base_amount) > settings.COST_MAX_AMOUNT * NANO:
        return FieldError(
            "/amount", "too_large", f"More than {settings.COST_MAX_AMOUNT} {base} in one event."
        )
    own = (cost.entity_type, cost.entity_id)
    return Entry(
        occurred_at=cost.occurred_at.astimezone(UTC),
        entity=own,
        entities=frozenset((own, *cost.entities.items())),
        series=(cost.cost_type, cost.provider or "", cost.model or "", worth.currency),
        amount=worth.amount,
        base_amount=base_amount,
        unpriced=worth.unpriced,
        price_version=worth.price_version,
        service_tier=cost.service_tier,
        parts=worth.parts or {},
        usage=NO_QUANTITIES if cost.usage is None else msgspec.structs.astuple(cost.usage),
        quantity=None if cost.quantity is None else parse_quantity(cost.quantity),
        unit=cost.unit or "",
        unit_price=worth.unit_price,
        exchange=exchange,
        run_id=cost.run_id or "",
        tags=cost.tags,
        kind=cost.kind,
        reason=cost.reason or "",
    )


def stored_entry(event: CostEvent, entities: Mapping[str, str]) -> Entry:
    """The entry of a ledger row; ``entities`` are all that see it, by type. Wants entity and series loaded."""
    series = event.series
    return Entry(
        occurred_at=event.occurred_at,
        entity=(event.entity.type, event.entity.key),
        entities=frozenset(entities.items()),
        series=(series.cost_type, series.provider, series.model, series.currency),
        amount=event.amount,
        base_amount=event.base_amount,
        unpriced=event.unpriced,
        price_version=event.price_version_id,
        service_tier=event.service_tier,
        parts=event.parts,
        usage=tuple(getattr(event, name) for name in USAGE_FIELDS),
        quantity=event.quantity,
        unit=event.unit,
        unit_price=event.unit_price_id,
        exchange=SAME if event.exchange is None else Exchange(*event.exchange),
        run_id=event.run_id,
        tags=event.tags,
        kind=event.kind,
        corrects=event.corrects,
        reason=event.reason,
    )
