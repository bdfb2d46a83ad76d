"""Emptying append-only tables between tests.

Django empties every table after a test that commits (``transactional_db``), which the triggers of
append-only tables refuse, as they should. The flush of a test database alone lifts them for its
duration; no setting or connection option of the application can.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.management.commands import flush
from django.db import DEFAULT_DB_ALIAS, connections

from agent_factory_site.common.db.triggers import (
    PREFIX,
    TriggerSql,
    append_only,
    append_only_tables,
    remove_append_only,
)
from financial.db import price_triggers

DERIVED = frozenset({"django_content_type", "auth_permission"})


@contextmanager
def append_only_lifted(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Within the block, append-only tables of this (test) database can be emptied."""
    connection = connections[using]
    tables = sorted(append_only_tables(connection))
    # On SQLite put back as they were: a trigger may have a condition of its own.
    written = _sqlite_triggers(connection) if connection.vendor == "sqlite" else []

    def run(statements_of: Any, guard_of_prices: Any) -> None:
        with connection.cursor() as cursor:
            for table in tables:
                for statement in getattr(statements_of(table), connection.vendor):
                    cursor.execute(statement)
            for statement in guard_of_prices(connection.vendor):
                cursor.execute(statement)

    run(remove_append_only, price_triggers.remove)
    try:
        yield
    finally:
        if connection.vendor == "sqlite":
            run(
                lambda table: TriggerSql([sql for name, sql in written if name == table], []),
                price_triggers.install,
            )
        else:
            run(append_only, price_triggers.install)


def _sqlite_triggers(connection: Any) -> list[tuple[str, str]]:
    """Tables and statements of the append-only triggers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", [f"{PREFIX}%"]
        )
        return [(table, sql) for table, sql in cursor.fetchall()]


@contextmanager
def flush_lifts_append_only() -> Iterator[None]:
    """Within the block, Django's ``flush`` empties append-only tables as well.

    Content types and permissions stay: they follow from the models, and writing them anew would
    take more time than the rest of the flush.
    """
    refused = flush.Command.handle

    def handle(self: flush.Command, **options: Any) -> None:
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
