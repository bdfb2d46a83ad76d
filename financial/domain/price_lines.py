"""The arithmetic of a priced event, line by line: quantity x rate, the exact sum, what rounding did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .pricing import FALLBACKS, USAGE_PARTS, Priced, RateCard, Unpriced, price_usage, tiered_input


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One usage part: ``quantity`` units at ``rate``, ``exact`` in 1e-24 and ``amount`` in nano-units.

    ``rate_of`` is the part whose rate applied, another than ``part`` where it has none of its own;
    ``above`` the threshold of input tokens of the tier that applied, None below the first.
    """

    part: str
    quantity: int
    rate: int
    exact: int
    amount: int
    rate_of: str
    above: int | None


@dataclass(frozen=True, slots=True)
class PriceArithmetic:
    """All lines; ``exact`` is their sum before the one rounding that made ``amount``."""

    lines: tuple[PriceLine, ...]
    exact: int
    amount: int


def explain_price(usage: Mapping[str, int], card: RateCard) -> PriceArithmetic | Unpriced:
    """How :func:`price_usage` comes to its amount, for the same arguments."""
    priced = price_usage(usage, card)
    if isinstance(priced, Unpriced):
        return priced
    quantities = _quantities(usage, priced)
    input_tokens = tiered_input(usage.get("input_tokens", 0), usage.get("requests", 0))
    lines = tuple(
        _line(part, quantities[part], priced.parts[part], input_tokens, card)
        for part in USAGE_PARTS
        if part in priced.parts
    )
    return PriceArithmetic(lines, sum(line.exact for line in lines), priced.amount)


def _quantities(usage: Mapping[str, int], priced: Priced) -> dict[str, int]:
    """What each part was charged for: of the wholes, what their parts leave."""
    quantities = {part: usage.get(part, 0) for part in USAGE_PARTS}
    for part in ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens"):
        quantities["input_tokens"] -= quantities[part]
    for part in ("reasoning_tokens", "audio_output_tokens"):
        quantities["output_tokens"] -= quantities[part]
    if "requests" in priced.parts:
        quantities["requests"] = max(1, quantities["requests"])
    return quantities


def _line(part: str, quantity: int, amount: int, input_tokens: int, card: RateCard) -> PriceLine:
    rate_of = next(name for name in (part, *FALLBACKS.get(part, ())) if name in card.parts)
    applied = card.parts[rate_of]
    rate = applied.at(input_tokens)
    passed = [above for above, _ in applied.tiers if input_tokens > above]
    return PriceLine(part, quantity, rate, quantity * rate, amount, rate_of, passed[-1] if passed else None)
