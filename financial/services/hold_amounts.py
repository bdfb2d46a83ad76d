"""What a hold takes for a call that is described by its usage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn, get_args

from django.conf import settings

from agent_factory_site.common.errors import Invalid
from financial.domain.budget_rules import local_day
from financial.domain.cost_input import ServiceTier
from financial.domain.exchange import SAME
from financial.domain.hold_amounts import most
from financial.domain.pricing import Unpriced
from financial.selectors.exchange import find_exchanges

from .prices import PriceResolver

TIERS = get_args(ServiceTier)


def highest_amount(
    *, provider: str, model: str, usage: Mapping[str, int], max_tokens: int | None, at: datetime
) -> int:
    """The most that checked ``usage`` can cost, in nano-units of the base currency.

    ``max_tokens`` is the longest answer there may be. Of every service tier and rate tier that can
    apply the dearest is taken. Raises :class:`Invalid` for a model without a price: what it may cost is
    not known, so the caller names an amount.
    """
    base: str = settings.BASE_CURRENCY
    asked = dict(usage)
    if max_tokens is not None:
        asked["output_tokens"] = max(asked.get("output_tokens", 0), max_tokens)
    resolver = PriceResolver()
    amounts: list[int] = []
    why: Unpriced | None = None
    for tier in TIERS:
        price = resolver.resolve(provider, model, tier, at.astimezone(UTC))
        if isinstance(price, Unpriced):
            why = price if tier == "standard" else why
            continue
        found = most(asked, price.card)
        if isinstance(found, Unpriced):
            why = found
            continue
        exchange = SAME
        if price.currency != base:
            key = (price.currency, local_day(at))
            exchange = find_exchanges({key}).get(key) or _no_rate(price.currency, at)
        amounts.append(exchange.convert(found))
    if not amounts:
        reason = why.reason if why else "unknown_model"
        raise Invalid.field_error(
            "/usage", reason, f"There is no price for {provider}/{model}: name an amount to hold instead."
        )
    return max(amounts)


def _no_rate(currency: str, at: datetime) -> NoReturn:
    raise Invalid.field_error(
        "/usage",
        "no_exchange_rate",
        f"There is no {currency} to {settings.BASE_CURRENCY} rate for {local_day(at)}.",
    )
