"""What was spent: totals of an entity or the fleet, grouped by time, model, provider or cost type.

Sums come from the rollups, so that their cost does not grow with the events behind them; only the
quarter hours that a range cuts through are read from ledger rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, Literal

from django.db import DatabaseError, connection

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.money import MAX_NANO
from agent_factory_site.common.selectors.entities import FLEET, EntityName, find_entities
from financial.domain.ranges import Segment, TimeUnit, period_label, plan, unit_seconds
from financial.models.cost_event import USAGE_FIELDS

from .series import series_by_id

Dimension = Literal["cost_type", "provider", "model"]
GroupBy = TimeUnit | Dimension

TIME_UNITS: Final = ("hour", "day", "week", "month")
DIMENSIONS: Final = ("cost_type", "provider", "model")
GROUPS: Final = (*TIME_UNITS, *DIMENSIONS)

_MEASURES: Final = ("events", "unpriced", "base_amount", *USAGE_FIELDS)
_ROLLUP_SUMS: Final = ", ".join(f"SUM({name})" for name in _MEASURES)
_ROW_SUMS: Final = ", ".join(
    ("SUM(CASE WHEN e.kind = 'charge' THEN 1 ELSE 0 END)", "SUM(e.unpriced)", "SUM(e.base_amount)")
    + tuple(f"SUM(e.{name})" for name in USAGE_FIELDS)
)
_TABLES: Final = {"quarter": "financial_costrollupquarter", "day": "financial_costrollupday"}
_BUCKET_SECONDS: Final = {"quarter": 900, "day": 86_400}


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


def cost_breakdown(
    *,
    entity: EntityName = FLEET,
    start: datetime,
    end: datetime,
    group_by: Sequence[GroupBy] = (),
    zone: tzinfo,
    filters: Mapping[Dimension, Sequence[str]] | None = None,
) -> CostBreakdown:
    """The costs that ``entity`` saw in ``[start, end)``, in total and by ``group_by``.

    At most one of ``group_by`` may be a unit of time. Periods are those of ``zone``; only periods and
    groups with events appear: by time ascending first, then by amount descending.
    """
    number = find_entities([entity]).get(entity)
    if number is None:
        return CostBreakdown(NOTHING, [])
    unit: TimeUnit | None = next((group for group in group_by if group in TIME_UNITS), None)  # type: ignore[assignment]
    dimensions = [group for group in group_by if group in DIMENSIONS]
    reader = _Reader(
        number, fleet=entity == FLEET, unit=unit, by_series=bool(dimensions), filters=filters or {}
    )
    collected: dict[tuple[str | None, int], list[int]] = {}
    for segment in plan(start, end, zone, unit):
        for period, series, measures in reader.read(segment):
            sums = collected.setdefault((period, series), [0] * len(_MEASURES))
            for index, value in enumerate(measures):
                sums[index] += int(value)
    return _assemble(collected, group_by, dimensions)


class _Reader:
    def __init__(
        self,
        entity: int,
        *,
        fleet: bool,
        unit: TimeUnit | None,
        by_series: bool,
        filters: Mapping[Dimension, Sequence[str]],
    ) -> None:
        self.entity = entity
        self.fleet = fleet
        self.unit = unit
        self.by_series = by_series
        self.condition, self.values = _series_condition(filters)

    def read(self, segment: Segment) -> list[tuple[str | None, int, Sequence[Any]]]:
        """(period label, series or 0, measures) of each group in the segment."""
        sql, parameters = self._rows(segment) if segment.level == "rows" else self._rollup(segment)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                found = cursor.fetchall()
        except DatabaseError as error:
            if "integer overflow" in str(error):
                raise _too_large() from error
            raise
        return [
            (self._label(number, segment.offset), series, measures)
            for number, series, *measures in found
            # A stretch of rows without any answers one line of nulls.
            if measures[0] is not None
        ]

    def _label(self, number: int, offset: int) -> str | None:
        return None if self.unit is None else period_label(self.unit, int(number), offset)

    def _rollup(self, segment: Segment) -> tuple[str, list[Any]]:
        period = "0"
        if self.unit is not None:
            seconds = f"CAST(bucket AS bigint) * {_BUCKET_SECONDS[segment.level]} + {segment.offset}"
            period = f"({seconds}) / {unit_seconds(self.unit)}"
        series = "series_id" if self.by_series else "0"
        # Every name in this text is a constant of this module; values are parameters.
        sql = (
            f"SELECT {period}, {series}, {_ROLLUP_SUMS} FROM {_TABLES[segment.level]} "  # noqa: S608
            f"WHERE entity_id = %s AND bucket >= %s AND bucket < %s{self.condition} GROUP BY 1, 2"
        )
        return sql, [self.entity, *segment.buckets, *self.values]

    def _rows(self, segment: Segment) -> tuple[str, list[Any]]:
        start, end = segment.instants
        number = 0
        if self.unit is not None:
            number = (segment.start // 1_000_000 + segment.offset) // unit_seconds(self.unit)
        series = "e.series_id" if self.by_series else "0"
        source, parameters = "financial_costevent e", []
        if not self.fleet:
            source = (
                "financial_costattribution a JOIN financial_costevent e "
                "ON e.id = a.event AND e.occurred_at = a.occurred_at AND a.entity_id = %s"
            )
            parameters.append(self.entity)
        alias = "e" if self.fleet else "a"
        sql = (
            f"SELECT {number}, {series}, {_ROW_SUMS} FROM {source} "  # noqa: S608
            f"WHERE {alias}.occurred_at >= %s AND {alias}.occurred_at < %s{self.condition} GROUP BY 2"
        )
        convert = connection.ops.adapt_datetimefield_value
        return sql, [*parameters, convert(start), convert(end), *self.values]


def _series_condition(filters: Mapping[Dimension, Sequence[str]]) -> tuple[str, list[str]]:
    parts: list[str] = []
    values: list[str] = []
    for name in DIMENSIONS:
        wanted = filters.get(name)  # type: ignore[call-overload]
        if wanted:
            parts.append(f"{name} IN ({', '.join(['%s'] * len(wanted))})")
            values.extend(wanted)
    if not parts:
        return "", []
    chosen = f"SELECT id FROM financial_costseries WHERE {' AND '.join(parts)}"  # noqa: S608
    return f" AND series_id IN ({chosen})", values


def _assemble(
    collected: Mapping[tuple[str | None, int], list[int]],
    group_by: Sequence[GroupBy],
    dimensions: Sequence[str],
) -> CostBreakdown:
    names = series_by_id({series for _, series in collected}) if dimensions else {}
    groups: dict[tuple[str | None, ...], list[int]] = {}
    total = [0] * len(_MEASURES)
    for (period, series), sums in collected.items():
        key = tuple(
            period if group in TIME_UNITS else (getattr(names[series], group) or None) for group in group_by
        )
        group_sums = groups.setdefault(key, [0] * len(_MEASURES))
        for index, value in enumerate(sums):
            group_sums[index] += value
            total[index] += value
    if not group_by:
        return CostBreakdown(_sums(total), [])
    listed = [CostGroup(key, _sums(sums)) for key, sums in groups.items()]
    time_at = next((index for index, group in enumerate(group_by) if group in TIME_UNITS), None)
    listed.sort(key=lambda group: _order(group, time_at))
    return CostBreakdown(_sums(total), listed)


def _order(group: CostGroup, time_at: int | None) -> tuple[Any, ...]:
    period = "" if time_at is None else group.key[time_at] or ""
    return period, -group.sums.amount, tuple(label or "" for label in group.key)


def _too_large() -> Invalid:
    return Invalid("sum_too_large", "This sum does not fit 64 bits; ask for a shorter range.")


def _sums(values: Sequence[int]) -> CostSums:
    # PostgreSQL sums wider than SQLite: the answer has the same bounds on both.
    if max(values) > MAX_NANO:
        raise _too_large()
    return CostSums(values[0], values[1], values[2], tuple(values[3:]))
