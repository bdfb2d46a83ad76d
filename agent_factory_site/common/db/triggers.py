"""Triggers that keep a table append-only, for SQLite and PostgreSQL alike.

A migration lists ``AppendOnly("table")`` after the table's creation. Django's SQLite schema editor
rebuilds a table to alter it and loses its triggers: repeat the operation after such a change.
On PostgreSQL a partitioned table is guarded with all its partitions: row triggers reach them by
themselves, TRUNCATE triggers are put on each, so repeat the statements when a partition is made.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.operations.base import Operation

PREFIX: Final = "append_only_"
FUNCTION: Final = "common_refuse_change"

# SQLSTATE 23001 and SQLite's RAISE(ABORT) both reach Python as IntegrityError.
_FUNCTION_SQL: Final = f"""
CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '23001';
END
$$
"""


class TriggerSql(NamedTuple):
    """The statements of one change, per vendor."""

    sqlite: list[str]
    postgresql: list[str]


def append_only(table: str, removable: str = "", replaceable: str = "") -> TriggerSql:
    """Statements that make ``table`` refuse UPDATE and DELETE (and TRUNCATE); safe to run twice.

    ``removable`` is a condition on ``OLD`` under which SQLite lets a DELETE through; PostgreSQL has none,
    because partitions are dropped there. ``replaceable`` is one on ``OLD`` and ``NEW`` under which an UPDATE
    passes: the table then has to keep what stood there, by a trigger of its own.
    """
    drop = remove_append_only(table)
    passing = {"UPDATE": replaceable, "DELETE": removable}
    sqlite = [
        f'CREATE TRIGGER "{PREFIX}{verb.lower()}_{table}" BEFORE {verb} ON "{table}" '
        f"{f'WHEN NOT ({condition}) ' if condition else ''}"
        f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: {verb} refused'); END"
        for verb, condition in passing.items()
    ]
    refused = f"FOR EACH ROW %sEXECUTE FUNCTION {FUNCTION}()"
    verbs = "DELETE" if replaceable else "UPDATE OR DELETE"
    postgresql = [
        _FUNCTION_SQL,
        f'CREATE TRIGGER "{PREFIX}row_{table}" BEFORE {verbs} ON "{table}" {refused % ""}',
        guard_truncate(table),
    ]
    if replaceable:
        postgresql.append(
            f'CREATE TRIGGER "{PREFIX}update_{table}" BEFORE UPDATE ON "{table}" '
            f"{refused % f'WHEN (NOT ({replaceable})) '}"
        )
    return TriggerSql(drop.sqlite + sqlite, drop.postgresql + postgresql)


def guard_truncate(table: str) -> str:
    """PostgreSQL: ``table`` and each partition that it has now refuse TRUNCATE; safe to run twice."""
    return _on_each_part(
        table,
        f'CREATE OR REPLACE TRIGGER "{PREFIX}truncate_{table}" BEFORE TRUNCATE ON %s '
        f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()",
    )


def _on_each_part(table: str, statement: str) -> str:
    return (
        f"DO $$ DECLARE part regclass; BEGIN FOR part IN SELECT '\"{table}\"'::regclass "
        f"UNION SELECT relid FROM pg_partition_tree('\"{table}\"') "
        f"LOOP EXECUTE format('{statement}', part); END LOOP; END $$"
    )


def remove_append_only(table: str) -> TriggerSql:
    """Statements that lift the restriction again."""
    return TriggerSql(
        [f'DROP TRIGGER IF EXISTS "{PREFIX}{verb}_{table}"' for verb in ("update", "delete")],
        [
            f'DROP TRIGGER IF EXISTS "{PREFIX}row_{table}" ON "{table}"',
            f'DROP TRIGGER IF EXISTS "{PREFIX}update_{table}" ON "{table}"',
            _on_each_part(table, f'DROP TRIGGER IF EXISTS "{PREFIX}truncate_{table}" ON %s'),
        ],
    )


def append_only_tables(connection: BaseDatabaseWrapper) -> set[str]:
    """The tables that are append-only in the database as it stands."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute(
                "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
                "WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'"
            )
        names: dict[str, set[str]] = {}
        for table, name in cursor.fetchall():
            names.setdefault(table, set()).add(name)
    kinds = ("update", "delete") if connection.vendor == "sqlite" else ("row", "truncate")
    return {table for table, found in names.items() if {f"{PREFIX}{kind}_{table}" for kind in kinds} <= found}


class AppendOnly(Operation):
    """A migration operation: ``table`` refuses UPDATE and DELETE from here on (see :func:`append_only`)."""

    reversible = True

    def __init__(self, table: str, removable: str = "", replaceable: str = "") -> None:
        self.table = table
        self.conditions = {"removable": removable, "replaceable": replaceable}

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.table], {key: said for key, said in self.conditions.items() if said}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not change."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._run(schema_editor, append_only(self.table, **self.conditions))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        self._run(schema_editor, remove_append_only(self.table))

    @staticmethod
    def _run(schema_editor: Any, sql: TriggerSql) -> None:
        for statement in getattr(sql, schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Make {self.table} append-only"

    @property
    def migration_name_fragment(self) -> str:
        return f"append_only_{self.table}"
