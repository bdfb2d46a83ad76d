"""When the looks of a group sequential experiment are due: shares of the information that its mde asks for."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from .statistics.comparison import planned_information
from .statistics.results import Comparison, MetricResult, Settings


@dataclass(frozen=True, slots=True)
class DueLook:
    """A look to take now: its number from 1, the share it was planned at, the share there is."""

    number: int
    planned: float
    fraction: float
    final: bool


def information_fraction(one: Comparison, settings: Settings, looks: int) -> float | None:
    """``(1 / SE^2) / (drift / mde)^2``; None without an mde or where the effect has no standard error yet."""
    if not one.standard_error or one.arms is None:
        return None
    planned = planned_information(one.metric, one.arms[0].mean, replace(settings, planned_looks=looks))
    if planned is None:
        return None
    fraction = 1 / one.standard_error**2 / planned
    return fraction if math.isfinite(fraction) else None


def progress(
    results: Sequence[MetricResult], settings: Settings, looks: int, stopped: Collection[str] = ()
) -> float | None:
    """The information of the primary metric's arm that has least of it; stopped arms no longer gather any."""
    primary = [one for result in results if result.metric.role == "primary" for one in result.comparisons]
    open_ = [one for one in primary if one.variant not in stopped] or primary
    found = [information_fraction(one, settings, looks) for one in open_]
    known = [one for one in found if one is not None]
    return min(known) if known and len(known) == len(found) else None


def next_planned(taken: Sequence[float], looks: int) -> float:
    """The share at which the next look is due: the first of k/looks beyond the last one taken."""
    last = taken[-1] if taken else 0.0
    return min(1.0, (math.floor(last * looks + 1e-9) + 1) / looks)


def due_look(fraction: float | None, taken: Sequence[float], looks: int, *, ended: bool) -> DueLook | None:
    """The look to take at ``fraction``, after those ``taken`` of which none was final.

    An experiment that has ended takes its last look at whatever there is (under-running); one that passed
    several planned shares at once takes one look for them all.
    """
    last = taken[-1] if taken else 0.0
    if fraction is None or fraction <= last * (1 + 1e-9):
        return None
    planned = next_planned(taken, looks)
    if fraction < planned and not ended:
        return None
    final = ended or fraction >= 1 - 1e-9
    return DueLook(len(taken) + 1, planned, fraction, final)
