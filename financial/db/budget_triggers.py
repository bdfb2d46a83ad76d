"""Triggers on the budget table: every write renews the token under which processes keep budgets in memory.

Django's SQLite schema editor rebuilds a table to alter it and loses its triggers: a migration that
alters ``financial_budget`` repeats the operation afterwards.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.migrations.operations.base import Operation

TABLE: Final = "financial_budget"
NOTICE: Final = "financial_budget_noticed"
_VERBS: Final = ("INSERT", "UPDATE", "DELETE")


def install(vendor: str) -> list[str]:
    """Statements that put the triggers on the table; safe to run twice."""
    return [*remove(vendor), *(_SQLITE if vendor == "sqlite" else _POSTGRESQL)]


def remove(vendor: str) -> list[str]:
    """Statements that take them off."""
    if vendor == "sqlite":
        return [f'DROP TRIGGER IF EXISTS "{NOTICE}_{verb.lower()}"' for verb in _VERBS]
    return [f'DROP TRIGGER IF EXISTS "{NOTICE}" ON "{TABLE}"']


# No INSERT OR REPLACE: the conflict clause of the statement that fires a trigger overrides those inside.
_SQLITE: Final = [
    f"""
    CREATE TRIGGER "{NOTICE}_{verb.lower()}" AFTER {verb} ON "{TABLE}" BEGIN
        INSERT INTO financial_budgetrevision (id, token) SELECT 1, ''
            WHERE NOT EXISTS (SELECT 1 FROM financial_budgetrevision);
        UPDATE financial_budgetrevision SET token = lower(hex(randomblob(16)));
    END
    """  # noqa: S608 - no value from outside stands in it
    for verb in _VERBS
]

_POSTGRESQL: Final = [
    f"""
    CREATE OR REPLACE FUNCTION {NOTICE}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO financial_budgetrevision (id, token) VALUES (1, gen_random_uuid())
            ON CONFLICT (id) DO UPDATE SET token = excluded.token;
        RETURN NULL;
    END $$
    """,  # noqa: S608 - no value from outside stands in it
    f"""
    CREATE TRIGGER "{NOTICE}" AFTER INSERT OR UPDATE OR DELETE ON "{TABLE}" FOR EACH STATEMENT
    EXECUTE FUNCTION {NOTICE}()
    """,
]


class NoticeBudgets(Operation):
    """A migration operation: every write of a budget renews the revision."""

    reversible = True

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not change."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for statement in install(schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for statement in remove(schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return "Notice every write of a budget"
