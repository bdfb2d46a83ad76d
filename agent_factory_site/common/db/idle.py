"""Letting go of what a suspended process holds."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection


def end_idle_transactions(*, after: timedelta) -> None:
    """Have PostgreSQL end a transaction in which this process was silent for that long.

    A process that is stopped between two statements keeps its row locks, and whoever took over its work
    would wait for them for ever. Counts for connections that are opened from now on; SQLite has no such
    limit.
    """
    if connection.vendor != "postgresql":
        return
    limit = f"-c idle_in_transaction_session_timeout={max(1, round(after.total_seconds() * 1000))}"
    given = connection.settings_dict["OPTIONS"].get("options", "")
    connection.settings_dict["OPTIONS"]["options"] = f"{given} {limit}".strip()
    connection.close()
