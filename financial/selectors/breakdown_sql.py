"""The statements behind a breakdown: sums from rollups, or from ledger rows where no rollup has them.

Every name in these texts is a constant of this module or a number; values are parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DatabaseError, connection

from agent_factory_site.common.errors import Invalid
from financial.domain.ranges import QUARTERS, Segment, TimeUnit, neighbours, unit_seconds
from financial.models.cost_event import USAGE_FIELDS

MEASURES: Final = ("events", "unpriced", "base_amount", *USAGE_FIELDS)
_ROLLUP_SUMS: Final = ", ".join(f"SUM(r.{name})" for name in MEASURES)
_SUMS_AS: Final = ", ".join(f"SUM(r.{name}) AS {name}" for name in MEASURES)
_GIVEN: Final = ", ".join(f"r.{name}" for name in MEASURES)
_TAKEN: Final = ", ".join(f"-r.{name} AS {name}" for name in MEASURES)
_ROW_SUMS: Final = ", ".join(
    ("SUM(CASE WHEN e.kind = 'charge' THEN 1 ELSE 0 END)", "SUM(e.unpriced)", "SUM(e.base_amount)")
    + tuple(f"SUM(e.{name})" for name in USAGE_FIELDS)
)
_TABLES: Final = {
    "quarter": ("financial_costrollupquarter", "financial_costfacetrollupquarter"),
    "day": ("financial_costrollupday", "financial_costfacetrollupday"),
}
_BUCKET_SECONDS: Final = {"quarter": 900, "day": 86_400}
_SERIES_COLUMNS: Final = ("cost_type", "provider", "model")


@dataclass(slots=True)
class Clause:
    """A piece of SQL and its parameters."""

    sql: str
    values: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sums:
    """One line of an answer: number of the period, series, value of the facet, and the measures."""

    period: int
    series: int
    facet: str | None
    measures: Sequence[int]


def too_large() -> Invalid:
    """The refusal of a sum that no column could hold."""
    return Invalid("sum_too_large", "This sum does not fit 64 bits; ask for a shorter range.")


def series_clause(filters: Mapping[str, Sequence[str]], alias: str) -> Clause:
    """``AND`` the series is among those with these names; empty without filters."""
    parts: list[str] = []
    values: list[Any] = []
    for name in _SERIES_COLUMNS:
        if wanted := filters.get(name):
            parts.append(f"{name} IN ({', '.join(['%s'] * len(wanted))})")
            values.extend(wanted)
    if not parts:
        return Clause("")
    chosen = f"SELECT id FROM financial_costseries WHERE {' AND '.join(parts)}"  # noqa: S608
    return Clause(f" AND {alias}.series_id IN ({chosen})", values)


def run(sql: str, values: Sequence[Any]) -> list[Sums]:
    """The lines of an answer, without the one of nulls that a stretch without rows gives."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found = cursor.fetchall()
    except DatabaseError as error:
        if "integer overflow" in str(error):
            raise too_large() from error
        raise
    return [
        Sums(int(period), series, None if facet is None else str(facet), [int(value) for value in measures])
        for period, series, facet, *measures in found
        if measures[0] is not None
    ]


def rollup_sums(
    segment: Segment,
    owner: Clause,
    *,
    facet: str = "",
    unit: TimeUnit | None,
    by_series: bool,
    filters: Mapping[str, Sequence[str]],
) -> list[Sums]:
    """Sums from the rollups of the segment's level.

    ``owner`` selects the rows of the rollup ``r``; ``facet`` is the column that tells the facet, or
    empty; a facet of the facet rollups is read from these.
    """
    if segment.level == "local_day":
        return _local_day_sums(segment, owner, facet, by_series=by_series, filters=filters)
    table = _table(segment.level, owner)
    period = "0"
    if unit is not None:
        seconds = f"CAST(r.bucket AS bigint) * {_BUCKET_SECONDS[segment.level]} + {segment.offset}"
        period = f"({seconds}) / {unit_seconds(unit)}"
    chosen = series_clause(filters, "r")
    sql = (
        f"SELECT {period}, {'r.series_id' if by_series else '0'}, {facet or 'NULL'}, {_ROLLUP_SUMS} "  # noqa: S608
        f"FROM {table} r WHERE r.bucket >= %s AND r.bucket < %s AND {owner.sql}{chosen.sql} GROUP BY 1, 2, 3"
    )
    return run(sql, [*segment.buckets, *owner.values, *chosen.values])


def _table(level: str, owner: Clause) -> str:
    plain, faceted = _TABLES[level]
    return faceted if "dimension_id" in owner.sql else plain


def _local_day_sums(
    segment: Segment, owner: Clause, facet: str, *, by_series: bool, filters: Mapping[str, Sequence[str]]
) -> list[Sums]:
    """UTC days, less what of each belongs to a neighbour, and what of the neighbours belongs to each.

    One statement, because what is taken and what it is taken from have to be of one moment.
    """
    first, last = segment.local_days
    other = neighbours(segment.offset)
    days, quarters = _table("day", owner), _table("quarter", owner)
    own, lent = first - other.number, first - other.number - other.step
    count = last - first
    chosen = series_clause(filters, "r")
    condition = owner.sql + chosen.sql
    names = f"{'r.series_id' if by_series else '0'} AS series, {facet or 'NULL'} AS facet"
    part = (
        f"SELECT d.day, {names}, {_SUMS_AS} "  # noqa: S608
        f"FROM {_day_by_day(quarters, min(own, lent), count + 1, other.part, condition)} GROUP BY 1, 2, 3"
    )
    whole = (
        f"SELECT r.bucket + {other.number} AS period, {names}, {_GIVEN} FROM {days} r "  # noqa: S608
        f"WHERE r.bucket >= {own} AND r.bucket < {own + count} AND {condition}"
    )
    taken = (
        f"SELECT r.day + {other.number}, r.series, r.facet, {_TAKEN} FROM part r "  # noqa: S608
        f"WHERE r.day >= {own} AND r.day < {own + count}"
    )
    given = (
        f"SELECT r.day + {other.number + other.step}, r.series, r.facet, {_GIVEN} FROM part r "  # noqa: S608
        f"WHERE r.day >= {lent} AND r.day < {lent + count}"
    )
    sql = (
        f"WITH part AS ({part}) SELECT r.period, r.series, r.facet, {_ROLLUP_SUMS} "  # noqa: S608
        f"FROM ({whole} UNION ALL {taken} UNION ALL {given}) r GROUP BY 1, 2, 3"
    )
    return run(sql, [*owner.values, *chosen.values] * 2)


def _day_by_day(table: str, first: int, count: int, part: tuple[int, int], condition: str) -> str:
    """The rows ``r`` of some quarter hours of each of so many days ``d``: a short stretch of the index for each."""
    within = f"r.bucket >= d.day * {QUARTERS} + {part[0]} AND r.bucket < d.day * {QUARTERS} + {part[1]}"
    last = first + count - 1
    # Both forms are taken as they are written, the days first.
    if connection.vendor == "sqlite":
        numbers = f"SELECT {first} UNION ALL SELECT day + 1 FROM n WHERE day < {last}"  # noqa: S608
        days = f"(WITH RECURSIVE n(day) AS ({numbers}) SELECT day FROM n) d"  # noqa: S608
        return f"{days} CROSS JOIN {table} r WHERE {within} AND {condition}"
    rows = f"SELECT * FROM {table} r WHERE {within} AND {condition} OFFSET 0"  # noqa: S608
    return f"generate_series({first}, {last}) AS d(day) CROSS JOIN LATERAL ({rows}) r"


def row_sums(
    segment: Segment,
    source: Clause,
    *,
    facet: Clause,
    conditions: Clause,
    unit: TimeUnit | None,
    by_series: bool,
    filters: Mapping[str, Sequence[str]],
) -> list[Sums]:
    """Sums from ledger rows ``e`` of ``source``, for what rollups do not have."""
    start, end = (connection.ops.adapt_datetimefield_value(moment) for moment in segment.instants)
    chosen = series_clause(filters, "e")
    sql = (
        f"SELECT {period_of_row(segment, unit)}, {'e.series_id' if by_series else '0'}, {facet.sql}, "  # noqa: S608
        f"{_ROW_SUMS} FROM {source.sql} WHERE e.occurred_at >= %s AND e.occurred_at < %s"
        f"{conditions.sql}{chosen.sql} GROUP BY 1, 2, 3"
    )
    return run(sql, [*facet.values, *source.values, start, end, *conditions.values, *chosen.values])


def period_of_row(segment: Segment, unit: TimeUnit | None) -> str:
    """The number of the local hour or day of a ledger row."""
    if unit is None:
        return "0"
    if connection.vendor == "sqlite":
        seconds = "CAST(strftime('%%s', e.occurred_at) AS INTEGER)"
    else:
        seconds = "CAST(FLOOR(EXTRACT(EPOCH FROM e.occurred_at)) AS bigint)"
    return f"({seconds} + {segment.offset}) / {unit_seconds(unit)}"


def rows_of(entity: int | None) -> Clause:
    """The ledger rows that an entity sees; None for the fleet."""
    if entity is None:
        return Clause("financial_costevent e")
    return Clause(
        "financial_costattribution a JOIN financial_costevent e "
        "ON e.id = a.event AND e.occurred_at = a.occurred_at AND a.entity_id = %s",
        [entity],
    )


def entity_of_row(kind: str) -> Clause:
    """The number of the entity of type ``kind`` that a ledger row is attributed to, as text."""
    return Clause(
        "(SELECT CAST(f.entity_id AS varchar) FROM financial_costattribution f JOIN common_entity n "
        "ON n.id = f.entity_id WHERE f.event = e.id AND n.type = %s)",
        [kind],
    )


def tag_of_row(key: str) -> Clause:
    """The value of a ledger row's tag."""
    if connection.vendor == "sqlite":
        # The path is matched against the JSON text of the name, which a quote or backslash would break.
        return Clause("(SELECT t.value FROM json_each(e.tags) t WHERE t.key = %s)", [key])
    return Clause("(e.tags ->> %s)", [key])
