"""Indexes that differ by database."""

from __future__ import annotations

from typing import Any

from django.db import models


class GrowingIndex(models.Index):
    """An index of values that grow with the rows: BRIN on PostgreSQL, which costs writers next to nothing.

    SQLite has b-trees only, where values that grow are the cheapest to add.
    """

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        if schema_editor.connection.vendor != "postgresql":
            return super().create_sql(model, schema_editor, using=using, **kwargs)
        statement: Any = super().create_sql(model, schema_editor, using=" USING brin", **kwargs)
        # Pages that are full are summarised without waiting for a vacuum.
        options = " WITH (pages_per_range = 32, autosummarize = on)"
        statement.parts["extra"] = options + str(statement.parts["extra"])
        return statement
