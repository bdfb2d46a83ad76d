"""How much of alpha may be spent by a given share of the planned information."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtr, ndtri

from .values import check_alpha

Family = Literal["obrien_fleming", "pocock", "power"]


@dataclass(frozen=True, slots=True)
class Spending:
    """A spending function; ``exponent`` is phi of the power family and means nothing to the others."""

    family: Family = "obrien_fleming"
    exponent: float = 2.0

    def __post_init__(self) -> None:
        if self.family not in ("obrien_fleming", "pocock", "power"):
            raise ValueError(f"unknown spending function {self.family}")
        if not 0 < self.exponent <= 50:
            raise ValueError(f"the exponent must lie between 0 and 50, not {self.exponent}")

    def spent(self, fraction: float, alpha: float) -> float:
        """Two-sided alpha spent by the information ``fraction`` (1 = all that was planned; more spends no
        more).

        O'Brien-Fleming type ``4 - 4 Phi(z_(alpha/4) / sqrt(t))``: half of alpha is spent on each side by
        ``2 - 2 Phi(z / sqrt(t))``, as in R's ldbounds. Pocock type ``alpha ln(1 + (e - 1) t)``. Both: Lan &
        DeMets (1983), "Discrete sequential boundaries for clinical trials". Power family ``alpha t^phi``:
        Kim & DeMets (1987).
        """
        check_alpha(alpha)
        if fraction <= 0:
            return 0.0
        if fraction >= 1:
            return alpha
        if self.family == "obrien_fleming":
            return 4 * float(ndtr(ndtri(alpha / 4) / math.sqrt(fraction)))
        if self.family == "pocock":
            return alpha * math.log1p((math.e - 1) * fraction)
        return alpha * math.pow(fraction, self.exponent)
