"""Reading and writing rows of buckets, many at once, the same on both databases.

Whoever writes here holds the lock of the indicator (see ``sli_lock``): what is read stays true until it is
written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from django.db import connection

from agent_factory_site.common.db.prepared import Asked, ask_all
from operations.slo.domain.counts import COUNT_FIELDS
from operations.slo.domain.histogram import EMPTY, Histogram, decode
from operations.slo.models import Bucket

Place = tuple[int, int]
"""A series and the number of a bucket."""
Numbers = tuple[int, ...]
"""In the order of ``COUNT_FIELDS``."""
Row = tuple[Numbers, Histogram]

CHUNK: Final = 2000
ZEROS: Final[Numbers] = (0,) * len(COUNT_FIELDS)
NO_ROW: Final[Row] = (ZEROS, EMPTY)
_COLUMNS: Final = ("series_id", "bucket", *COUNT_FIELDS, "histogram")
_TYPES: Final = {"series_id": "int4", "bucket": "int4", "histogram": "bytea"}

# What this process wrote it most often reads next: unpacking takes more time than the rest of a row.
_recent: dict[bytes, Histogram] = {}
_MOST_RECENT: Final = 4096


def _encoded(histogram: Histogram) -> bytes | None:
    if not histogram:
        return None
    data = histogram.encode()
    if len(_recent) >= _MOST_RECENT:
        _recent.clear()
    _recent[data] = histogram
    return data


def _decoded(data: bytes | memoryview | None) -> Histogram:
    if not data:
        return EMPTY
    text = bytes(data)
    return _recent.get(text) or decode(text)


def read_rows(tier: type[Bucket], places: Iterable[Place]) -> dict[Place, Row]:
    """The rows that there are at ``places``."""
    return read_tiers([(tier, places)])[0]


def read_tiers(wanted: Sequence[tuple[type[Bucket], Iterable[Place]]]) -> list[dict[Place, Row]]:
    """The rows that there are at the places of each tier; on PostgreSQL asked in one message."""
    found: list[dict[Place, Row]] = [{} for _ in wanted]
    asked: list[tuple[int, Asked]] = []
    for number, (tier, places) in enumerate(wanted):
        some = list(places)
        asked += [(number, _asked(tier, some[start : start + CHUNK])) for start in range(0, len(some), CHUNK)]
    if asked:
        for (number, _), rows in zip(asked, ask_all(*(one for _, one in asked)), strict=True):
            for row in rows:
                found[number][row[0], row[1]] = (row[2:-1], _decoded(row[-1]))
    return found


def _asked(tier: type[Bucket], places: Sequence[Place]) -> Asked:
    columns = ", ".join(f"t.{name}" for name in _COLUMNS)
    # Whole numbers of the program's own, which need no quoting.
    keys = ", ".join([f"({series:d},{bucket:d})" for series, bucket in places])
    return Asked(
        f"WITH k(series, bucket) AS (VALUES {keys}) SELECT {columns} FROM k"  # noqa: S608
        f" JOIN {tier._meta.db_table} t ON t.series_id = k.series AND t.bucket = k.bucket"
    )


def write_rows(tier: type[Bucket], rows: Mapping[Place, Row]) -> None:
    """Put ``rows`` in the place of those that there are; one without events is removed."""
    write_tiers([(tier, rows)])


def write_tiers(tiers: Sequence[tuple[type[Bucket], Mapping[Place, Row]]]) -> None:
    """:func:`write_rows` of several tiers; on PostgreSQL in one message."""
    names = ", ".join(_COLUMNS)
    changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])
    conflict = f" ON CONFLICT (series_id, bucket) DO UPDATE SET {changes}"
    together: list[str] = []
    parameters: list[list[Any]] = []
    with connection.cursor() as cursor:
        for tier, rows in tiers:
            table = tier._meta.db_table
            kept = [
                (*place, *numbers, _encoded(histogram))
                for place, (numbers, histogram) in sorted(rows.items())
                if numbers[1]
            ]
            gone = [place for place, (numbers, _) in sorted(rows.items()) if not numbers[1]]
            if kept and connection.vendor == "postgresql":
                arrays = ", ".join(f"%s::{_TYPES.get(name, 'int8')}[]" for name in _COLUMNS)
                together.append(f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays}){conflict}")  # noqa: S608
                parameters += [list(column) for column in zip(*kept)]
            elif kept:
                marks = ", ".join(["%s"] * len(_COLUMNS))
                cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks}){conflict}", kept)  # noqa: S608
            if gone:
                cursor.executemany(f"DELETE FROM {table} WHERE series_id = %s AND bucket = %s", gone)  # noqa: S608
        if together:
            cursor.execute("; ".join(together), parameters)


def range_rows(tier: type[Bucket], series: Iterable[int], start: int, end: int) -> dict[Place, Row]:
    """The rows of ``series`` with ``start <= bucket < end``."""
    found: dict[Place, Row] = {}
    some = sorted(series)
    for first in range(0, len(some), CHUNK):
        rows = tier._default_manager.filter(
            series_id__in=some[first : first + CHUNK], bucket__gte=start, bucket__lt=end
        )
        for row in rows.values_list(*_COLUMNS):
            found[row[0], row[1]] = (row[2:-1], _decoded(row[-1]))
    return found
