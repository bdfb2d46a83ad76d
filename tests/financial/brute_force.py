"""The price of usage by the rules as they are written down, in Fraction and without a thought to speed."""

from __future__ import annotations

from fractions import Fraction

from financial.domain.pricing import FALLBACKS, USAGE_PARTS, RateCard


def exact_parts(usage: dict[str, int], rates: RateCard) -> dict[str, Fraction] | None:
    """Exact nano-units by part, or None where the rules leave the event unpriced."""
    if not usage:
        return None
    quantities = {part: usage.get(part, 0) for part in USAGE_PARTS}
    tokens = quantities["input_tokens"] + quantities["output_tokens"]
    for part, fallbacks in FALLBACKS.items():
        quantities[fallbacks[-1]] -= quantities[part]
    if "requests" in rates.parts:
        quantities["requests"] = max(quantities["requests"], 1)
    elif tokens or quantities["images"]:
        quantities["requests"] = 0
    if "images" not in rates.parts and tokens:
        quantities["images"] = 0
    exact = {}
    for part, quantity in quantities.items():
        if not quantity:
            continue
        named = [name for name in (part, *FALLBACKS.get(part, ())) if name in rates.parts]
        if not named:
            return None
        rate = rates.parts[named[0]]
        calls = max(usage.get("requests", 0), 1)
        passed = [tier for above, tier in rate.tiers if usage.get("input_tokens", 0) > above * calls]
        exact[part] = Fraction(quantity * (passed[-1] if passed else rate.base), 10**15)
    return exact
