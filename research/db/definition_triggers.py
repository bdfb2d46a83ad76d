"""Triggers on what assignment depends on: every write renews the token under which processes keep definitions.

Django's SQLite schema editor rebuilds a table to alter it and loses its triggers: a migration that
alters one of these tables repeats the operation afterwards.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.migrations.operations.base import Operation

FUNCTION: Final = "research_definition_noticed"
_VERBS: Final = ("INSERT", "UPDATE", "DELETE")

_FUNCTION_SQL: Final = f"""
CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO research_definitionrevision (id, token) VALUES (1, gen_random_uuid())
        ON CONFLICT (id) DO UPDATE SET token = excluded.token;
    RETURN NULL;
END $$
"""  # noqa: S608 - no value from outside stands in it


def install(vendor: str, table: str) -> list[str]:
    """Statements that put the triggers on ``table``; safe to run twice."""
    if vendor == "sqlite":
        # No INSERT OR REPLACE: the conflict clause of the statement that fires a trigger overrides those inside.
        made = [
            f"""
            CREATE TRIGGER "{table}_noticed_{verb.lower()}" AFTER {verb} ON "{table}" BEGIN
                INSERT INTO research_definitionrevision (id, token) SELECT 1, ''
                    WHERE NOT EXISTS (SELECT 1 FROM research_definitionrevision);
                UPDATE research_definitionrevision SET token = lower(hex(randomblob(16)));
            END
            """  # noqa: S608 - no value from outside stands in it
            for verb in _VERBS
        ]
    else:
        made = [
            _FUNCTION_SQL,
            f'CREATE TRIGGER "{table}_noticed" AFTER INSERT OR UPDATE OR DELETE ON "{table}" '
            f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()",
        ]
    return [*remove(vendor, table), *made]


def remove(vendor: str, table: str) -> list[str]:
    """Statements that take them off."""
    if vendor == "sqlite":
        return [f'DROP TRIGGER IF EXISTS "{table}_noticed_{verb.lower()}"' for verb in _VERBS]
    return [f'DROP TRIGGER IF EXISTS "{table}_noticed" ON "{table}"']


class NoticeDefinitions(Operation):
    """A migration operation: every write of ``tables`` renews the revision of definitions."""

    reversible = True

    def __init__(self, tables: list[str]) -> None:
        self.tables = tables

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [self.tables], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not change."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for table in self.tables:
            for statement in install(schema_editor.connection.vendor, table):
                schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for table in self.tables:
            for statement in remove(schema_editor.connection.vendor, table):
                schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Notice every write of {', '.join(self.tables)}"

    @property
    def migration_name_fragment(self) -> str:
        return "notice_definitions"
