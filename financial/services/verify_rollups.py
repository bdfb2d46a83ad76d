"""Proving rollups: what the rows of a day sum to, beside what the rollups of that day say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Max, Min, Model, Q

from agent_factory_site.common.db.bulk import upsert_add
from agent_factory_site.common.models import Entity
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from financial.domain.rollups import QUARTER_SECONDS, QUARTERS_PER_DAY
from financial.models import (
    CostEvent,
    CostFacet,
    CostFacetDimension,
    CostFacetRollupDay,
    CostFacetRollupQuarter,
    CostRollupDay,
    CostRollupQuarter,
    CostSeries,
)

from .build_rollups import measures
from .facets import FacetSubject, active_dimensions, facets_of, resolve_facets
from .rollups import ADD_COLUMNS, ADD_TYPES, FACET_KEY_COLUMNS, FACET_KEY_TYPES, KEY_COLUMNS, KEY_TYPES

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TABLES: Final[Mapping[str, tuple[type[Model], int]]] = {
    "quarter": (CostRollupQuarter, QUARTERS_PER_DAY),
    "day": (CostRollupDay, 1),
    "facet_quarter": (CostFacetRollupQuarter, QUARTERS_PER_DAY),
    "facet_day": (CostFacetRollupDay, 1),
}
"""Each kind of rollup: its table and its buckets per UTC day."""

Key = tuple[Any, ...]
"""Entity, bucket, series; of a facet entity, dimension, value, bucket, series."""
Sums = dict[Key, list[int]]


@dataclass(slots=True)
class DaySums:
    """What the rows of one UTC day sum to, by kind of rollup."""

    day: int
    dimensions: Sequence[CostFacetDimension]
    sums: dict[str, Sums] = field(default_factory=lambda: {kind: {} for kind in TABLES})
    _names: dict[int, EntityName] = field(default_factory=dict)

    def add(self, rows: Sequence[CostEvent], seen_by: Mapping[UUID, Sequence[int]], fleet: int) -> None:
        """Add ``rows`` with the entities that see each."""
        if self.dimensions:
            self._learn({number for numbers in seen_by.values() for number in numbers})
        for row in rows:
            quarter = int(row.occurred_at.timestamp()) // QUARTER_SECONDS
            values = measures(row)
            for owner in (*seen_by[row.id], fleet):
                _add(self.sums["quarter"], (owner, quarter, row.series_id), values)
                _add(self.sums["day"], (owner, self.day, row.series_id), values)
            for owner, dimension, value in self._facets(row, seen_by[row.id], fleet):
                _add(self.sums["facet_quarter"], (owner, dimension, value, quarter, row.series_id), values)
                _add(self.sums["facet_day"], (owner, dimension, value, self.day, row.series_id), values)

    def _learn(self, numbers: set[int]) -> None:
        new = numbers - self._names.keys()
        rows = Entity.objects.filter(pk__in=new).values_list("pk", "type", "key")
        self._names.update({pk: (kind, key) for pk, kind, key in rows})

    def _facets(self, row: CostEvent, seen_by: Sequence[int], fleet: int) -> Iterator[tuple[int, int, str]]:
        if not self.dimensions:
            return
        numbers = {self._names[number]: number for number in seen_by if number in self._names}
        subject = FacetSubject(list(numbers), row.tags)
        for owner, dimension, value in facets_of(self.dimensions, subject, {**numbers, FLEET: fleet}):
            yield owner, dimension.pk, value


def _add(sums: Sums, key: Key, values: Sequence[int]) -> None:
    found = sums.get(key)
    if found is None:
        sums[key] = list(values)
    else:
        for index, value in enumerate(values):
            found[index] += value


@dataclass(frozen=True, slots=True)
class WrongRollup:
    """One key whose rollups are not the sum of its rows; None where there is no row, or no rollup."""

    kind: str
    key: Key
    expected: Sequence[int] | None
    actual: Sequence[int] | None

    def detail(self) -> str:
        """Which figures differ."""
        if self.actual is None:
            return "is missing"
        if self.expected is None:
            return "stands for no row"
        return ", ".join(
            f"{name} is {actual}, its rows {expected}"
            for name, expected, actual in zip(ADD_COLUMNS, self.expected, self.actual, strict=True)
            if expected != actual
        )


def wrong_rollups(expected: DaySums) -> list[WrongRollup]:
    """Every key of the day whose rollups differ from ``expected``."""
    wrong = []
    for kind in TABLES:
        sums, stored = expected.sums[kind], _stored(kind, expected.day)
        for key in sums.keys() | stored.keys():
            if sums.get(key) != stored.get(key):
                wrong.append(WrongRollup(kind, key, sums.get(key), stored.get(key)))
    return sorted(wrong, key=lambda item: (item.kind, str(item.key)))


def _stored(kind: str, day: int) -> Sums:
    model, per_day = TABLES[kind]
    # Named entity by entity, because the rollups' keys begin with the entity.
    rows = model._default_manager.filter(
        entity__in=Entity.objects.values("pk"), bucket__gte=day * per_day, bucket__lt=(day + 1) * per_day
    )
    owner = (
        ("entity_id", "dimension_id", "facet__value", "bucket", "series_id")
        if kind.startswith("facet")
        else ("entity_id", "bucket", "series_id")
    )
    sums: Sums = {}
    for row in rows.values_list(*owner, *ADD_COLUMNS).iterator(chunk_size=2000):
        _add(sums, row[: len(owner)], row[len(owner) :])
    return sums


def ownerless_rollups() -> Iterator[tuple[str, int]]:
    """Kinds that have rollups of an entity that does not exist, and how many."""
    for kind, (model, _) in TABLES.items():
        if count := model._default_manager.exclude(entity__in=Entity.objects.values("pk")).count():
            yield kind, count


def bounds_of_rollups() -> tuple[int, int] | None:
    """The first and last UTC day that any rollup is of."""
    days = []
    for model, per_day in TABLES.values():
        found = model._default_manager.aggregate(first=Min("bucket"), last=Max("bucket"))
        if found["first"] is not None:
            days += [found["first"] // per_day, found["last"] // per_day]
    return (min(days), max(days)) if days else None


def names_of(wrong: Sequence[WrongRollup]) -> list[str]:
    """Who, when and what each of ``wrong`` is about, in two queries."""
    entities = Entity.objects.in_bulk({item.key[0] for item in wrong})
    series = CostSeries.objects.in_bulk({item.key[-1] for item in wrong})
    dimensions = {row.pk: row.dimension for row in active_dimensions()}
    return [_named(item, entities, series, dimensions) for item in wrong]


def _named(
    item: WrongRollup,
    entities: Mapping[int, Entity],
    series: Mapping[int, CostSeries],
    dimensions: Mapping[int, str],
) -> str:
    entity = entities.get(item.key[0])
    who = "the fleet" if entity and (entity.type, entity.key) == FLEET else str(entity or item.key[0])
    seconds = QUARTER_SECONDS * (QUARTERS_PER_DAY // TABLES[item.kind][1])
    at = EPOCH + timedelta(seconds=item.key[-2] * seconds)
    facet = f" {dimensions.get(item.key[1], item.key[1])}={item.key[2]}" if len(item.key) == 5 else ""
    when = f"{at:%Y-%m-%d}" if seconds > QUARTER_SECONDS else f"{at:%Y-%m-%d %H:%M}"
    return f"{who}{facet}, {when}, {series.get(item.key[-1], item.key[-1])}"


def replace_rollups(wrong: Iterable[WrongRollup]) -> None:
    """Put what the rows sum to in the place of ``wrong``; in the caller's transaction, writers held off."""
    for item in wrong:
        model = TABLES[item.kind][0]
        columns: tuple[str, ...] = KEY_COLUMNS
        types: tuple[str, ...] = (*KEY_TYPES, *ADD_TYPES)
        row: tuple[int, ...]
        if item.kind.startswith("facet"):
            columns, types = FACET_KEY_COLUMNS, (*FACET_KEY_TYPES, *ADD_TYPES)
            entity, dimension, value, bucket, series = item.key
            facet_dimension = CostFacetDimension.objects.get(pk=dimension).dimension
            same = Q(entity=entity, dimension=dimension, facet__value=value, bucket=bucket, series=series)
            facets = CostFacet.objects.filter(dimension=facet_dimension, value=value)
            model._default_manager.filter(same, facet__in=facets).delete()
            if item.expected is None:
                continue
            facet = resolve_facets([(facet_dimension, value)])[facet_dimension, value]
            row = (entity, dimension, bucket, facet, series, 0, *item.expected)
        else:
            entity, bucket, series = item.key
            model._default_manager.filter(entity=entity, bucket=bucket, series=series).delete()
            if item.expected is None:
                continue
            row = (entity, bucket, series, 0, *item.expected)
        upsert_add(connection, model._meta.db_table, columns, ADD_COLUMNS, types, [row])


def drop_ownerless_rollups() -> int:
    """Delete the rollups of entities that do not exist; how many there were."""
    return sum(
        model._default_manager.exclude(entity__in=Entity.objects.values("pk")).delete()[0]
        for model, _ in TABLES.values()
    )
