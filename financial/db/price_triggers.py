"""Triggers on the price table: what was priced with stays as it was, and every write is noticed.

Django's SQLite schema editor rebuilds a table to alter it and loses its triggers: a migration that
alters ``financial_priceversion`` repeats the operation afterwards.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.migrations.operations.base import Operation

TABLE: Final = "financial_priceversion"
FROZEN: Final = (
    "id", "provider", "model", "service_tier", "source", "source_version", "catalogue_model", "currency",
    "valid_from", "daily_from", "daily_to", "rates", "created_at",
)  # fmt: skip
GUARD: Final = "financial_price_frozen"
KEPT: Final = "financial_price_kept"
NOTICE: Final = "financial_price_noticed"
_VERBS: Final = ("INSERT", "UPDATE")
_REFUSAL: Final = "a price version never changes or goes: end or archive it and write another"


def _changed(distinct: str) -> str:
    frozen = " OR ".join(f'OLD."{column}" {distinct} NEW."{column}"' for column in FROZEN)
    return f"{frozen} OR (OLD.archived_at IS NOT NULL AND OLD.archived_at {distinct} NEW.archived_at)"


def install(vendor: str) -> list[str]:
    """Statements that guard the price table; safe to run twice."""
    return [*remove(vendor), *(_SQLITE if vendor == "sqlite" else _POSTGRESQL)]


def remove(vendor: str) -> list[str]:
    """Statements that lift the guard."""
    if vendor == "sqlite":
        notices = [f"{NOTICE}_{verb.lower()}" for verb in _VERBS]
        return [f'DROP TRIGGER IF EXISTS "{name}"' for name in (GUARD, KEPT, *notices)]
    return [f'DROP TRIGGER IF EXISTS "{name}" ON "{TABLE}"' for name in (GUARD, KEPT, NOTICE)]


# No INSERT OR REPLACE: the conflict clause of the statement that fires a trigger overrides those inside.
_SQLITE: Final = [
    f"""
    CREATE TRIGGER "{GUARD}" BEFORE UPDATE ON "{TABLE}" WHEN {_changed("IS NOT")}
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
    """,
    f"""
    CREATE TRIGGER "{KEPT}" BEFORE DELETE ON "{TABLE}"
    BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
    """,
    *(
        f"""
        CREATE TRIGGER "{NOTICE}_{verb.lower()}" AFTER {verb} ON "{TABLE}" BEGIN
            INSERT INTO financial_pricerevision (id, token) SELECT 1, ''
                WHERE NOT EXISTS (SELECT 1 FROM financial_pricerevision);
            UPDATE financial_pricerevision SET token = lower(hex(randomblob(16)));
        END
        """  # noqa: S608 - no value from outside stands in it
        for verb in _VERBS
    ),
]

_POSTGRESQL: Final = [
    f"""
    CREATE OR REPLACE FUNCTION {GUARD}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = '23001'; END $$
    """,
    f"""
    CREATE OR REPLACE FUNCTION {NOTICE}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO financial_pricerevision (id, token) VALUES (1, gen_random_uuid())
            ON CONFLICT (id) DO UPDATE SET token = excluded.token;
        RETURN NULL;
    END $$
    """,  # noqa: S608 - no value from outside stands in it
    f"""
    CREATE TRIGGER "{GUARD}" BEFORE UPDATE ON "{TABLE}" FOR EACH ROW
    WHEN ({_changed("IS DISTINCT FROM")}) EXECUTE FUNCTION {GUARD}()
    """,
    f"""
    CREATE TRIGGER "{KEPT}" BEFORE DELETE ON "{TABLE}" FOR EACH ROW EXECUTE FUNCTION {GUARD}()
    """,
    f"""
    CREATE TRIGGER "{NOTICE}" AFTER INSERT OR UPDATE ON "{TABLE}" FOR EACH STATEMENT
    EXECUTE FUNCTION {NOTICE}()
    """,
]


class GuardPrices(Operation):
    """A migration operation: price versions stay as written, and every write renews the revision."""

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
        return "Guard price versions against change"
