"""Emptying append-only tables between tests.

Django empties every table after a test that commits (``transactional_db``), which the triggers of
append-only tables refuse, as they should. The flush of a test database alone lifts them for its
duration; no setting or connection option of the application can.

PostgreSQL takes its time to TRUNCATE a hundred tables, because each gets new files for itself and its
indexes. Where the tests are a superuser and no table has grown, rows are deleted instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management.commands import flush
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.recorder import MigrationRecorder

from agent_factory_site.common.db.triggers import PREFIX, append_only_tables, remove_append_only
from financial.db import price_triggers

DERIVED = frozenset({"django_content_type", "auth_permission"})
# Past this a table is truncated, so that no test scans what dead rows of others left behind.
GROWN_BYTES = 256 * 1024

_STATE = """
SELECT current_setting('is_superuser') = 'on', max(pg_relation_size(oid)), array_agg(oid::regclass::text)
FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND NOT relname = ANY(%s)
"""
# The lock waits for what a killed process's session still writes, as TRUNCATE does.
_DELETE = """
DO $$
DECLARE part text;
BEGIN
    SET LOCAL session_replication_role = replica;
    LOCK TABLE {tables} IN EXCLUSIVE MODE;
    FOREACH part IN ARRAY string_to_array('{tables}', ', ') LOOP
        IF pg_relation_size(part) > 0 THEN
            EXECUTE 'DELETE FROM ' || part;
        END IF;
    END LOOP;
END $$
"""


@contextmanager
def append_only_lifted(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Within the block, append-only tables of this (test) database can be emptied."""
    connection = connections[using]
    tables = sorted(append_only_tables(connection))
    # Put back as they were: a trigger may have a condition of its own.
    written = _triggers(connection)

    def run(statements: Iterable[str]) -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    for table in tables:
        run(getattr(remove_append_only(table), connection.vendor))
    run(price_triggers.remove(connection.vendor))
    try:
        yield
    finally:
        run(written)
        run(price_triggers.install(connection.vendor))


def _triggers(connection: Any) -> list[str]:
    """The statements that made the append-only triggers; those of partitions come with their table's."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", [f"{PREFIX}%"]
            )
        else:
            cursor.execute(
                "SELECT pg_get_triggerdef(oid) FROM pg_trigger "
                "WHERE tgname LIKE %s AND NOT tgisinternal AND tgparentid = 0",
                [f"{PREFIX}%"],
            )
        return [sql for (sql,) in cursor.fetchall()]


def deleted_rows(connection: Any) -> bool:
    """Delete the rows of every table with triggers and foreign keys at rest; whether that could be done."""
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute(_STATE, [[*DERIVED, MigrationRecorder.Migration._meta.db_table]])
        superuser, size, tables = cursor.fetchone()
        if not superuser or size > GROWN_BYTES:
            return False
        cursor.execute(_DELETE.format(tables=", ".join(tables)))
    return True


@contextmanager
def flush_lifts_append_only() -> Iterator[None]:
    """Within the block, Django's ``flush`` empties append-only tables as well.

    Content types and permissions stay: they follow from the models, and writing them anew would
    take more time than the rest of the flush.
    """
    refused = flush.Command.handle

    def handle(self: flush.Command, **options: Any) -> None:
        if deleted_rows(connections[options["database"]]):
            return
        with append_only_lifted(options["database"]):
            refused(self, **options | {"inhibit_post_migrate": True})

    def sql_flush(style: Any, connection: Any, reset_sequences: bool, allow_cascade: bool) -> list[str]:
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        statements: list[str] = connection.ops.sql_flush(
            style,
            [table for table in tables if table not in DERIVED],
            reset_sequences=reset_sequences,
            allow_cascade=allow_cascade,
        )
        return statements

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush.Command, "handle", handle)
        patch.setattr(flush, "sql_flush", sql_flush)
        yield
