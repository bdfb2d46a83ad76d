"""What is recorded of results, by the ids of their events."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from research.domain.result_input import event_key
from research.models import ResultEvent

CHUNK: Final = 5000


class RecordedResult(NamedTuple):
    """A result as its highest revision says it; without a value it was taken back."""

    unit_id: str
    metric: str
    value: float | None
    occurred_at: datetime
    revision: int


def recorded_results(experiment: UUID, event_ids: Collection[str]) -> dict[str, RecordedResult]:
    """What an experiment has of these events; those that it does not know are left out."""
    keys = sorted(event_key(experiment, event_id) for event_id in set(event_ids))
    found: dict[str, RecordedResult] = {}
    for start in range(0, len(keys), CHUNK):
        rows = ResultEvent.objects.filter(key__in=keys[start : start + CHUNK])
        for row in rows.values_list(
            "event_id", "entity__key", "source__key", "value", "occurred_at", "revision"
        ):
            found[row[0]] = RecordedResult(*row[1:])
    return found
