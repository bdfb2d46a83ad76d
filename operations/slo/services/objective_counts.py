"""What stored samples count for in the objectives of an indicator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from uuid import UUID

from operations.slo.domain.label_sets import ALL, LabelSet
from operations.slo.domain.sample_input import is_good, micros
from operations.slo.models import EPOCH, SloObjective
from operations.slo.selectors.exclusion_minutes import excluded_minutes

from .bucket_sums import Deltas, SeriesRule, add_to_buckets
from .series import SeriesOf, label_set, stretch_series


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of one event, as it is stored."""

    timestamp: datetime
    good: int
    total: int
    value: float | None
    labels: dict[str, str]

    @property
    def minute(self) -> int:
        """Minutes since 1970."""
        return int((self.timestamp - EPOCH).total_seconds() // 60)


@dataclass(frozen=True, slots=True)
class Change:
    """An event whose content was ``before`` (None: unknown so far) and is ``after`` now."""

    key: UUID
    before: Content | None
    after: Content | None


def open_objectives(sli: int) -> list[SloObjective]:
    """The objectives that count the samples of an indicator now."""
    rows = SloObjective.objects.filter(sli=sli, ended_at__isnull=True).order_by("pk")
    return list(rows)


def count_changes(objectives: Sequence[SloObjective], changes: Iterable[Change]) -> None:
    """Count changed events in every objective; the caller holds the lock of the indicator.

    An objective that has not come as far as an event counts it when it comes there.
    """
    some = list(changes)
    deltas, rules = deltas_of(objectives, some)
    if not deltas.counts:
        return
    add_to_buckets(deltas, rules.__getitem__)
    stretches: dict[int, tuple[int, int]] = {}
    for series, minute in deltas.counts:
        first, last = stretches.get(series, (minute, minute))
        stretches[series] = (min(first, minute), max(last, minute))
    stretch_series(stretches)


def deltas_of(
    objectives: Sequence[SloObjective], changes: Sequence[Change]
) -> tuple[Deltas, dict[int, SeriesRule]]:
    """What changed events add to minutes, and the rules of the series concerned, made where there are none."""
    minutes = [
        side.minute for change in changes for side in (change.before, change.after) if side is not None
    ]
    deltas = Deltas()
    rules: dict[int, SeriesRule] = {}
    if not minutes or not objectives:
        return deltas, rules
    excluded = excluded_minutes([one.slo_id for one in objectives], min(minutes), max(minutes) + 1)
    for objective in objectives:
        reached = objective.counted_to
        counted = changes if reached is None else [change for change in changes if change.key <= reached]
        _count(objective, counted, deltas, rules, excluded[objective.slo_id])
    return deltas, rules


def _count(
    objective: SloObjective,
    changes: Sequence[Change],
    deltas: Deltas,
    rules: dict[int, SeriesRule],
    excluded: Callable[[int], bool],
) -> None:
    if not changes:
        return
    found = SeriesOf(objective)
    sides: list[tuple[int, Content, LabelSet | None]] = []
    for change in changes:
        for sign, side in ((-1, change.before), (1, change.after)):
            if side is not None:
                sides.append((sign, side, label_set(side.labels, objective.group_by)))
    found.find({ALL, *(labels for _, _, labels in sides if labels)})
    rule = SeriesRule(slice_target_of(objective), excluded)
    rules.update(dict.fromkeys(found.numbers.values(), rule))
    threshold = None if objective.threshold is None else float(objective.threshold)
    everything = found.numbers[ALL]
    for sign, side, labels in sides:
        good, value, micro = side.good, side.value, 0
        if value is not None:
            micro = micros(value)
            if threshold is not None:
                good = side.total if is_good(value, objective.op, threshold) else 0
        minute = side.minute
        deltas.add((everything, minute), sign, good, side.total, value, micro)
        if labels is not None and labels in found.numbers:
            deltas.add((found.numbers[labels], minute), sign, good, side.total, value, micro)


def slice_target_of(objective: SloObjective) -> Fraction | None:
    """The share of good from which a minute is a good slice."""
    return None if objective.slice_target is None else Fraction(objective.slice_target)
