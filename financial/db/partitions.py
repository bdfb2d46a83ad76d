"""The monthly partitions of the ledger on PostgreSQL (docs/decisions/0010-monthly-partitions.md).

``financial_costevent`` and ``financial_costattribution`` are partitioned by ``occurred_at`` into UTC
months and a default partition. Every function here wants PostgreSQL and the caller's transaction.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from agent_factory_site.common.db.triggers import guard_truncate

EVENTS: Final = "financial_costevent"
ATTRIBUTIONS: Final = "financial_costattribution"
KEYS: Final = "financial_costeventkey"
# In the order in which writers lock them.
TABLES: Final = (EVENTS, ATTRIBUTIONS)
PRIMARY_KEYS: Final = {EVENTS: "id, occurred_at", ATTRIBUTIONS: "entity_id, occurred_at, event"}
_NAME: Final = re.compile(r"_(\d{4})_(\d{2})\Z")


def next_month(month: datetime) -> datetime:
    """The beginning of the UTC month after the one that begins at ``month``."""
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def month_of(moment: datetime) -> datetime:
    """The beginning of the UTC month of ``moment``."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def partition_name(table: str, month: datetime) -> str:
    """``financial_costevent_2026_10``."""
    return f"{table}_{month:%Y_%m}"


def default_name(table: str) -> str:
    """The partition of months that have none of their own."""
    return f"{table}_default"


def is_partitioned(cursor: Any) -> bool:
    """Whether the ledger has partitions."""
    cursor.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", [EVENTS])
    return bool(cursor.fetchone()[0] == "p")


def lock_writers(cursor: Any) -> None:
    """Wait for the batches that are being recorded, and hold the next ones off until the commit."""
    cursor.execute(f"LOCK TABLE {KEYS} IN SHARE ROW EXCLUSIVE MODE")


def lock_ledger(cursor: Any) -> None:
    """Hold everybody off the ledger rows until the commit."""
    lock_writers(cursor)
    cursor.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")


def partition_ledger(cursor: Any) -> None:
    """Turn both tables into partitioned ones, in place: what is there becomes the default partition."""
    if is_partitioned(cursor):
        return
    lock_ledger(cursor)
    for table in TABLES:
        _partition(cursor, table)


def months_present(cursor: Any) -> set[datetime]:
    """The months with a partition of their own."""
    cursor.execute(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = %s::regclass",
        [EVENTS],
    )
    found = (_NAME.search(name) for (name,) in cursor.fetchall())
    return {datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC) for match in found if match}


def months_in_default(cursor: Any) -> set[datetime]:
    """The months of the rows in the default partitions."""
    months: set[datetime] = set()
    for table in TABLES:
        months |= _months_in(cursor, default_name(table))
    return months


def make_partitions(cursor: Any, months: list[datetime]) -> None:
    """Make the partitions of ``months``, and move there what the default partitions hold of them.

    Wants :func:`lock_ledger`. A default partition with rows is replaced by a new one and copied, so
    that no row needs to be deleted.
    """
    for table in TABLES:
        _make(cursor, table, months)


def drop_partition(cursor: Any, month: datetime) -> None:
    """Detach the partitions of ``month`` and drop them. Wants :func:`lock_ledger`."""
    for table in TABLES:
        name = partition_name(table, month)
        cursor.execute(f"ALTER TABLE {table} DETACH PARTITION {name}; DROP TABLE {name}")


def _months_in(cursor: Any, table: str) -> set[datetime]:
    months: set[datetime] = set()
    cursor.execute(f"SELECT MIN(occurred_at) FROM {table}")  # noqa: S608 - our own names
    (first,) = cursor.fetchone()
    # From month to month by the index, however many rows there are.
    while first is not None:
        month = month_of(first)
        months.add(month)
        cursor.execute(
            f"SELECT MIN(occurred_at) FROM {table} WHERE occurred_at >= %s",  # noqa: S608
            [next_month(month)],
        )
        (first,) = cursor.fetchone()
    return months


def _partition(cursor: Any, table: str) -> None:
    cursor.execute(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() AND tablename = %s "
        "AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE contype = 'p')",
        [table],
    )
    indexes = [definition for (definition,) in cursor.fetchall()]
    cursor.execute(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
        [table],
    )
    triggers = [definition for (definition,) in cursor.fetchall()]
    cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [table])
    for (name,) in cursor.fetchall():
        cursor.execute(f'DROP TRIGGER "{name}" ON {table}')
    default = default_name(table)
    cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    cursor.execute(f"ALTER TABLE {table} RENAME TO {default}")
    cursor.execute(
        "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND tablename = %s", [default]
    )
    for (name,) in cursor.fetchall():
        cursor.execute(f'ALTER INDEX "{name}" RENAME TO "{name}_default"')
    cursor.execute(
        f"CREATE TABLE {table} (LIKE {default} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE) "
        "PARTITION BY RANGE (occurred_at)"
    )
    cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({PRIMARY_KEYS[table]})")
    for definition in indexes:
        cursor.execute(definition)
    # The indexes that the rows have already are taken over; only the primary key is built anew.
    cursor.execute(f"ALTER TABLE {table} ATTACH PARTITION {default} DEFAULT")
    for definition in triggers:
        cursor.execute(definition)
    cursor.execute(guard_truncate(table))


def _make(cursor: Any, table: str, months: list[datetime]) -> None:
    default = default_name(table)
    moving = f"{table}_moving"
    has_rows = bool(_months_in(cursor, default) & set(months))
    if has_rows:
        cursor.execute(
            f"ALTER TABLE {table} DETACH PARTITION {default}; ALTER TABLE {default} RENAME TO {moving}; "
            f"CREATE TABLE {default} PARTITION OF {table} DEFAULT"
        )
    for month in months:
        cursor.execute(
            f"CREATE TABLE {partition_name(table, month)} PARTITION OF {table} "
            f"FOR VALUES FROM ('{month:%Y-%m-%d} 00:00:00+00') TO ('{next_month(month):%Y-%m-%d} 00:00:00+00')"
        )
    if has_rows:
        cursor.execute(f"INSERT INTO {table} SELECT * FROM {moving}")  # noqa: S608
        cursor.execute(f"DROP TABLE {moving}")
    cursor.execute(guard_truncate(table))
