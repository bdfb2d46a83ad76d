"""One metric, two arms, every method: what the difference is and how sure one may be of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from scipy.special import ndtri

from .bayesian import Bayesian, BetaPrior, NormalPrior, beta_binomial, normal
from .cuped import Adjusted, adjust_means, adjust_ratios
from .group_sequential import LookResult, look
from .look_paths import look_path
from .look_power import drift_for_power
from .means import Estimate, critical_value, estimate, mean_summary, welch
from .multiplicity import adjusted
from .noninferiority import Guardrail, guardrail
from .proportions import compare_proportions, events, proportion_summary
from .ratios import ratio_summary
from .relative import relative_effect
from .results import (
    ArmData,
    ArmEstimate,
    Comparison,
    CupedResult,
    Metric,
    MetricResult,
    Settings,
    tail,
)
from .sequential import Sequential, confidence_sequence
from .stratification import stratified_means
from .values import ArmSummary, Interval, Reason, Undefined

Pair = tuple[ArmSummary, ArmSummary]


def summarise(metric: Metric, arm: ArmData) -> ArmSummary | Undefined:
    """Estimate and variance of one unit of an arm, by the metric's kind."""
    if metric.kind == "quantile":
        return arm.quantile.summary() if arm.quantile else Undefined("empty_arm")
    if metric.kind == "proportion":
        return proportion_summary(arm.moments)
    if metric.kind == "ratio":
        return ratio_summary(arm.moments)
    return mean_summary(arm.moments)


def compare(metric: Metric, baseline: ArmData, treatment: ArmData, settings: Settings) -> Comparison:
    """Compare ``treatment`` with ``baseline`` by the engine of ``settings``, with the other engines beside it.

    The arms must be of one metric; raises ValueError for data the metric's kind cannot have. The absolute
    effect decides; the relative effect has its own interval with the engine's critical value.
    """
    made = Comparison(
        metric,
        treatment.variant,
        baseline.variant,
        settings.engine,
        settings.alpha,
        _method(metric, settings),
    )
    first, second = summarise(metric, baseline), summarise(metric, treatment)
    for summary in (first, second):
        if isinstance(summary, Undefined):
            base, treated = (arm_estimate(metric, arm).estimate for arm in (baseline, treatment))
            known = None if base is None or treated is None else treated - base
            return replace(made, effect=known, undefined=summary.reason)
    assert isinstance(first, ArmSummary)
    assert isinstance(second, ArmSummary)
    raw: Pair = (first, second)
    arms, how, change = _adjusted(metric, baseline, treatment, raw, settings)
    fixed, name = _fixed(metric, baseline, treatment, arms, settings.alpha, how)
    effect = arms[1].mean - arms[0].mean
    made = replace(made, arms=arms, effect=effect, method=_method(metric, settings, name, how))
    if isinstance(fixed, Undefined):
        return replace(made, undefined=fixed.reason)
    sequence = confidence_sequence(*arms, settings.alpha, settings.tuning_n)
    sequential = None if isinstance(sequence, Undefined) else sequence
    belief = _belief(metric, baseline, treatment, arms, settings, how)
    bayesian = None if isinstance(belief, Undefined) else belief
    taken = _look(made, arms[0].mean, fixed, settings)
    interval, p_value, critical, reason = _chosen(settings, fixed, sequence, belief, taken)
    if settings.engine == "bayesian" and bayesian is not None:
        effect = bayesian.mean
    lift = relative_effect(*arms)
    relative = relative_interval = None
    if isinstance(lift, Undefined):
        reason = reason or lift.reason
    else:
        relative = lift.lift
        if critical is not None and math.isfinite(critical * lift.standard_error):
            width = critical * lift.standard_error
            relative_interval = Interval(relative - width, relative + width)
    return replace(
        made,
        effect=effect,
        interval=interval,
        standard_error=fixed.standard_error,
        p_value=p_value,
        relative_effect=relative,
        relative_interval=relative_interval,
        cuped=_cuped_result(metric, baseline, treatment, raw, change, settings, taken) if change else None,
        bayesian=bayesian,
        sequential=sequential,
        look=taken,
        guardrail=_guardrail(metric, arms, sequential, critical),
        undefined=reason,
    )


def compare_all(metric: Metric, arms: Sequence[ArmData], settings: Settings) -> MetricResult:
    """Every other arm against the first."""
    if not arms:
        raise ValueError("a metric needs its arms")
    return MetricResult(
        metric,
        tuple(arm_estimate(metric, arm) for arm in arms),
        tuple(compare(metric, arms[0], arm, settings) for arm in arms[1:]),
    )


def arm_estimate(metric: Metric, arm: ArmData) -> ArmEstimate:
    """The arm by itself, unadjusted. The sd of a quantile is that of its linearised value."""
    summary = summarise(metric, arm)
    if not isinstance(summary, Undefined):
        return ArmEstimate(arm.variant, arm.units, summary.mean, math.sqrt(summary.variance))
    value: float | None = arm.moments.mean
    if metric.kind == "quantile":
        value = arm.quantile.estimate if arm.quantile else None
    elif metric.kind == "ratio":
        below = arm.moments.denominator_mean
        value = value / below if value is not None and below else None
    if value is not None and not math.isfinite(value):
        value = None
    return ArmEstimate(arm.variant, arm.units, value, None)


def correct(results: Sequence[MetricResult], settings: Settings) -> list[MetricResult]:
    """The same results with ``p_adjusted`` over the family of primary metrics x arms; others keep None.

    A Bayesian comparison enters with 2 min(chance, 1 - chance), its two-sided tail probability.
    """
    family = [one for result in results if result.metric.role == "primary" for one in result.comparisons]
    values = iter(adjusted([tail(one) for one in family], settings.correction))
    return [
        replace(
            result,
            comparisons=tuple(replace(one, p_adjusted=next(values)) for one in result.comparisons),
        )
        if result.metric.role == "primary"
        else result
        for result in results
    ]


def _adjusted(
    metric: Metric, baseline: ArmData, treatment: ArmData, raw: Pair, settings: Settings
) -> tuple[Pair, str, Adjusted | None]:
    """The arms that are compared, how they were adjusted, and what CUPED did if it was that."""
    if settings.cuped and metric.kind != "quantile":
        adjust = adjust_ratios if metric.kind == "ratio" else adjust_means
        change = adjust(baseline.moments, treatment.moments)
        if isinstance(change, Adjusted):
            return (change.baseline, change.treatment), "cuped", change
    if baseline.strata and metric.kind in ("proportion", "mean", "count"):
        strata = stratified_means(baseline.strata, treatment.strata)
        if not isinstance(strata, Undefined):
            return strata, "post-stratified", None
    return raw, "", None


def _fixed(
    metric: Metric, baseline: ArmData, treatment: ArmData, arms: Pair, alpha: float, how: str
) -> tuple[Estimate | Undefined, str]:
    """The fixed-horizon test and its name."""
    if metric.kind == "proportion":
        shares = _shares(baseline, treatment)
        found = compare_proportions(*shares, alpha)
        if isinstance(found, Undefined) or not how:
            return (found, "newcombe") if isinstance(found, Undefined) else found
    if metric.kind == "quantile":
        error = math.sqrt(arms[0].error + arms[1].error)
        return estimate(arms[1].mean - arms[0].mean, error, math.inf, alpha), "order-statistic"
    return welch(*arms, alpha), "delta" if metric.kind == "ratio" else "welch"


def _shares(baseline: ArmData, treatment: ArmData) -> tuple[tuple[int, int], tuple[int, int]]:
    first, second = baseline.moments, treatment.moments
    return (events(first), first.n), (events(second), second.n)


def _belief(
    metric: Metric, baseline: ArmData, treatment: ArmData, arms: Pair, settings: Settings, how: str
) -> Bayesian | Undefined:
    prior = settings.prior
    if metric.kind == "proportion" and not how and not isinstance(prior, NormalPrior):
        return beta_binomial(*_shares(baseline, treatment), settings.alpha, metric.direction, prior)
    return normal(
        arms[1].mean - arms[0].mean,
        math.sqrt(arms[0].error + arms[1].error),
        settings.alpha,
        metric.direction,
        prior=None if isinstance(prior, BetaPrior) else prior,
        baseline=arms[0].mean,
    )


def planned_information(metric: Metric, baseline: float, settings: Settings) -> float | None:
    """``(drift / mde)^2``, what the metric's own mde asks for by the planned looks; None without one."""
    target = metric.mde
    if target is not None and metric.mde_scale == "relative":
        target *= abs(baseline)
    if not target:
        return None
    drift = drift_for_power(settings.planned_looks, settings.alpha, settings.power, settings.spending)
    return (drift / target) ** 2


def _look(made: Comparison, baseline: float, fixed: Estimate, settings: Settings) -> LookResult | None:
    """By the comparison's own information where what it had at earlier looks is known, else by the clock."""
    if not settings.looks:
        return None
    before = None if settings.seen is None else settings.seen.get((made.metric.key, made.variant), ())
    information = 1 / fixed.standard_error**2
    planned = planned_information(made.metric, baseline, settings)
    path = look_path(before, settings.looks, information, planned)
    times, seen = tuple(point.time for point in path), tuple(point.information for point in path)
    return look(
        fixed.effect,
        fixed.standard_error,
        times,
        settings.alpha,
        settings.spending,
        final=settings.final_look,
        information=None if seen == times else seen,
        p_value=None if settings.tails is None else settings.tails.get((made.metric.key, made.variant)),
    )


def _chosen(
    settings: Settings,
    fixed: Estimate,
    sequence: Sequential | Undefined,
    belief: Bayesian | Undefined,
    taken: LookResult | None,
) -> tuple[Interval | None, float | None, float | None, Reason | None]:
    """Interval, p-value and critical value of the engine, or the reason why it has none."""
    if settings.engine == "sequential":
        if isinstance(sequence, Undefined):
            return None, None, None, sequence.reason
        return sequence.interval, sequence.p_value, sequence.critical_value, None
    if settings.engine == "group_sequential":
        if taken is None:
            return None, None, None, "no_look"
        return taken.interval, taken.p_value, taken.boundary, None
    if settings.engine == "bayesian":
        if isinstance(belief, Undefined):
            return None, None, None, belief.reason
        return belief.interval, None, -float(ndtri(settings.alpha / 2)), None
    return fixed.interval, fixed.p_value, critical_value(fixed.degrees_of_freedom, settings.alpha), None


def _cuped_result(
    metric: Metric,
    baseline: ArmData,
    treatment: ArmData,
    raw: Pair,
    change: Adjusted,
    settings: Settings,
    taken: LookResult | None,
) -> CupedResult:
    """The unadjusted effect with the interval of the same engine."""
    fixed, _ = _fixed(metric, baseline, treatment, raw, settings.alpha, "")
    interval = None
    if not isinstance(fixed, Undefined):
        interval = _raw_interval(metric, baseline, treatment, raw, fixed, settings, taken)
    return CupedResult(change.theta, change.variance_reduction, raw[1].mean - raw[0].mean, interval)


def _raw_interval(
    metric: Metric,
    baseline: ArmData,
    treatment: ArmData,
    raw: Pair,
    fixed: Estimate,
    settings: Settings,
    taken: LookResult | None,
) -> Interval | None:
    if settings.engine == "sequential":
        sequence = confidence_sequence(*raw, settings.alpha, settings.tuning_n)
        return None if isinstance(sequence, Undefined) else sequence.interval
    if settings.engine == "bayesian":
        belief = _belief(metric, baseline, treatment, raw, settings, "")
        return None if isinstance(belief, Undefined) else belief.interval
    if settings.engine == "fixed":
        return fixed.interval
    if taken is None:
        return None
    width = taken.boundary * fixed.standard_error
    return Interval(fixed.effect - width, fixed.effect + width) if math.isfinite(width) else None


def _guardrail(
    metric: Metric, arms: Pair, sequential: Sequential | None, critical: float | None
) -> Guardrail | Undefined | None:
    """Breached by the always-valid bound, held by the engine's; without a margin nothing has to be proven."""
    if metric.role != "guardrail":
        return None

    def at(value: float) -> Guardrail | Undefined:
        return guardrail(
            *arms,
            direction=metric.direction,
            margin=metric.margin or 0.0,
            scale=metric.margin_scale,
            critical_value=value,
        )

    narrower = at(critical) if critical is not None and math.isfinite(critical) else None
    held = isinstance(narrower, Guardrail) and narrower.state == "held"
    found = at(sequential.critical_value) if sequential else None
    if not isinstance(found, Guardrail):
        # Too few units for a bound that may be looked at: nothing is breached yet.
        if isinstance(narrower, Guardrail):
            return narrower if held else replace(narrower, state="open")
        return found or Undefined("too_few_units")
    if found.state == "open" and (held or metric.margin is None):
        return replace(found, state="held")
    return found


_NAMES = {
    "fixed": "fixed horizon",
    "sequential": "always-valid",
    "group_sequential": "group sequential",
    "bayesian": "bayesian",
}


def _method(metric: Metric, settings: Settings, name: str = "", how: str = "") -> str:
    """``always-valid, delta, cuped``: engine, test, adjustment."""
    if not name:
        name = {"proportion": "newcombe", "ratio": "delta", "quantile": "order-statistic"}.get(
            metric.kind, "welch"
        )
    if settings.engine != "fixed" and name in ("newcombe", "exact"):
        beta = settings.engine == "bayesian" and not isinstance(settings.prior, NormalPrior)
        name = "beta-binomial" if beta else "proportion"
    return ", ".join(part for part in (_NAMES[settings.engine], name, how) if part)
