"""Summing the days that were stored before there were blocks; what the migration that makes them runs."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from operations.slo.domain.counts import COUNT_FIELDS
from operations.slo.domain.histogram import decode, merge

DAYS: Final = 32
_AT_ONCE: Final = 1000


def fill_blocks(apps: Any, schema_editor: Any) -> None:
    """Write the block of every series that has days; the table of blocks is empty."""
    block, day = (apps.get_model("operations", name) for name in ("SloBlock", "SloDay"))
    connection = schema_editor.connection
    names = ", ".join(COUNT_FIELDS)
    sums = ", ".join(f"sum({name})" for name in COUNT_FIELDS)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {block._meta.db_table} (series_id, bucket, {names})"  # noqa: S608
            f" SELECT series_id, bucket / {DAYS}, {sums} FROM {day._meta.db_table} GROUP BY 1, 2"
        )
    days = day._default_manager.using(connection.alias).filter(histogram__isnull=False)
    rows = days.order_by("series_id", "bucket").values_list("series_id", "bucket", "histogram")
    written: list[tuple[bytes, int, int]] = []
    for (series, bucket), some in groupby(
        rows.iterator(chunk_size=_AT_ONCE), key=lambda row: (row[0], row[1] // DAYS)
    ):
        written.append((merge(decode(bytes(data)) for *_, data in some).encode(), series, bucket))
    with connection.cursor() as cursor:
        update = f"UPDATE {block._meta.db_table} SET histogram = %s WHERE series_id = %s AND bucket = %s"  # noqa: S608
        for start in range(0, len(written), _AT_ONCE):
            cursor.executemany(update, written[start : start + _AT_ONCE])
