"""Estimates: the arithmetic of what something will cost, before it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent_factory_site.common.money import divide_half_even

from .price_lines import PriceArithmetic, explain_price
from .pricing import RateCard, Unpriced

_OUTPUT: Final = ("output_tokens", "reasoning_tokens", "audio_output_tokens")


@dataclass(frozen=True, slots=True)
class Range:
    """An estimate's line-by-line arithmetic, and the least and most that it can come to, in nano-units."""

    arithmetic: PriceArithmetic
    low: int
    high: int


def price_range(
    usage: Mapping[str, int], card: RateCard, *, least_input: int, least_output: int
) -> Range | Unpriced:
    """``usage`` as the most there will be, down to ``least_input`` and ``least_output`` tokens.

    Tiers are cliffs, and a rate may be lower above one: the extremes are looked for on both sides of
    every threshold in between. Usage with parts (cache, audio) has to be exact: nothing less is worked
    out of it.
    """
    arithmetic = explain_price(usage, card)
    if isinstance(arithmetic, Unpriced):
        return arithmetic
    most_input, most_output = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    amounts = [arithmetic.amount]
    inputs = {least_input, most_input}
    for threshold in card.thresholds:
        inputs |= {tokens for tokens in (threshold, threshold + 1) if least_input <= tokens <= most_input}
    for tokens in inputs:
        for output in (least_output, most_output):
            found = explain_price({**usage, "input_tokens": tokens, "output_tokens": output}, card)
            if isinstance(found, Unpriced):
                return found
            amounts.append(found.amount)
    return Range(arithmetic, min(amounts), max(amounts))


@dataclass(frozen=True, slots=True)
class RunHistory:
    """The cost of each past run, ascending, in nano-units."""

    costs: Sequence[int]

    def percentile(self, percent: int) -> int:
        """The nearest-rank percentile: the least cost that ``percent`` in 100 runs do not pass."""
        return self.costs[max(0, -(-percent * len(self.costs) // 100) - 1)]

    def mean_of(self, runs: int) -> int:
        """``runs`` times the mean, rounded once, half-even."""
        return divide_half_even(sum(self.costs) * runs, len(self.costs))
