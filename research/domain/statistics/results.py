"""What goes into a comparison and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .bayesian import Bayesian, BetaPrior, NormalPrior
from .group_sequential import LookResult
from .look_paths import LookPoint
from .moments import Moments
from .multiplicity import Correction
from .noninferiority import Guardrail
from .quantiles import QuantileStatistics
from .sequential import TUNING_N, Sequential
from .spending import Spending
from .values import (
    ArmSummary,
    Direction,
    Engine,
    Interval,
    Kind,
    Reason,
    Role,
    Scale,
    Undefined,
    check_alpha,
    check_finite,
)

METHOD_VERSION = 2
"""Counts changes of any formula: stored with every snapshot."""

Outcome = Literal["better", "worse", "undecided", "undefined"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the experiment. ``mde`` and ``margin`` are sizes, never negative, in their scale."""

    key: str
    kind: Kind
    direction: Direction = "increase"
    role: Role = "secondary"
    q: float | None = None
    mde: float | None = None
    mde_scale: Scale = "absolute"
    margin: float | None = None
    margin_scale: Scale = "absolute"

    def __post_init__(self) -> None:
        if self.kind not in ("proportion", "mean", "count", "ratio", "quantile"):
            raise ValueError(f"unknown kind of metric {self.kind}")
        if self.direction not in ("increase", "decrease"):
            raise ValueError(f"unknown direction {self.direction}")
        if self.kind == "quantile" and self.q is None:
            raise ValueError("a quantile metric needs q")
        for name, size in (("an mde", self.mde), ("a margin", self.margin)):
            if size is not None:
                check_finite(name, size)
                if size < 0:
                    raise ValueError(f"{name} must not be negative, not {size}")


@dataclass(frozen=True, slots=True)
class ArmData:
    """One metric of one arm: per-unit moments; for a quantile its order statistics; strata if there are any."""

    variant: str
    moments: Moments = Moments(0)
    quantile: QuantileStatistics | None = None
    strata: tuple[Moments, ...] = ()

    @property
    def units(self) -> int:
        return self.quantile.units if self.quantile else self.moments.n


@dataclass(frozen=True, slots=True)
class Settings:
    """How an experiment is analysed.

    ``looks`` are the information fractions of the group sequential looks taken so far, the present one last,
    and ``final_look`` says that no other will follow, of the ``planned_looks``. ``seen`` has by metric and variant
    what its comparison saw at them, the present one left out or not; None where all go by the looks alone.
    ``tails`` are p-values of the present look that are known, by metric and variant: no alpha changes them, and each
    takes some ten boundaries to find.
    """

    engine: Engine = "sequential"
    alpha: float = 0.05
    power: float = 0.8
    correction: Correction = "holm"
    cuped: bool = True
    tuning_n: float = TUNING_N
    prior: NormalPrior | BetaPrior | None = None
    spending: Spending = field(default_factory=Spending)
    looks: tuple[float, ...] = ()
    final_look: bool = False
    planned_looks: int = 5
    seen: Mapping[tuple[str, str], tuple[LookPoint, ...]] | None = None
    tails: Mapping[tuple[str, str], float] | None = None

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if not 0 < self.power < 1:
            raise ValueError(f"power must lie between 0 and 1, not {self.power}")
        if self.engine not in ("fixed", "sequential", "group_sequential", "bayesian"):
            raise ValueError(f"unknown engine {self.engine}")
        if self.correction not in ("none", "holm", "bh"):
            raise ValueError(f"unknown correction {self.correction}")


@dataclass(frozen=True, slots=True)
class CupedResult:
    """What CUPED did: the effect and interval without it stand beside the adjusted ones."""

    theta: float
    variance_reduction: float
    raw_effect: float
    raw_interval: Interval | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against the baseline. Numbers are None where ``undefined`` says why; never 0 or 1 in their place.

    ``effect`` is treatment minus baseline in the metric's unit (adjusted, if ``cuped``), ``interval`` and
    ``p_value`` those of the engine; a Bayesian comparison has a credible interval and no p-value.
    ``p_adjusted`` is that of the family of primary metrics x arms. ``undefined`` of "zero_baseline" concerns
    the relative effect alone.
    """

    metric: Metric
    variant: str
    baseline: str
    engine: Engine
    alpha: float
    method: str
    arms: tuple[ArmSummary, ArmSummary] | None = None
    effect: float | None = None
    interval: Interval | None = None
    standard_error: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    relative_effect: float | None = None
    relative_interval: Interval | None = None
    cuped: CupedResult | None = None
    bayesian: Bayesian | None = None
    sequential: Sequential | None = None
    look: LookResult | None = None
    guardrail: Guardrail | Undefined | None = None
    undefined: Reason | None = None

    @property
    def evidence(self) -> float | None:
        """What is held against alpha: the p-value, adjusted where it is; a Bayesian's 2 min(chance, 1 -
        chance).
        """
        if self.p_adjusted is not None:
            return self.p_adjusted
        return tail(self)

    @property
    def outcome(self) -> Outcome:
        """Which way the absolute effect decides, towards the metric's direction."""
        if self.evidence is None or self.effect is None:
            return "undefined"
        if self.evidence > self.alpha or not self.effect:
            return "undecided"
        return "better" if (self.effect > 0) == (self.metric.direction == "increase") else "worse"

    @property
    def text(self) -> str:
        """The comparison in a sentence or two."""
        from .wording import comparison_text

        return comparison_text(self)


@dataclass(frozen=True, slots=True)
class ArmEstimate:
    """An arm by itself: number of units, estimate and standard deviation of one unit (n - 1), None where
    undefined.
    """

    variant: str
    n: int
    estimate: float | None
    sd: float | None


@dataclass(frozen=True, slots=True)
class MetricResult:
    """A metric's arms, baseline first, and the comparison of every other arm with the baseline."""

    metric: Metric
    arms: tuple[ArmEstimate, ...]
    comparisons: tuple[Comparison, ...]


def tail(one: Comparison) -> float | None:
    """The unadjusted evidence of a comparison."""
    if one.engine == "bayesian" and one.bayesian is not None and one.effect is not None:
        chance = one.bayesian.chance_to_beat
        return 2 * min(chance, 1 - chance)
    return one.p_value
