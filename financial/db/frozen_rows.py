"""Triggers on tables of dated facts: a row stays as written but for the few columns that end or annotate it.

Django's SQLite schema editor rebuilds a table to alter it and loses its triggers: a migration that
alters such a table repeats the operation afterwards.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.migrations.operations.base import Operation

FUNCTION: Final = "financial_refuse_change"

_FUNCTION_SQL: Final = f"""
CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = '23001'; END $$
"""


def _changed(columns: list[str], distinct: str) -> str:
    frozen = " OR ".join(f'OLD."{column}" {distinct} NEW."{column}"' for column in columns)
    return f"{frozen} OR (OLD.archived_at IS NOT NULL AND OLD.archived_at {distinct} NEW.archived_at)"


def install(vendor: str, table: str, columns: list[str], refusal: str) -> list[str]:
    """Statements that keep ``columns`` of ``table`` and its rows; safe to run twice."""
    frozen, kept = f"{table}_frozen", f"{table}_kept"
    if vendor == "sqlite":
        refuse = f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        made = [
            f'CREATE TRIGGER "{frozen}" BEFORE UPDATE ON "{table}" WHEN {_changed(columns, "IS NOT")} {refuse}',
            f'CREATE TRIGGER "{kept}" BEFORE DELETE ON "{table}" {refuse}',
        ]
    else:
        refuse = f"EXECUTE FUNCTION {FUNCTION}('{refusal}')"
        made = [
            _FUNCTION_SQL,
            f'CREATE TRIGGER "{frozen}" BEFORE UPDATE ON "{table}" FOR EACH ROW '
            f"WHEN ({_changed(columns, 'IS DISTINCT FROM')}) {refuse}",
            f'CREATE TRIGGER "{kept}" BEFORE DELETE ON "{table}" FOR EACH ROW {refuse}',
        ]
    return [*remove(vendor, table), *made]


def remove(vendor: str, table: str) -> list[str]:
    """Statements that lift the guard."""
    names = (f"{table}_frozen", f"{table}_kept")
    return [
        f'DROP TRIGGER IF EXISTS "{name}"' + ("" if vendor == "sqlite" else f' ON "{table}"')
        for name in names
    ]


class FreezeRows(Operation):
    """A migration operation: ``columns`` of ``table`` and ``archived_at``, once set, never change; no row goes."""

    reversible = True

    def __init__(self, table: str, columns: list[str], refusal: str) -> None:
        self.table, self.columns, self.refusal = table, columns, refusal

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.table, self.columns, self.refusal], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not change."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        vendor = schema_editor.connection.vendor
        for statement in install(vendor, self.table, self.columns, self.refusal):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for statement in remove(schema_editor.connection.vendor, self.table):
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Guard {self.table} against change"

    @property
    def migration_name_fragment(self) -> str:
        return f"freeze_{self.table}"
