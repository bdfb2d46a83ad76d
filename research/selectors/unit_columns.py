"""The units of a phase read into columns, for analyses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from django.db.models import ExpressionWrapper, F, FloatField, QuerySet
from numpy.typing import NDArray

from agent_factory_site.common.db.columns import Kind, number_columns
from research.domain.arm_totals import QUANTILE
from research.domain.segments import BITS
from research.domain.unit_table import UnitTable, unit_table
from research.models import Assignment, ResultEvent, UnitMetric

from .result_rules import metric_rules
from .results import PhaseData
from .unit_streams import source_keys

UNITS: Final = 1 << 20
"""So many units are read by one statement; ``EVENTS`` of a quantile, which may have many results each."""
EVENTS: Final = 1 << 16
Tick = Callable[[], object]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_VALUES: Final = {
    "sum": F("total"),
    "mean": ExpressionWrapper(F("total") / F("count"), FloatField()),
    "max": F("largest"),
    "last": F("last"),
    "covariate": F("covariate"),
}


def read_units(data: PhaseData, tick: Tick = lambda: None) -> UnitTable:
    """Units of the phase that count, with the values of every source that a metric reads.

    One statement for each source and ``UNITS`` units, after each of which ``tick`` is called. Memory grows with the
    number of units and of the results of quantiles, by 8 bytes for each unit and column.
    """
    experiment, phase = data.experiment.pk, data.phase
    names = tuple(variant.key for variant in data.variants)
    if phase is None:
        none = np.empty(0, np.int64)
        return unit_table(none, none, none, names)
    attributes = data.experiment.analysis.get("segments", ())
    rows = Assignment.objects.filter(experiment=experiment, phase=phase, override=False)
    entities, variants, days, *packed = _assigned(rows, ("segments",) if attributes else (), tick)
    arms = np.zeros_like(variants)
    for place, variant in enumerate(data.variants):
        arms[variants == variant.pk] = place
    table = unit_table(entities, arms, days, names)
    for bit, attribute in enumerate(attributes):
        table.attributes[attribute] = np.empty_like(entities)
        table.attributes[attribute][table.order] = packed[0] >> (BITS * bit) & ((1 << BITS) - 1)
    rules = metric_rules(experiment)
    numbers = {key: number for number, key in source_keys(experiment).items()}
    columns: dict[str, set[str]] = {}
    for rule in rules:
        if rule.kind != QUANTILE:
            for source in rule.sources:
                columns.setdefault(source, set()).add(rule.aggregate)
            columns[rule.sources[0]].add("covariate")
    for source, wanted in sorted(columns.items()):
        if source in numbers:
            stored = UnitMetric.objects.filter(source=numbers[source], phase=phase)
            table.values[source] = _values(table, stored, sorted(wanted), tick)
    for rule in rules:
        if rule.kind == QUANTILE and rule.key in numbers:
            table.events[rule.key] = _events(table, numbers[rule.key], tick)
    return table


def _assigned(rows: QuerySet[Assignment], others: tuple[str, ...], tick: Tick) -> list[Integers]:
    """Unit, variant, day of first exposure and ``others``, in the order of units."""
    whole: Kind = "whole"
    kinds: list[Kind] = [whole, whole, "day", *[whole] * len(others)]
    parts = [[np.empty(0, np.int64)] * len(kinds)]
    after = -1
    while True:
        chosen = rows.filter(entity_id__gt=after).order_by("entity_id")[:UNITS]
        part = number_columns(
            chosen.values_list("entity_id", "variant_id", "first_exposed_at", *others), kinds
        )
        parts.append(part)
        tick()
        if len(part[0]) < UNITS:
            break
        after = int(part[0][-1])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def _values(table: UnitTable, rows: QuerySet[UnitMetric], wanted: list[str], tick: Tick) -> dict[str, Floats]:
    found = {name: np.full(len(table.entities), np.nan) for name in wanted}
    # Of one name as of another, so that a value may be called as the column is.
    values = {f"value_{name}": _VALUES[name] for name in wanted}
    number: Kind = "number"
    kinds: list[Kind] = ["whole", *[number] * len(values)]
    for first, last in _windows(table, UNITS):
        chosen = (
            rows.filter(entity_id__gte=first, entity_id__lte=last).order_by("entity_id").annotate(**values)
        )
        entities, *read = number_columns(chosen.values_list("entity_id", *values), kinds)
        places, inside = table.places(entities)
        for name, column in zip(wanted, read, strict=True):
            found[name][places] = column if inside is None else column[inside]
        tick()
    return found


def _events(table: UnitTable, source: int, tick: Tick) -> tuple[Integers, Floats]:
    rows = ResultEvent.objects.filter(source=source, value__isnull=False)
    found: list[tuple[Integers, Floats]] = [(np.empty(0, np.int64), np.empty(0))]
    for first, last in _windows(table, EVENTS):
        chosen = rows.filter(entity_id__gte=first, entity_id__lte=last).order_by("entity_id")
        entities, values = number_columns(chosen.values_list("entity_id", "value"), ("whole", "number"))
        places, inside = table.places(entities)
        found.append((places, values if inside is None else values[inside]))
        tick()
    places, values = (np.concatenate(column) for column in zip(*found, strict=True))
    return places, values


def _windows(table: UnitTable, size: int) -> Iterator[tuple[int, int]]:
    """First and last unit of each run of ``size`` units."""
    entities = table.entities
    for start in range(0, len(entities), size):
        yield int(entities[start]), int(entities[min(start + size, len(entities)) - 1])
