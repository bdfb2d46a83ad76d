"""Replays compared: every arm of a set with the baseline, item by item."""

from __future__ import annotations

from dataclasses import dataclass

from agent_factory_site.common.errors import NotFound
from research.domain.statistics.paired import PairedComparison, compare_pairs
from research.domain.statistics.values import Direction

from .experiments import get_experiment
from .pairs import paired_values


@dataclass(frozen=True, slots=True)
class PairedAnalysis:
    """Arms in order, without the baseline and without arms that the set has not."""

    experiment: str
    baseline: str
    direction: Direction
    comparisons: list[tuple[str, PairedComparison]]


def analysed_pairs(
    name: str, *, batch: str, metric: str, alpha: float = 0.05, direction: Direction | None = None
) -> PairedAnalysis:
    """Compare the arms of a set; without ``direction`` that of the metric, else ``increase``.

    Raises :class:`NotFound` for an experiment that there is not, or a set without values of this metric.
    """
    row = get_experiment(name)
    items = paired_values(row, batch=batch, metric=metric)
    if not items:
        raise NotFound("not_found", "There is no such set with values of this metric.")
    stated = next((one.direction for one in row.metrics.all() if one.key == metric), "increase")
    towards: Direction = direction or ("decrease" if stated == "decrease" else "increase")
    arms = [one.key for one in sorted(row.variants.all(), key=lambda one: one.position)]
    # An item that one arm lacks stands with no values, so that it is counted as missing.
    values = {arm: {item: found.get(arm, []) for item, found in items.items()} for arm in arms}
    present = [arm for arm in arms[1:] if any(values[arm].values())]
    made = [
        (arm, compare_pairs(values[arms[0]], values[arm], alpha=alpha, direction=towards)) for arm in present
    ]
    return PairedAnalysis(row.key, arms[0], towards, made)
