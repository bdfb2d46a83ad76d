"""Post-stratification: comparing like with like inside strata known before the exposure."""

from __future__ import annotations

from collections.abc import Sequence

from .means import checked, mean_summary
from .moments import Moments
from .values import ArmSummary, Undefined


def stratified_means(
    baseline: Sequence[Moments], treatment: Sequence[Moments]
) -> tuple[ArmSummary, ArmSummary] | Undefined:
    """Both arms as if each had the strata in the same shares: entry i of both is stratum i.

    ``mean = sum of w_s mean_s`` and ``error^2 = sum of w_s^2 s_s^2 / n_s`` (divisor n_s - 1), with w_s the
    stratum's share of the units of both arms pooled. Miratrix, Sekhon & Yu (2013), "Adjusting treatment
    effect estimates by post-stratification in randomized experiments"; conditional on the strata's sizes,
    weights taken as known. ValueError when the two lists have different lengths.
    """
    if len(baseline) != len(treatment):
        raise ValueError("both arms need the same strata")
    everyone = sum(arm.n for arm in (*baseline, *treatment))
    if not everyone or not sum(arm.n for arm in baseline) or not sum(arm.n for arm in treatment):
        return Undefined("empty_arm")
    found = []
    for arms in (baseline, treatment):
        mean = error = 0.0
        for one, other, own in zip(baseline, treatment, arms):
            weight = (one.n + other.n) / everyone
            if not weight:
                continue
            summary = mean_summary(own)
            if isinstance(summary, Undefined):
                return Undefined("overflow" if summary.reason == "overflow" else "empty_stratum")
            mean += weight * summary.mean
            error += weight * weight * summary.error
        n = sum(arm.n for arm in arms)
        made = checked(n, mean, error * n)
        if isinstance(made, Undefined):
            return made
        found.append(made)
    return found[0], found[1]
