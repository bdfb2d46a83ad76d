"""Before the experiment: how many units, for how long, and what can be seen with those there are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtr, ndtri

from .group_sequential import boundaries
from .look_power import drift_for_power, rejection_probability
from .sequential import TUNING_N, critical_value
from .spending import Spending
from .values import Engine, Kind, Scale, check_finite

LARGEST_N = 10**15
METHODS = {
    "fixed": "fixed horizon",
    "sequential": "confidence sequence, at its critical value for the planned units",
    "bayesian": "fixed horizon: a Bayesian analysis has no power of its own",
}


class Unplannable(ValueError):
    """What cannot be planned; ``field`` of the design, or of what is planned with, is why."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


@dataclass(frozen=True, slots=True)
class Design:
    """What is planned. ``mean`` and ``variance`` (of one unit, n - 1) come from the metric's own history.

    For a proportion ``mean`` is the share and ``variance`` is not used; for a ratio, the ratio and its
    linearised variance (:func:`ratios.ratio_summary`). ``mde`` is in the metric's unit, or a fraction of
    |mean| with scale ``relative``. ``arms`` counts the baseline; with ``corrected`` alpha is divided among
    the other arms (the first step of Holm). ``variance_reduction`` is what CUPED is expected to take away.
    ``units_per_day`` are new units of all arms together. ``allocation`` is the treatment arm's units per
    unit of the baseline. ``looks`` (evenly spaced) and ``spending`` are those of a group sequential design.
    """

    kind: Kind
    mean: float
    variance: float = 0.0
    mde: float | None = None
    scale: Scale = "absolute"
    alpha: float = 0.05
    power: float = 0.8
    arms: int = 2
    allocation: float = 1.0
    corrected: bool = True
    variance_reduction: float = 0.0
    units_per_day: float | None = None
    engine: Engine = "fixed"
    tuning_n: float = TUNING_N
    looks: int = 5
    spending: Spending = Spending()

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise Unplannable("alpha", f"alpha must lie between 0 and 1, not {self.alpha}")
        check_finite("a design", self.mean, self.variance, self.mde or 0.0, self.allocation)
        if not self.alpha < self.power < 1:
            raise Unplannable("power", f"power must lie between alpha and 1, not {self.power}")
        if self.arms < 2:
            raise Unplannable("arms", "a comparison needs two arms")
        if self.allocation <= 0:
            raise Unplannable("allocation", "the allocation must be positive")
        if not self.variance_reduction < 1:
            raise Unplannable("variance_reduction", "the variance cannot be reduced to nothing")
        if self.mde == 0:
            raise Unplannable("mde", "the smallest effect to detect must not be zero")
        if self.units_per_day is not None and not self.units_per_day > 0:
            raise Unplannable("units_per_day", "units per day must be positive")
        if self.scale == "relative" and self.mean == 0:
            raise Unplannable("mean", "a relative effect needs a baseline other than zero")
        if self.kind == "quantile":
            raise Unplannable(
                "metric", "quantiles cannot be planned: their variance depends on the whole distribution"
            )
        if self.kind == "proportion":
            if not 0 < self.mean < 1:
                raise Unplannable(
                    "mean", f"the share of a proportion must lie between 0 and 1, not {self.mean}"
                )
        elif self.variance <= 0:
            raise Unplannable("variance", "a plan needs the variance of one unit, which must be positive")

    @property
    def level(self) -> float:
        """Alpha of one comparison."""
        return self.alpha / (self.arms - 1) if self.corrected else self.alpha

    @property
    def method(self) -> str:
        """What the plan is made by, in words."""
        if self.engine == "group_sequential":
            names = {"obrien_fleming": "O'Brien-Fleming", "pocock": "Pocock", "power": "power"}
            family = names[self.spending.family]
            return f"group sequential, {self.looks} evenly spaced looks, {family} type spending"
        return METHODS[self.engine]


@dataclass(frozen=True, slots=True)
class Plan:
    """Units of the baseline arm, of each other arm and of all; ``days`` None without a rate.

    ``inflation`` is how many times the units of the fixed horizon they are, before rounding.
    """

    baseline_units: int
    treatment_units: int
    total_units: int
    days: int | None
    absolute_mde: float
    relative_mde: float | None
    inflation: float = 1.0


def inflation_factor(design: Design) -> float:
    """Units that a group sequential design needs at most, over those of the fixed horizon: ``(drift / d)^2``.

    Drift is the mean of z at full information at which one of the looks crosses with the power, d that of a
    single look (Jennison & Turnbull 2000, chapter 2.3). 1 for every other engine.
    """
    if design.engine != "group_sequential":
        return 1.0
    drift = drift_for_power(design.looks, design.level, design.power, design.spending)
    return (drift / _drift(_fixed_value(design), design.power)) ** 2


def sample_size(design: Design) -> Plan:
    """The smallest numbers of units with which ``design.mde`` is seen with ``design.power``.

    Means, counts, ratios: ``n = d^2 (s_C^2 + s_T^2 / allocation) / mde^2`` with d solving the two-sided
    ``1 - Phi(z - d) + Phi(-z - d) = power`` (not pooled; normal). Proportions: ``n = (z sqrt(p(1-p)(1 + 1/a)) + z_power
    sqrt(p_C q_C + p_T q_T / a))^2 / mde^2``, pooled under no effect as its z test (Fleiss, Levin & Paik 2003,
    eq. 4.14, without continuity correction). Relative effects: the standard error grows with the effect, see
    :func:`minimum_detectable_effect`. Sequential: z is the critical value at the total reached, found by
    iteration. Group sequential: times :func:`inflation_factor`, the units at the last look. Bayesian: as the fixed
    horizon. ValueError without an mde, when a share would leave (0, 1), and above 1e15 units.
    """
    if design.mde is None:
        raise Unplannable("mde", "a sample size needs the smallest effect to detect")
    effect = design.mde
    fixed = _units(design, effect, _fixed_value(design))
    n = fixed * inflation_factor(design)
    if design.engine == "sequential":
        for _ in range(60):
            total = max(60.0, n * (1 + design.allocation))
            following = _units(design, effect, critical_value(total, design.level, design.tuning_n))
            if abs(following - n) <= 1e-9 * n:
                break
            n = following
    if not n <= LARGEST_N:
        raise Unplannable("mde", "this effect needs more than 1e15 units: ask for a larger one")
    baseline = max(2, math.ceil(n - 1e-9))
    treatment = max(2, math.ceil(n * design.allocation - 1e-9))
    total_units = baseline + treatment * (design.arms - 1)
    days = math.ceil(total_units / design.units_per_day) if design.units_per_day else None
    absolute = effect * abs(design.mean) if design.scale == "relative" else effect
    relative = absolute / abs(design.mean) if design.mean else None
    return Plan(baseline, treatment, total_units, days, absolute, relative, n / fixed)


def power(design: Design, baseline_units: float) -> float:
    """The probability of a significant result with ``baseline_units`` if the effect is ``design.mde``.

    ``1 - Phi(z - d) + Phi(-z - d)``, both tails, d = effect / SE at that effect; for proportions the
    boundary is pooled (null) and the spread is not, as ``statsmodels.power_proportions_2indep``. For the
    sequential engine, of crossing at that number of units, which is less than by then. Group sequential: of
    crossing at one of the looks, the last at that number of units.
    """
    if design.mde is None:
        raise Unplannable("mde", "power needs the effect that is there")
    z = _fixed_value(design)
    if design.engine == "group_sequential":
        absolute, null, spread = _spreads(design, design.mde)
        fractions = tuple(number / design.looks for number in range(1, design.looks + 1))
        bounds = boundaries(fractions, design.level, design.spending, final=True)
        # Pooled under no effect and not under the effect: the mean of z against a boundary of the same power.
        drift = (abs(absolute) * math.sqrt(baseline_units) - z * math.sqrt(null)) / math.sqrt(spread) + z
        return rejection_probability(fractions, bounds, drift)[-1]
    if design.engine == "sequential":
        z = critical_value(baseline_units * (1 + design.allocation), design.level, design.tuning_n)
    return _power(design, design.mde, baseline_units, z)


def minimum_detectable_effect(design: Design, baseline_units: float) -> float:
    """The smallest effect seen with ``design.power``, in ``design.scale``, upwards; ValueError without one.

    Absolute, means and ratios: ``d sqrt((s_C^2 + s_T^2/a) / n)``. Relative: with
    ``SE^2 = (s_T^2/a + s_C^2 (1 + e)^2)/(n m^2)`` for an effect e and a positive m, ``e = d SE`` is the quadratic
    ``(n m^2 - d^2 s_C^2) e^2 - 2 d^2 s_C^2 e - d^2 (s_C^2 + s_T^2/a) = 0``, whose positive root this is; there is
    none while ``n m^2 <= d^2 s_C^2`` (first-order delta, as :func:`relative.relative_effect`). Proportions,
    whose spread moves with the effect, by bisection. Group sequential: with the units that the fixed horizon
    would have needed, fewer by :func:`inflation_factor`.
    """
    if not baseline_units >= 2:
        raise Unplannable("units", "an arm needs two units or more")
    baseline_units /= inflation_factor(design)
    z = _fixed_value(design)
    if design.engine == "sequential":
        z = critical_value(baseline_units * (1 + design.allocation), design.level, design.tuning_n)
    if design.kind == "proportion":
        return _bisected(design, baseline_units, z)
    square = _drift(z, design.power) ** 2
    c = design.variance * (1 - design.variance_reduction)
    t = c / design.allocation
    if design.scale == "absolute":
        return math.sqrt(square * (c + t) / baseline_units)
    a = baseline_units * design.mean**2 - square * c
    if a <= 0:
        raise Unplannable("units", "with so few units no relative effect can be detected")
    b, rest = math.copysign(square * c, design.mean), square * (c + t)
    return (b + math.sqrt(b * b + a * rest)) / a


def _fixed_value(design: Design) -> float:
    return -float(ndtri(design.level / 2))


def _drift(z: float, wanted: float) -> float:
    """The effect in standard errors that is significant at ``z`` with probability ``wanted``, both tails
    counted.
    """
    drift = max(0.1, z + float(ndtri(wanted)))
    for _ in range(60):
        miss = float(ndtr(drift - z) + ndtr(-z - drift)) - wanted
        slope = (math.exp(-0.5 * (drift - z) ** 2) - math.exp(-0.5 * (drift + z) ** 2)) / math.sqrt(
            2 * math.pi
        )
        following = max(drift / 2, drift - miss / slope)
        if abs(following - drift) <= 1e-14 * drift:
            break
        drift = following
    return drift


def _spreads(design: Design, effect: float) -> tuple[float, float, float]:
    """Effect in the metric's unit, and n SE^2 without and with the effect."""
    left, a = 1 - design.variance_reduction, design.allocation
    absolute = effect * abs(design.mean) if design.scale == "relative" else effect
    if design.kind != "proportion":
        spread = design.variance * left
        # The lift's error, brought back to the metric's unit: the baseline's part grows with the effect.
        growth = (1 + effect * math.copysign(1, design.mean)) ** 2 if design.scale == "relative" else 1.0
        grown = spread * growth + spread / a
        return absolute, grown, grown
    base, treated = design.mean, design.mean + absolute
    if not 0 < treated < 1:
        raise Unplannable("mde", f"a share of {base} cannot change by {absolute}")
    pooled = (base + a * treated) / (1 + a)
    null = pooled * (1 - pooled) * (1 + 1 / a) * left
    return absolute, null, (base * (1 - base) + treated * (1 - treated) / a) * left


def _units(design: Design, effect: float, z: float) -> float:
    absolute, null, spread = _spreads(design, effect)
    if design.kind == "proportion":
        reach = z * math.sqrt(null) + float(ndtri(design.power)) * math.sqrt(spread)
        return reach * reach / (absolute * absolute)
    return _drift(z, design.power) ** 2 * spread / (absolute * absolute)


def _power(design: Design, effect: float, n: float, z: float) -> float:
    absolute, null, spread = _spreads(design, effect)
    size, bound = abs(absolute) * math.sqrt(n), z * math.sqrt(null)
    return float(ndtr((size - bound) / math.sqrt(spread)) + ndtr((-size - bound) / math.sqrt(spread)))


def _bisected(design: Design, n: float, z: float) -> float:
    """An increase of a share: power rises with it, up to the largest there can be."""
    room = 1 - design.mean
    low, high = 0.0, room / design.mean if design.scale == "relative" else room
    largest = high * (1 - 1e-12)
    if _power(design, largest, n, z) < design.power:
        raise Unplannable("units", "with so few units no effect can be detected")
    for _ in range(100):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if _power(design, middle, n, z) < design.power:
            low = middle
        else:
            high = middle
    return high
