"""Converting amounts by a rational rate, rounded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent_factory_site.common.money import divide_half_even

SCALE: Final = 10**12
"""Stored rates are integers of 1e-12."""

Pair = tuple[str, str]
"""Base and quote currency: one unit of base is worth ``rate`` of quote."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """``amount * numerator / denominator`` is the amount in the other currency."""

    numerator: int
    denominator: int

    def convert(self, nano: int) -> int:
        """Nano-units in the other currency, rounded half-even; the same for a charge and its reversal."""
        return divide_half_even(nano * self.numerator, self.denominator)


SAME: Final = Exchange(1, 1)


def find_exchange(currency: str, base: str, rates: Mapping[Pair, int]) -> Exchange | None:
    """How to convert ``currency`` to ``base`` with the rates of one day: directly, inversely, or across a third.

    ``rates`` in 1e-12. Across, the third currency is the first by name that has rates to both.
    """
    if currency == base:
        return SAME
    if rate := rates.get((currency, base)):
        return Exchange(rate, SCALE)
    if rate := rates.get((base, currency)):
        return Exchange(SCALE, rate)
    for third in sorted({pair[0] for pair in rates}):
        to_base, to_currency = rates.get((third, base)), rates.get((third, currency))
        if to_base and to_currency:
            return Exchange(to_base, to_currency)
    return None
