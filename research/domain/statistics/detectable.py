"""How much can be seen by now: the effect that the units so far would show, and the units that are still needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from .results import Comparison, MetricResult, Settings
from .sequential import MINIMUM_UNITS, critical_value
from .verdict import units_needed


@dataclass(frozen=True, slots=True)
class PowerSoFar:
    """Of one comparison: ``units`` of both arms, those ``needed`` for ``target``, and what is ``detectable`` now.

    ``target`` is the mde in the metric's unit, or the effect seen so far where the metric has none
    (``is_planned`` False). None where it is not known.
    """

    metric: str
    variant: str
    units: int
    needed: int | None
    detectable: float | None
    target: float | None
    is_planned: bool


def detectable_effect(one: Comparison, settings: Settings) -> float | None:
    """The smallest effect that would show with the settings' power: ``(c + z_power) SE``, in the metric's unit.

    c is the critical value of the engine at the present number of units, at the unadjusted alpha; of a group
    sequential design the boundary of its last look, and the fixed one before that. None without a standard error, and
    for the sequential engine below its least number of units.
    """
    if one.arms is None or not one.standard_error:
        return None
    critical = -float(ndtri(settings.alpha / 2))
    if settings.engine == "sequential":
        if min(arm.n for arm in one.arms) < MINIMUM_UNITS:
            return None
        critical = critical_value(one.arms[0].n + one.arms[1].n, settings.alpha, settings.tuning_n)
    elif one.look is not None:
        critical = one.look.boundary
    found = (critical + float(ndtri(settings.power))) * one.standard_error
    return found if math.isfinite(found) else None


def power_so_far(results: Sequence[MetricResult], settings: Settings) -> list[PowerSoFar]:
    """For every arm, of the primary metric and of each metric that has an mde."""
    found = []
    for result in results:
        if result.metric.role != "primary" and not result.metric.mde:
            continue
        for one in result.comparisons:
            found.append(
                PowerSoFar(
                    result.metric.key,
                    one.variant,
                    0 if one.arms is None else one.arms[0].n + one.arms[1].n,
                    units_needed(one, settings),
                    detectable_effect(one, settings),
                    _target(one),
                    bool(result.metric.mde),
                )
            )
    return found


def _target(one: Comparison) -> float | None:
    if not one.metric.mde:
        return None if one.effect is None else abs(one.effect)
    if one.metric.mde_scale != "relative":
        return one.metric.mde
    return None if one.arms is None else one.metric.mde * abs(one.arms[0].mean)
