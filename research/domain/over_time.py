"""How the effect on the primary metric came about: by day of first exposure, and all units up to each day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .analysis_json import finite, interval_json
from .analysis_rules import Measure, compare_measure
from .statistics.comparison import summarise
from .statistics.health import novelty
from .statistics.results import ArmData, Metric, Settings
from .statistics.values import ArmSummary, Undefined


def over_time(metric: Metric, days: Mapping[str, Sequence[ArmData]], settings: Settings) -> dict[str, Any]:
    """Per variant the cumulative effect with its confidence sequence, and whether the effect fades.

    ``days`` in order, each with the arms of the units first exposed on it, the baseline first.
    """
    always = replace(settings, engine="sequential", cuped=False, looks=(), final_look=False)
    names = tuple(arm.variant for arm in next(iter(days.values())))
    found: dict[str, Any] = {name: {"cumulative": [], "novelty": None} for name in names[1:]}
    whole = tuple(ArmData(name) for name in names)
    for day, arms in days.items():
        whole = tuple(
            ArmData(name, before.moments + arm.moments)
            for name, before, arm in zip(names, whole, arms, strict=True)
        )
        for one in compare_measure(Measure(metric, names, whole), always).comparisons:
            found[one.variant]["cumulative"].append(
                {"day": day, "effect": finite(one.effect), "ci": interval_json(one.interval)}
            )
    for place, name in enumerate(names[1:], 1):
        found[name]["novelty"] = _novelty(metric, place, list(days.values()))
    return found


def _novelty(metric: Metric, place: int, days: Sequence[Sequence[ArmData]]) -> dict[str, Any] | None:
    pairs: list[tuple[ArmSummary, ArmSummary]] = []
    for arms in days:
        try:
            first, second = summarise(metric, arms[0]), summarise(metric, arms[place])
        except ValueError:
            return None
        if isinstance(first, ArmSummary) and isinstance(second, ArmSummary):
            pairs.append((first, second))
    fading = novelty(pairs)
    if isinstance(fading, Undefined):
        return None
    return {
        "slope": finite(fading.slope),
        "p_value": finite(fading.trend_p_value),
        "fades": fading.fades,
        "days": fading.periods,
    }
