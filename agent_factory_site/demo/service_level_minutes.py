"""The minutes of the demo's service levels: thrown by dice, the same however often and in whatever parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from operations.slo.models import Slo, SloObjective, bucket_number
from operations.slo.selectors.exclusion_minutes import excluded_minutes
from operations.slo.services.bucket_sums import Deltas, SeriesRule, add_to_buckets
from operations.slo.services.objective_counts import slice_target_of
from operations.slo.services.series import SeriesOf, label_set, stretch_series

from .service_level_plans import DemoLevel

MINUTES_A_DAY: Final = 1440


class Counting:
    """The minutes of one SLO, the same however often and in whatever parts they are made."""

    def __init__(self, level: DemoLevel, slo: Slo, objective: SloObjective, seed: int) -> None:
        self.level = level
        self.slo = slo
        self.objective = objective
        self.seed = seed
        self.made = bucket_number(slo.created_at, "minute")

    def add(self, first: int, end: int) -> None:
        """Count minutes ``first`` to ``end``."""
        groups = self.level.groups or (("", 1.0),)
        names = self.objective.group_by
        series = SeriesOf(self.objective)
        sets = {name: label_set({names[0]: name}, names) if names and name else None for name, _ in groups}
        series.find([(), *(one for one in sets.values() if one)])
        excluded: Callable[[int], bool] = excluded_minutes([self.slo.pk], first, end)[self.slo.pk]
        rule = SeriesRule(slice_target_of(self.objective), excluded)
        for day in range(first // MINUTES_A_DAY, (end - 1) // MINUTES_A_DAY + 1):
            deltas = Deltas()
            for number, (name, factor) in enumerate(groups):
                places = [series.numbers[()]] + ([series.numbers[labels]] if (labels := sets[name]) else [])
                self._day(
                    deltas,
                    day,
                    number,
                    name,
                    factor,
                    places,
                    max(first, day * MINUTES_A_DAY),
                    min(end, (day + 1) * MINUTES_A_DAY),
                )
            add_to_buckets(deltas, lambda _: rule)
            stretches: dict[int, tuple[int, int]] = {}
            for place, minute in deltas.counts:
                low, high = stretches.get(place, (minute, minute))
                stretches[place] = (min(low, minute), max(high, minute))
            stretch_series(stretches)

    def _day(
        self,
        deltas: Deltas,
        day: int,
        number: int,
        name: str,
        factor: float,
        places: list[int],
        first: int,
        end: int,
    ) -> None:
        level = self.level
        dice = np.random.default_rng([self.seed, day, number, *self.slo.key.encode()])
        minutes = np.arange(day * MINUTES_A_DAY, (day + 1) * MINUTES_A_DAY)
        busy = np.array(level.hours)[(minutes // 60) % 24] / max(level.hours)
        totals = dice.poisson(level.traffic * (0.12 + 0.88 * busy))
        errors = np.full(MINUTES_A_DAY, level.errors * factor)
        for incident in level.incidents:
            if incident.group in ("", name):
                start = self.made - int(incident.hours_ago * 60)
                errors[(minutes >= start) & (minutes < start + incident.minutes)] = incident.errors
        bad = dice.binomial(totals, np.minimum(errors, 1.0))
        shapes = dice.normal(size=(MINUTES_A_DAY, 4))
        with_data = (minutes % level.every == 0) & (totals > 0) & (minutes >= first) & (minutes < end)
        if level.quiet is not None:
            early, late = (self.made - hours * 60 for hours in level.quiet)
            with_data &= ~((minutes >= early) & (minutes < late))
        for at in np.nonzero(with_data)[0]:
            values = self._values(int(totals[at]), int(bad[at]), shapes[at])
            for place in places:
                key = (place, int(minutes[at]))
                counts = deltas.counts.setdefault(key, [0, 0, 0])
                counts[0] += int(totals[at] - bad[at])
                counts[1] += int(totals[at])
                for value, weight in values:
                    counts[2] += round(value * 1_000_000) * weight
                    deltas.value_places.append(key)
                    deltas.values.append(value)
                    deltas.weights.append(weight)

    def _values(self, total: int, bad: int, shape: npt.NDArray[np.float64]) -> list[tuple[float, int]]:
        """A few values that stand for all of a minute."""
        threshold = self.objective.threshold
        if self.level.values is None or threshold is None:
            return []
        middle, spread = self.level.values
        limit, upwards = float(threshold), self.objective.op in ("gte", "gt")
        good = [float(middle * np.exp(spread * part)) for part in shape[:3]]
        good = [max(value, limit) if upwards else min(value, limit) for value in good]
        if upwards:
            good = [min(value, 1.0) for value in good]
        worse = float(np.exp(0.3 * abs(shape[3]) + 0.05))
        rest = total - bad
        weights = [rest - 2 * (rest // 3), rest // 3, rest // 3]
        found = [(round(value, 4), weight) for value, weight in zip(good, weights, strict=True) if weight]
        if bad:
            found.append((round(limit / worse if upwards else limit * worse, 4), bad))
        return found
