"""Units of an experiment one after another, with what is recorded of them: for proofs and rebuilds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

from research.domain.unit_values import Measured, UnitValues
from research.models import Assignment, ResultEvent, ResultSource, UnitMetric

CHUNK: Final = 2000
VALUE_COLUMNS: Final = (
    "count", "total", "total_rest", "largest", "last", "last_at", "last_event",
    "covariate", "covariate_at", "covariate_event",
)  # fmt: skip


class Unit(NamedTuple):
    """A unit's assignment, as far as results depend on it."""

    entity: int
    variant: int
    phase: int
    first_exposed_at: datetime
    override: bool


UNIT_COLUMNS: Final = ("entity_id", "variant_id", "phase_id", "first_exposed_at", "override")


class StoredValues(NamedTuple):
    """One row of ``UnitMetric``."""

    phase: int
    variant: int
    values: UnitValues


class UnitRecords(NamedTuple):
    """Everything of one unit, by the key of its source; ``unit`` is None where an assignment is missing."""

    entity: int
    unit: Unit | None
    events: dict[str, list[Measured]]
    stored: dict[str, StoredValues]


def source_keys(experiment: UUID) -> dict[int, str]:
    """Keys of an experiment's sources by their number."""
    return dict(ResultSource.objects.filter(experiment=experiment).values_list("pk", "key"))


def unit_records(experiment: UUID, *, events: bool = True) -> Iterator[UnitRecords]:
    """Units that were exposed or have results, ordered; in one snapshot, if the caller has one.

    Memory does not grow with their number. Without ``events`` only values that are stored.
    """
    sources = source_keys(experiment)
    streams: list[Iterator[tuple[int, Any]]] = [_assignments(experiment), _stored(sources)]
    if events:
        streams.append(_events(sources))
    for entity, (unit, stored, results) in _aligned(streams, 3):
        yield UnitRecords(entity, unit, results or {}, stored or {})


def _assignments(experiment: UUID) -> Iterator[tuple[int, Unit]]:
    rows = Assignment.objects.filter(experiment=experiment).order_by("entity_id").values_list(*UNIT_COLUMNS)
    return ((row[0], Unit(*row)) for row in rows.iterator(CHUNK))


def _stored(sources: Mapping[int, str]) -> Iterator[tuple[int, dict[str, StoredValues]]]:
    rows = UnitMetric.objects.filter(source__in=list(sources)).order_by("entity_id", "source_id")
    columns = ("entity_id", "source_id", "phase_id", "variant_id", *VALUE_COLUMNS)
    grouped = groupby(rows.values_list(*columns).iterator(CHUNK), key=lambda row: row[0])
    for entity, mine in grouped:
        yield (
            entity,
            {
                sources[source]: StoredValues(phase, variant, UnitValues(*values))
                for _, source, phase, variant, *values in mine
            },
        )


def _events(sources: Mapping[int, str]) -> Iterator[tuple[int, dict[str, list[Measured]]]]:
    rows = ResultEvent.objects.filter(source__in=list(sources), value__isnull=False).order_by(
        "entity_id", "source_id"
    )
    columns = ("entity_id", "source_id", "value", "occurred_at", "event_id", "covariate")
    for entity, mine in groupby(rows.values_list(*columns).iterator(CHUNK), key=lambda row: row[0]):
        found: dict[str, list[Measured]] = {}
        for _, source, *measured in mine:
            found.setdefault(sources[source], []).append(Measured(*measured))
        yield entity, found


def _aligned(streams: list[Iterator[tuple[int, Any]]], width: int) -> Iterator[tuple[int, list[Any]]]:
    """Items of ascending streams side by side; None where a stream has none of a number."""
    heads = [next(stream, None) for stream in streams]
    while waiting := [head[0] for head in heads if head is not None]:
        entity = min(waiting)
        row: list[Any] = [None] * width
        for place, head in enumerate(heads):
            if head is not None and head[0] == entity:
                row[place] = head[1]
                heads[place] = next(streams[place], None)
        yield entity, row
