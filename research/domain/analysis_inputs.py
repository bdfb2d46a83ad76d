"""What an analysis found of the arms, as JSON and back, without losing a digit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any

from .statistics.moments import Moments
from .statistics.quantiles import QuantileStatistics
from .statistics.results import ArmData

ArmsByMetric = Mapping[str, Sequence[ArmData]]


def arms_json(arms: Iterable[ArmData]) -> dict[str, Any]:
    """Moments, for a quantile its order statistics, and the moments of strata where there are any, by variant."""
    return {
        arm.variant: {
            "moments": list(astuple(arm.moments)),
            "quantile": None if arm.quantile is None else list(astuple(arm.quantile)),
            **({"strata": [list(astuple(each)) for each in arm.strata]} if arm.strata else {}),
        }
        for arm in arms
    }


def metrics_json(metrics: ArmsByMetric) -> dict[str, Any]:
    """The arms of every metric, by its key."""
    return {key: arms_json(arms) for key, arms in metrics.items()}


def arms_of(stored: Mapping[str, Any] | None, variants: Sequence[str]) -> tuple[ArmData, ...] | None:
    """The arms that were stored, in the order of ``variants``; None where nothing was."""
    if stored is None:
        return None
    found = []
    for variant in variants:
        arm = stored.get(variant)
        if arm is None:
            found.append(ArmData(variant))
            continue
        quantile = None if arm["quantile"] is None else QuantileStatistics(*arm["quantile"])
        strata = tuple(Moments(*each) for each in arm.get("strata", ()))
        found.append(ArmData(variant, Moments(*arm["moments"]), quantile, strata))
    return tuple(found)
