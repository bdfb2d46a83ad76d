"""A result that a higher revision takes the place of is kept by the table itself, whoever writes.

Django's SQLite schema editor rebuilds a table to alter it and loses its triggers: a migration that
alters ``research_resultevent`` repeats the operation afterwards, and ``AppendOnly`` with ``REPLACEABLE``.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.migrations.operations.base import Operation

TABLE: Final = "research_resultevent"
FUNCTION: Final = "research_keep_former_result"
REPLACEABLE: Final = " AND ".join(
    [
        "NEW.revision > OLD.revision",
        *(
            f"NEW.{name} = OLD.{name}"
            for name in ("key", "event_id", "experiment_id", "source_id", "entity_id")
        ),
    ]
)
"""A higher revision of the same event, unit and source may stand in the place of a lower one."""

_KEPT: Final = (
    "INSERT INTO research_resultrevision (event_id, revision, content, value, covariate, judge_id, occurred_at, "
    "recorded_at, audit, replaced_at, replaced_by) VALUES (OLD.key, OLD.revision, OLD.content, OLD.value, "
    "OLD.covariate, OLD.judge_id, OLD.occurred_at, OLD.recorded_at, OLD.audit, NEW.recorded_at, NEW.audit);"
)


def install(vendor: str) -> list[str]:
    """Statements that put the trigger on the table; safe to run twice."""
    trigger = f'CREATE TRIGGER "{TABLE}_kept" AFTER UPDATE ON "{TABLE}"'
    if vendor == "sqlite":
        return [*remove(vendor), f"{trigger} BEGIN {_KEPT} END"]
    function = (
        f"CREATE OR REPLACE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {_KEPT} RETURN NULL; END $$"
    )
    return [*remove(vendor), function, f"{trigger} FOR EACH ROW EXECUTE FUNCTION {FUNCTION}()"]


def remove(vendor: str) -> list[str]:
    """Statements that take it off."""
    on = "" if vendor == "sqlite" else f' ON "{TABLE}"'
    return [f'DROP TRIGGER IF EXISTS "{TABLE}_kept"{on}']


class KeepFormerResults(Operation):
    """A migration operation: every UPDATE of a result keeps what it said before in ``ResultRevision``."""

    reversible = True

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return type(self).__name__, [], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """The models do not change."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for statement in install(schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        for statement in remove(schema_editor.connection.vendor):
            schema_editor.execute(statement, params=None)

    def describe(self) -> str:
        return f"Keep what rows of {TABLE} said before"
