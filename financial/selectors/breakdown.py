"""What was spent: totals of an entity or the fleet, grouped by time, by what was bought, for whom, or by tag.

Sums come from the rollups, so that their cost does not grow with the events behind them; only the
quarter hours that a range cuts through are read from ledger rows. A grouping that has no rollup reads
rows, as many as ``COST_MAX_SCAN`` allows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, cast

from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import MAX_NANO
from agent_factory_site.common.selectors.entities import FLEET, EntityName, find_entities
from financial.domain.grouping import ENTITY, SERIES_DIMENSIONS, TIME_UNITS, is_facet
from financial.domain.ranges import TimeUnit, period_label
from financial.models.cost_event import USAGE_FIELDS

from .breakdown_reading import Reading, Request, reading_of
from .breakdown_sql import MEASURES, too_large
from .series import series_by_id


@dataclass(frozen=True, slots=True)
class CostSums:
    """Sums over some events; ``amount`` in nano-units of the base currency, ``usage`` as ``USAGE_FIELDS``."""

    events: int
    unpriced: int
    amount: int
    usage: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CostGroup:
    """The sums of one group; ``key`` has one label per grouping, None where the events have none."""

    key: tuple[str | None, ...]
    sums: CostSums


@dataclass(frozen=True, slots=True)
class CostBreakdown:
    """A total and its groups."""

    total: CostSums
    groups: list[CostGroup]


NOTHING: Final = CostSums(0, 0, 0, (0,) * len(USAGE_FIELDS))
_Line = tuple[str | None, int, tuple[str | None, ...], Sequence[int]]


def cost_breakdown(
    *,
    entity: EntityName = FLEET,
    start: datetime,
    end: datetime,
    group_by: Sequence[str] = (),
    zone: tzinfo,
    filters: Mapping[str, Sequence[str]] | None = None,
) -> CostBreakdown:
    """The costs that ``entity`` saw in ``[start, end)``, in total and by ``group_by``.

    At most one of ``group_by`` may be a unit of time; ``entity:<type>`` and ``tag:<key>`` are groupings
    and filters like provider, model and cost type. Periods are those of ``zone``; only periods and groups
    with events appear: by time ascending first, then by amount descending. ``events`` counts charges.
    """
    number = find_entities([entity]).get(entity)
    if number is None:
        return CostBreakdown(NOTHING, [])
    unit = next((cast(TimeUnit, group) for group in group_by if group in TIME_UNITS), None)
    facets = [group for group in group_by if is_facet(group)]
    by_series = any(group in SERIES_DIMENSIONS for group in group_by)
    request = Request(entity, number, start, end, zone, unit, facets, by_series, filters or {})
    lines = list(_lines(reading_of(request), unit))
    return _assemble(lines, group_by, facets, by_series)


def _lines(reading: Reading, unit: TimeUnit | None) -> Iterator[_Line]:
    for segment, facets, sums in reading:
        label = None if unit is None else period_label(unit, sums.period, segment.offset)
        yield label, sums.series, facets, sums.measures


def _assemble(
    lines: Sequence[_Line], group_by: Sequence[str], facets: Sequence[str], by_series: bool
) -> CostBreakdown:
    names = series_by_id({series for _, series, _, _ in lines}) if by_series else {}
    labels = _entity_labels(facets, {values for _, _, values, _ in lines})
    groups: dict[tuple[str | None, ...], list[int]] = {}
    total = [0] * len(MEASURES)
    for period, series, values, measures in lines:
        key = tuple(
            period
            if group in TIME_UNITS
            else labels.get((group, values[facets.index(group)]), values[facets.index(group)])
            if group in facets
            else (getattr(names[series], group) or None)
            for group in group_by
        )
        sums = groups.setdefault(key, [0] * len(MEASURES))
        for index, value in enumerate(measures):
            sums[index] += value
            total[index] += value
    if not group_by:
        return CostBreakdown(_sums(total), [])
    # What is left of a difference of two rollups may be a group of nothing at all.
    listed = [CostGroup(key, _sums(sums)) for key, sums in groups.items() if any(sums)]
    time_at = next((index for index, group in enumerate(group_by) if group in TIME_UNITS), None)
    listed.sort(key=lambda group: _order(group, time_at))
    return CostBreakdown(_sums(total), listed)


def _entity_labels(
    facets: Sequence[str], found: set[tuple[str | None, ...]]
) -> dict[tuple[str, str | None], str | None]:
    """Keys of the entities whose numbers are values of ``entity:`` facets."""
    numbers = {
        (facet, values[index])
        for index, facet in enumerate(facets)
        if facet.startswith(ENTITY)
        for values in found
        if values[index] is not None
    }
    if not numbers:
        return {}
    keys = dict(
        Entity.objects.filter(pk__in={int(number) for _, number in numbers if number}).values_list(
            "pk", "key"
        )
    )
    return {(facet, number): keys.get(int(number)) for facet, number in numbers if number}


def _order(group: CostGroup, time_at: int | None) -> tuple[Any, ...]:
    period = "" if time_at is None else group.key[time_at] or ""
    return period, -group.sums.amount, tuple(label or "" for label in group.key)


def _sums(values: Sequence[int]) -> CostSums:
    # PostgreSQL sums wider than SQLite: the answer has the same bounds on both.
    if max(values) > MAX_NANO:
        raise too_large()
    return CostSums(values[0], values[1], values[2], tuple(values[3:]))
