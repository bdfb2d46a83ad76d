"""Series of objectives: one of all events, and one of each combination of labels up to a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from operations.slo.domain.label_sets import LabelSet, labels_hash
from operations.slo.models import SloObjective, SloSeries

CHUNK: Final = 1000


def label_set(labels: Mapping[str, str], group_by: Iterable[str]) -> LabelSet | None:
    """The combination that a sample belongs to; None without grouping, or where it lacks one of the labels."""
    chosen = []
    for name in group_by:
        if name not in labels:
            return None
        chosen.append((name, labels[name]))
    return tuple(sorted(chosen)) or None


@dataclass(slots=True)
class SeriesOf:
    """The series of one objective, as far as they were asked for; the caller holds the lock of the indicator."""

    objective: SloObjective
    numbers: dict[LabelSet, int] = field(default_factory=dict)

    def find(self, wanted: Iterable[LabelSet]) -> None:
        """Look the series up and make those that there are not yet.

        Once a combination found no room, none is made any more: what was counted must be known when it is
        taken back.
        """
        missing = {labels_hash(labels): labels for labels in wanted if labels not in self.numbers}
        keys = sorted(missing)
        for start in range(0, len(keys), CHUNK):
            rows = SloSeries.objects.filter(
                objective=self.objective, labels_hash__in=keys[start : start + CHUNK]
            )
            for number, key in rows.values_list("pk", "labels_hash"):
                self.numbers[missing.pop(key)] = number
        if missing:
            self._make(missing)

    def _make(self, missing: dict[UUID, LabelSet]) -> None:
        # The series of all does not count against the limit, and comes first.
        wanted = sorted(missing.values())
        room = settings.SLO_SERIES_LIMIT - self.objective.series_count if not self.objective.capped_at else 0
        grouped = [labels for labels in wanted if labels]
        made = [labels for labels in wanted if not labels] + grouped[: max(room, 0)]
        rows = SloSeries.objects.bulk_create(
            SloSeries(objective=self.objective, labels=dict(labels), labels_hash=labels_hash(labels))
            for labels in made
        )
        self.numbers.update({labels: row.pk for labels, row in zip(made, rows)})
        self.objective.series_count += sum(1 for labels in made if labels)
        if len(grouped) > max(room, 0) and self.objective.capped_at is None:
            self.objective.capped_at = timezone.now()
        self.objective.save(update_fields=["series_count", "capped_at"])


def stretch_series(minutes: Mapping[int, tuple[int, int]]) -> None:
    """Note that series (by number) have data from the first to the last of two minutes."""
    numbers = sorted(minutes)
    changed: list[tuple[int, int, int]] = []
    for start in range(0, len(numbers), CHUNK):
        for row in SloSeries.objects.filter(pk__in=numbers[start : start + CHUNK]).order_by("pk"):
            first, last = minutes[row.pk]
            stretched = (
                first if row.first_minute is None else min(first, row.first_minute),
                last if row.last_minute is None else max(last, row.last_minute),
            )
            if stretched != (row.first_minute, row.last_minute):
                changed.append((*stretched, row.pk))
    if changed:
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE operations_sloseries SET first_minute = %s, last_minute = %s WHERE id = %s", changed
            )
