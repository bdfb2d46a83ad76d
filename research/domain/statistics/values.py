"""What the statistics speak in: kinds of metrics, intervals, and the reasons why a number is not there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Kind = Literal["proportion", "mean", "count", "ratio", "quantile"]
Direction = Literal["increase", "decrease"]
Role = Literal["primary", "secondary", "guardrail"]
Scale = Literal["absolute", "relative"]
Engine = Literal["fixed", "sequential", "group_sequential", "bayesian"]

Reason = Literal[
    "empty_arm",
    "one_unit",
    "zero_variance",
    "zero_baseline",
    "zero_denominator",
    "no_events",
    "too_few_units",
    "too_few_events",
    "extreme_quantile",
    "no_look",
    "no_covariate",
    "empty_stratum",
    "not_binary",
    "overflow",
    "not_analysed",
]

WORDS: Final[dict[Reason, str]] = {
    "empty_arm": "an arm has no units yet",
    "one_unit": "an arm has a single unit, which has no spread",
    "zero_variance": "all values are equal, so there is no spread to measure an effect against",
    "zero_baseline": "the baseline is zero, so a relative effect does not exist",
    "zero_denominator": "the denominator of an arm sums to zero",
    "no_events": "no unit of either arm has had this event, or all have",
    "too_few_units": "an arm has fewer units than the sequential method needs",
    "too_few_events": "there are too few events around this quantile for an interval",
    "extreme_quantile": "the smallest and the largest value have no interval",
    "no_look": "no planned look has been taken yet",
    "no_covariate": "the covariate does not vary",
    "empty_stratum": "a stratum has fewer than two units in an arm",
    "not_binary": "the values are not all 0 or 1",
    "overflow": "the numbers are too large or too close to zero to compute with",
    "not_analysed": "this needs the values of single units, and no analysis has read them yet",
}


class Interval(NamedTuple):
    """From ``low`` to ``high``, in the unit of what it is an interval of."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """An arm reduced to what a test of two averages needs.

    ``mean`` is the estimate, ``variance`` that of one unit (divisor n - 1), so that ``variance / n`` is the
    squared standard error of the estimate. Ratios, quantiles, adjusted and stratified means come in the
    same form: their variance is that of the linearised value of one unit.
    """

    n: int
    mean: float
    variance: float

    @property
    def error(self) -> float:
        """Squared standard error of the estimate."""
        return self.variance / self.n


@dataclass(frozen=True, slots=True)
class Undefined:
    """In the place of a result that does not exist, with the reason."""

    reason: Reason

    @property
    def text(self) -> str:
        return WORDS[self.reason]


def check_alpha(alpha: float) -> float:
    """``alpha`` itself; ValueError unless it lies strictly between 0 and 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not {alpha}")
    return alpha


def check_finite(name: str, *values: float) -> None:
    """ValueError when a value is infinite or not a number."""
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, not {value}")
