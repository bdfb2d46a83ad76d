"""Finding ledger rows by a tag, the same on both databases and for any name of a tag."""

from __future__ import annotations

from typing import Any

from django.db.models import BooleanField, F, Func, QuerySet, Value

from financial.models import CostEvent


class TagIs(Func):
    """Whether the JSON object in a column holds a key with a text value."""

    output_field = BooleanField()

    def __init__(self, column: str, key: str, value: str) -> None:
        super().__init__(F(column), Value(key), Value(value))

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        # Not a JSON path, which takes a key of digits for a place in an array and knows no quotes.
        return self._written(compiler, "EXISTS (SELECT 1 FROM json_each({}) WHERE key = {} AND value = {})")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, list[Any]]:
        return self._written(compiler, "(({}) ->> ({})::text) = {}")

    def _written(self, compiler: Any, template: str) -> tuple[str, list[Any]]:
        parts = [compiler.compile(expression) for expression in self.get_source_expressions()]
        params = [param for _, params in parts for param in params]
        return template.format(*(sql for sql, _ in parts)), params


def with_tag(events: QuerySet[CostEvent], key: str, value: str) -> QuerySet[CostEvent]:
    """Those of ``events`` that were tagged ``key=value``."""
    return events.filter(TagIs("tags", key, value))
