"""Rows that other files hold as well: counting their keys, and saying what was recorded of them before."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from agent_factory_site.common.errors import FieldError
from financial.domain.cost_input import CostInput, event_key
from financial.domain.import_profiles.identity import Occurrences
from financial.models import CostEventKey

from .record_costs import CONFLICT


@contextmanager
def counting_on_disk() -> Iterator[Occurrences]:
    """Counts occurrences of keys in a temporary file, so that memory does not grow with them."""
    with closing(sqlite3.connect("", isolation_level=None)) as database:
        # Nobody reads the file after a crash: an import that goes on counts anew.
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        database.execute("BEGIN")

        def count(key: bytes) -> int:
            found = database.execute(
                "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times",
                (key,),
            )
            return int(found.fetchone()[0])

        yield count


def explain_conflicts(
    costs: Mapping[int, CostInput | list[FieldError]],
) -> dict[int, list[FieldError]]:
    """Why rows were refused as conflicts, naming the event that was recorded before, and what to do."""
    keys = {
        index: event_key(cost.source, cost.event_id)
        for index, cost in costs.items()
        if isinstance(cost, CostInput)
    }
    found = CostEventKey.objects.filter(key__in=set(keys.values())).values_list("key", "event")
    events = dict(found) if keys else {}
    return {
        index: [
            FieldError(
                CONFLICT.pointer,
                CONFLICT.code,
                f"Imported before as {events[key]} with other content, which stays: where this row is right, "
                "correct that event by the difference; where it is of another account, give its export a "
                "source of its own (--set source=NAME).",
            )
            if key in events
            else FieldError(
                CONFLICT.pointer,
                CONFLICT.code,
                "An earlier row is about the same, with other content: at most one of them can be right.",
            )
        ]
        for index, key in keys.items()
    }
