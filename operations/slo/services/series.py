"""Series of objectives: one of all events, and one of each combination of labels up to a limit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.utils import timezone

from agent_factory_site.common.db.prepared import PreparedQuery
from operations.slo.domain.label_sets import LabelSet, labels_hash
from operations.slo.models import SloObjective, SloSeries

CHUNK: Final = 1000


_ONE: Final = PreparedQuery(
    lambda objective, key: (
        SloSeries.objects.filter(objective=objective, labels_hash=key)
        .order_by()
        .values_list("pk", "labels_hash")
    ),
    1,
    UUID(int=2),
)
_STRETCH: Final = PreparedQuery(
    lambda number: (
        SloSeries.objects.filter(pk=number).order_by().values_list("pk", "first_minute", "last_minute")
    ),
    1,
)


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
            some = keys[start : start + CHUNK]
            for number, key in _ONE.rows(self.objective.pk, *some) if len(some) == 1 else self._stored(some):
                self.numbers[missing.pop(key)] = number
        if missing:
            self._make(missing)

    def _stored(self, keys: list[UUID]) -> Iterable[tuple[int, UUID]]:
        rows = SloSeries.objects.filter(objective=self.objective, labels_hash__in=keys)
        return rows.values_list("pk", "labels_hash")

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
        for number, known_first, known_last in _stretches(numbers[start : start + CHUNK]):
            first, last = minutes[number]
            stretched = (
                first if known_first is None else min(first, known_first),
                last if known_last is None else max(last, known_last),
            )
            if stretched != (known_first, known_last):
                changed.append((*stretched, number))
    if changed:
        with connection.cursor() as cursor:
            cursor.executemany(
                "UPDATE operations_sloseries SET first_minute = %s, last_minute = %s WHERE id = %s", changed
            )


def _stretches(numbers: list[int]) -> Iterable[tuple[int, int | None, int | None]]:
    if len(numbers) == 1:
        return _STRETCH.rows(*numbers)
    rows = SloSeries.objects.filter(pk__in=numbers).order_by("pk")
    return rows.values_list("pk", "first_minute", "last_minute")
