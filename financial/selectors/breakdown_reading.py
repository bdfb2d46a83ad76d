"""Where a breakdown is read from: an entity's rollups, those of entities of one type, facet rollups, or rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.selectors.entities import FLEET, EntityName, find_entities
from financial.domain.grouping import ENTITY, SERIES_DIMENSIONS, is_facet
from financial.domain.ranges import Segment, TimeUnit, plan, plan_rows
from financial.models import CostFacet, CostFacetDimension

from .archives import refuse_archived_edges, refuse_archived_scan, refuse_rollup_younger_than_archive
from .breakdown_sql import (
    MEASURES,
    Clause,
    Sums,
    entity_of_row,
    rollup_sums,
    row_sums,
    rows_of,
    series_clause,
    tag_of_row,
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: ``number`` is the entity's, ``facets`` the second dimensions grouped by."""

    entity: EntityName
    number: int
    start: datetime
    end: datetime
    zone: tzinfo
    unit: TimeUnit | None
    facets: Sequence[str]
    by_series: bool
    filters: Mapping[str, Sequence[str]]

    @property
    def fleet(self) -> bool:
        return self.entity == FLEET

    @property
    def facet_filters(self) -> dict[str, Sequence[str]]:
        return {name: wanted for name, wanted in self.filters.items() if is_facet(name)}

    @property
    def series_filters(self) -> dict[str, Sequence[str]]:
        return {name: wanted for name, wanted in self.filters.items() if name in SERIES_DIMENSIONS}

    @property
    def options(self) -> dict[str, Any]:
        return {"unit": self.unit, "by_series": self.by_series, "filters": self.series_filters}


Reading = Iterator[tuple[Segment, tuple[str | None, ...], Sums]]
"""Segments with the values of the facets grouped by and the sums."""


def reading_of(request: Request) -> Reading:
    """The cheapest exact way to answer."""
    yield from _cheapest(_owned(request))
    # Asked afterwards: a month is marked as archived before its first row goes.
    segments = plan(request.start, request.end, request.zone, request.unit)
    refuse_archived_edges([segment.instants for segment in segments if segment.level == "rows"])


def _cheapest(request: Request) -> Reading:
    facets = {*request.facets, *request.facet_filters}
    if not facets:
        return _read_own(request)
    if len(facets) == 1:
        (facet,) = facets
        if request.fleet and request.facets and not request.facet_filters and facet.startswith(ENTITY):
            return _read_entities(request, facet.removeprefix(ENTITY))
        dimension = CostFacetDimension.objects.filter(
            Q(owner_type=request.entity[0]) | Q(owner_type=""), dimension=facet
        ).first()
        if dimension is not None:
            return _read_facets(request, dimension)
    return _scan(request, sorted(facets))


def _owned(request: Request) -> Request:
    """The fleet narrowed to one entity is that entity."""
    entities = [name for name in request.facet_filters if name.startswith(ENTITY)]
    if not request.fleet or len(entities) != 1 or len(request.filters[entities[0]]) != 1:
        return request
    if entities[0] in request.facets:
        return request
    name = (entities[0].removeprefix(ENTITY), request.filters[entities[0]][0])
    number = find_entities([name]).get(name, 0)
    left = {key: wanted for key, wanted in request.filters.items() if key != entities[0]}
    return replace(request, entity=name, number=number, filters=left)


def _read_own(request: Request) -> Reading:
    for segment in plan(request.start, request.end, request.zone, request.unit):
        for sums in _own_sums(request, segment):
            yield segment, (), sums


def _own_sums(request: Request, segment: Segment) -> list[Sums]:
    if segment.level == "rows":
        source = rows_of(None if request.fleet else request.number)
        return row_sums(segment, source, facet=Clause("NULL"), conditions=Clause(""), **request.options)
    return rollup_sums(segment, Clause("r.entity_id = %s", [request.number]), **request.options)


def _read_entities(request: Request, kind: str) -> Reading:
    """The fleet by entities of one type: each event has at most one, so their own rollups say it all."""
    owner = Clause("r.entity_id IN (SELECT id FROM common_entity WHERE type = %s)", [kind])
    for segment in plan(request.start, request.end, request.zone, request.unit):
        if segment.level == "rows":
            found = row_sums(
                segment, rows_of(None), facet=entity_of_row(kind), conditions=Clause(""), **request.options
            )
            yield from _with_facets(segment, found)
        else:
            found = rollup_sums(segment, owner, facet="r.entity_id", **request.options)
            yield from _with_facets(segment, found)
            yield from _with_facets(segment, _rest(_own_sums(request, segment), found))


def _read_facets(request: Request, dimension: CostFacetDimension) -> Reading:
    facet = dimension.dimension
    refuse_rollup_younger_than_archive(request.start, request.end, dimension.created_at, facet)
    wanted = request.facet_filters.get(facet)
    numbers = _facet_numbers(facet, wanted)
    owner = Clause("r.entity_id = %s AND r.dimension_id = %s", [request.number, dimension.pk])
    if wanted is not None:
        owner.sql += f" AND r.facet_id IN ({', '.join(['%s'] * len(numbers)) or 'NULL'})"
        owner.values += list(numbers)
    grouped = bool(request.facets)
    for segment in plan(request.start, request.end, request.zone, request.unit):
        if segment.level == "rows":
            yield from _read_rows(request, segment, [facet])
            continue
        found = rollup_sums(segment, owner, facet="r.facet_id" if grouped else "", **request.options)
        values = _facet_values({int(sums.facet) for sums in found if sums.facet}) if grouped else {}
        named = [replace(sums, facet=values.get(int(sums.facet)) if sums.facet else None) for sums in found]
        yield from _with_facets(segment, named) if grouped else ((segment, (), sums) for sums in named)
        if grouped and wanted is None:
            yield from _with_facets(segment, _rest(_own_sums(request, segment), found))


def _facet_numbers(dimension: str, wanted: Sequence[str] | None) -> list[int]:
    if wanted is None:
        return []
    values = _stored_values(dimension, wanted)
    return list(CostFacet.objects.filter(dimension=dimension, value__in=values).values_list("pk", flat=True))


def _stored_values(dimension: str, wanted: Sequence[str]) -> list[str]:
    if not dimension.startswith(ENTITY):
        return list(wanted)
    kind = dimension.removeprefix(ENTITY)
    return [str(number) for number in find_entities([(kind, key) for key in wanted]).values()]


def _facet_values(numbers: set[int]) -> dict[int, str]:
    return dict(CostFacet.objects.filter(pk__in=numbers).values_list("pk", "value"))


def _with_facets(segment: Segment, found: Sequence[Sums]) -> Reading:
    for sums in found:
        yield segment, (sums.facet,), sums


def _rest(whole: Sequence[Sums], parts: Sequence[Sums]) -> list[Sums]:
    """What of ``whole`` is in none of ``parts``: the events that have no value of the facet."""
    left = {(sums.period, sums.series): list(sums.measures) for sums in whole}
    for sums in parts:
        measures = left.setdefault((sums.period, sums.series), [0] * len(MEASURES))
        for index, value in enumerate(sums.measures):
            measures[index] -= value
    return [
        Sums(period, series, None, measures) for (period, series), measures in left.items() if any(measures)
    ]


def _scan(request: Request, facets: Sequence[str]) -> Reading:
    named = " and ".join(facets)
    refuse_archived_scan(request.start, request.end, named)
    _check_width(request, facets)
    for segment in plan_rows(request.start, request.end, request.zone, request.unit):
        yield from _read_rows(request, segment, facets)
    # And afterwards: a month is marked before its first row goes.
    refuse_archived_scan(request.start, request.end, named)


def _check_width(request: Request, facets: Sequence[str]) -> None:
    limit = settings.COST_MAX_SCAN
    source = rows_of(None if request.fleet else request.number)
    chosen = series_clause(request.series_filters, "e")
    start, end = (connection.ops.adapt_datetimefield_value(moment) for moment in (request.start, request.end))
    sql = (
        f"SELECT COUNT(*) FROM (SELECT 1 FROM {source.sql} "  # noqa: S608
        f"WHERE e.occurred_at >= %s AND e.occurred_at < %s{chosen.sql} LIMIT {limit + 1}) n"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, [*source.values, start, end, *chosen.values])
        (count,) = cursor.fetchone()
    if count > limit:
        named = " and ".join(facets)
        raise Invalid(
            "too_wide",
            f"{named} has no rollup here, and more than {limit} events (COST_MAX_SCAN) would have to be read: "
            "ask for a shorter range, or name it in COST_ROLLUP_PAIRS or COST_ROLLUP_TAGS and run "
            "manage.py build_rollups.",
            extensions={
                "settings": ["COST_MAX_SCAN", "COST_ROLLUP_PAIRS", "COST_ROLLUP_TAGS"],
                "limit": limit,
            },
        )


def _read_rows(request: Request, segment: Segment, facets: Sequence[str]) -> Reading:
    """Ledger rows by any number of facets."""
    source = rows_of(None if request.fleet else request.number)
    conditions = Clause("")
    for name in facets:
        if name in request.facet_filters:
            value = _value_of_row(name)
            wanted = _stored_values(name, request.facet_filters[name])
            conditions.sql += f" AND {value.sql} IN ({', '.join(['%s'] * len(wanted)) or 'NULL'})"
            conditions.values += [*value.values, *wanted]
    grouped = [name for name in request.facets if name in facets]
    if not grouped:
        found = row_sums(segment, source, facet=Clause("NULL"), conditions=conditions, **request.options)
        yield from ((segment, (), sums) for sums in found)
        return
    joined = _joined([_value_of_row(name) for name in grouped])
    for sums in row_sums(segment, source, facet=joined, conditions=conditions, **request.options):
        yield segment, _split(sums.facet), sums


def _value_of_row(name: str) -> Clause:
    if name.startswith(ENTITY):
        return entity_of_row(name.removeprefix(ENTITY))
    return tag_of_row(name.partition(":")[2])


def _joined(values: Sequence[Clause]) -> Clause:
    """Several values in one column, as the text of a JSON array."""
    listed = ", ".join(value.sql for value in values)
    array = (
        f"json_array({listed})"
        if connection.vendor == "sqlite"
        else f"CAST(json_build_array({listed}) AS text)"
    )
    return Clause(array, [each for value in values for each in value.values])


def _split(joined: str | None) -> tuple[str | None, ...]:
    return tuple(json.loads(joined or "[]"))
