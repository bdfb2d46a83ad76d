"""Letting a higher revision of a result take the place of a lower one.

Runs in a transaction that holds the units' assignments locked, and with them every result that they have.
The table itself keeps what stood there before (``research/db/result_triggers.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

from agent_factory_site.common.db.bulk.sqlite import storable
from research.domain.result_input import ResultInput
from research.models import ResultEvent
from research.selectors.unit_streams import Unit

from .unit_sums import Revised

_SAID: Final = (
    "content", "value", "covariate", "judge_id", "occurred_at", "recorded_at", "audit", "revision"
)  # fmt: skip
_TYPES: Final = ("uuid", "float8", "float8", "bigint", "timestamptz", "timestamptz", "uuid", "int")


class Former(NamedTuple):
    """A result as it is stored."""

    key: UUID
    content: UUID
    source_id: int
    entity_id: int
    value: float | None
    revision: int

    def covers(self, result: ResultInput, content: UUID) -> bool:
        """Whether ``result`` says nothing that is not known, or was known and replaced."""
        return self.revision > result.revision or (
            self.revision == result.revision and self.content == content
        )

    def precedes(self, result: ResultInput, entity: int, source: int) -> bool:
        """Whether ``result`` may take the place of this one: a higher revision, of the same unit and source."""
        return result.revision > self.revision and (self.entity_id, self.source_id) == (entity, source)


class Newer(NamedTuple):
    """A revision on its way in: what it replaces, whose it is, from which source, and its row."""

    former: Former
    unit: Unit
    source: str
    row: dict[str, Any]


def replace_results(newer: Sequence[Newer]) -> list[Revised]:
    """Put each revision in the place of what it replaces; answer what changed."""
    rows = [(*(each.row[name] for name in _SAID), each.former.key) for each in newer]
    quote = connection.ops.quote_name
    table = quote(ResultEvent._meta.db_table)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            sets = ", ".join(f"{quote(name)} = %s" for name in _SAID)
            cursor.executemany(
                f"UPDATE {table} SET {sets} WHERE {quote('key')} = %s",  # noqa: S608
                storable((*_SAID, "key"), rows),
            )
        else:
            sets = ", ".join(f"{quote(name)} = new.{quote(name)}" for name in _SAID)
            arrays = ", ".join(f"%s::{type_}[]" for type_ in (*_TYPES, "uuid"))
            names = ", ".join(map(quote, (*_SAID, "key")))
            cursor.execute(
                f"UPDATE {table} SET {sets} FROM unnest({arrays}) AS new ({names}) "  # noqa: S608
                f"WHERE {table}.{quote('key')} = new.{quote('key')}",
                [list(column) for column in zip(*rows, strict=True)],
            )
    return [Revised(each.unit, each.source, each.former.value, each.row["value"]) for each in newer]
