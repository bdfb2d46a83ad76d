"""Writing the values of many units in one statement, over what stood there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django.db import connection

from agent_factory_site.common.db.bulk import Insert
from agent_factory_site.common.db.bulk.sqlite import storable
from research.models import UnitMetric

KEYS: Final = ("source_id", "entity_id")
TYPES: Final = {
    "source_id": "bigint",
    "entity_id": "bigint",
    "phase_id": "bigint",
    "variant_id": "bigint",
    "count": "bigint",
    "total": "float8",
    "total_rest": "float8",
    "largest": "float8",
    "last": "float8",
    "last_at": "timestamptz",
    "last_event": "text",
    "covariate": "float8",
    "covariate_at": "timestamptz",
    "covariate_event": "text",
}
COLUMNS: Final = tuple(TYPES)
FEW: Final = 7
"""So many rows go in one message with what else is written."""


def few_unit_rows(rows: Sequence[Sequence[Any]]) -> Insert:
    """:func:`put_unit_rows` of at most ``FEW`` rows, for who writes them together with others."""
    return Insert(UnitMetric._meta.db_table, COLUMNS, rows, KEYS)


def drop_unit_rows(keys: Sequence[tuple[int, int]]) -> None:
    """Delete the rows of units (source and entity) that have no value any more, locked by the caller."""
    by_source: dict[int, list[int]] = {}
    for source, entity in keys:
        by_source.setdefault(source, []).append(entity)
    for source, entities in sorted(by_source.items()):
        rows = UnitMetric.objects.filter(source=source, entity__in=entities)
        rows._raw_delete(rows.db)


def put_unit_rows(rows: Sequence[Sequence[Any]]) -> None:
    """Insert or replace ``rows``, values in the order of ``COLUMNS``; their units are locked by the caller."""
    if not rows:
        return
    quote = connection.ops.quote_name
    table, names = quote(UnitMetric._meta.db_table), ", ".join(map(quote, COLUMNS))
    sets = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in COLUMNS if name not in KEYS)
    tail = f"ON CONFLICT ({', '.join(KEYS)}) DO UPDATE SET {sets}"
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            marks = ", ".join(["%s"] * len(COLUMNS))
            cursor.executemany(
                f"INSERT INTO {table} ({names}) VALUES ({marks}) {tail}",  # noqa: S608
                storable(COLUMNS, rows),
            )
            return
        arrays = ", ".join(f"%s::{type_}[]" for type_ in TYPES.values())
        cursor.execute(
            f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}) {tail}",  # noqa: S608
            [list(column) for column in zip(*rows, strict=True)],
        )
