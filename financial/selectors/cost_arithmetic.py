"""How a ledger row's amount came about, worked out again from what it was priced with."""

from __future__ import annotations

from dataclasses import dataclass

from financial.domain.price_lines import PriceArithmetic, explain_price
from financial.domain.pricing import Unpriced
from financial.domain.rates import parse_rates
from financial.models import CostEvent, PriceVersion
from financial.models.cost_event import USAGE_FIELDS


@dataclass(frozen=True, slots=True)
class CostArithmetic:
    """The price and the lines of one ledger row; ``agrees`` says that they come to what is stored."""

    price: PriceVersion
    sums: PriceArithmetic
    agrees: bool


def cost_arithmetic(event: CostEvent) -> CostArithmetic | None:
    """The arithmetic of ``event``; None for one that was sent with its amount, or has no price.

    Wants ``price_version`` loaded.
    """
    price = event.price_version
    if price is None:
        return None
    usage = {name: getattr(event, name) for name in USAGE_FIELDS}
    sums = explain_price(usage, parse_rates(price.rates))
    if isinstance(sums, Unpriced):
        return None
    agrees = sums.amount == event.amount and {line.part: line.amount for line in sums.lines} == event.parts
    return CostArithmetic(price, sums, agrees)
