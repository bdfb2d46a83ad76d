"""The units of a phase read into columns, for analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from research.domain.arm_totals import QUANTILE
from research.domain.unit_table import COLUMNS, UnitTable, variants_places
from research.models import Assignment, ResultEvent, UnitMetric

from .result_rules import metric_rules
from .results import PhaseData
from .unit_streams import source_keys

CHUNK: Final = 10_000
Tick = Callable[[], object]


def read_units(data: PhaseData, tick: Tick = lambda: None) -> UnitTable:
    """Units of the phase that count, with the values of every source that a metric reads.

    One statement for each source; ``tick`` is called after each some thousand rows. Memory grows with the number
    of units and of the results of quantiles, by some 64 bytes for each unit and source.
    """
    experiment, phase = data.experiment.pk, data.phase
    names = tuple(variant.key for variant in data.variants)
    place = variants_places([variant.pk for variant in data.variants])
    if phase is None:
        none = np.empty(0, np.int64)
        return UnitTable(none, none, none, names)
    assigned = Assignment.objects.filter(experiment=experiment, phase=phase, override=False)
    rows = _read(
        (
            (entity, place[variant], int(at.timestamp()) // 86_400)
            for entity, variant, at in assigned.order_by("entity_id")
            .values_list("entity_id", "variant_id", "first_exposed_at")
            .iterator(CHUNK)
        ),
        3,
        tick,
    )
    entities, arms, days = (rows[:, index].astype(np.int64) for index in range(3))
    table = UnitTable(entities, arms, days, names)
    rules = metric_rules(experiment)
    numbers = {key: number for number, key in source_keys(experiment).items()}
    for source in sorted({name for rule in rules if rule.kind != QUANTILE for name in rule.sources}):
        if source in numbers:
            table.values[source] = _values(table, numbers[source], phase.pk, tick)
    for rule in rules:
        if rule.kind == QUANTILE and rule.key in numbers:
            table.events[rule.key] = _events(table, numbers[rule.key], tick)
    return table


def _values(table: UnitTable, source: int, phase: int, tick: Tick) -> NDArray[np.float64]:
    stored = UnitMetric.objects.filter(source=source, phase=phase).order_by("entity_id")
    rows = _read(stored.values_list("entity_id", *COLUMNS).iterator(CHUNK), len(COLUMNS) + 1, tick)
    places, inside = table.places(rows[:, 0])
    found = np.full((len(COLUMNS), len(table.entities)), np.nan)
    found[:, places[inside]] = rows[inside, 1:].T
    return found


def _events(table: UnitTable, source: int, tick: Tick) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    stored = ResultEvent.objects.filter(source=source).order_by("entity_id")
    rows = _read(stored.values_list("entity_id", "value").iterator(CHUNK), 2, tick)
    places, inside = table.places(rows[:, 0])
    return places[inside], rows[inside, 1]


def _read(rows: Iterable[tuple[Any, ...]], width: int, tick: Tick) -> NDArray[np.float64]:
    """Rows of numbers as an array; None becomes NaN."""
    parts = [np.empty((0, width))]
    for part in _batches(iter(rows)):
        parts.append(np.array(part, dtype=np.float64))
        tick()
    return np.concatenate(parts)


def _batches(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while part := list(islice(rows, CHUNK)):
        yield part
