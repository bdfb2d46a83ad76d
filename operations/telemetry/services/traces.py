"""What is remembered of traces: locked, read and written in the transaction of a batch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from agent_factory_site.common.db.bulk import insert_ignore_returning
from agent_factory_site.common.db.bulk.sqlite import storable
from operations.telemetry.domain.known import KnownTrace, pack, unpack
from operations.telemetry.models import Trace

_COLUMNS: Final = ("trace_id", "spans", "updated_at")
_TYPES: Final = ("uuid", "bytea", "timestamptz")
_CHUNK: Final = 5000


def lock_traces(fresh: Mapping[bytes, KnownTrace], now: datetime) -> dict[bytes, KnownTrace]:
    """What is known of these traces, each locked in the order of its id until the transaction ends.

    Of those that nothing was known of, which are left out, what is ``fresh`` is remembered from now on.
    """
    by_key = {UUID(bytes=one): pack(trace.spans) for one, trace in fresh.items()}
    wanted = sorted(by_key, key=lambda key: key.int)
    rows = [(one, by_key[one], now) for one in wanted]
    table = Trace._meta.db_table
    new = insert_ignore_returning(connection, table, _COLUMNS, _TYPES, rows, "trace_id")
    return known_traces([one for one in wanted if one not in new]) if len(new) < len(wanted) else {}


def known_traces(wanted: Collection[UUID]) -> dict[bytes, KnownTrace]:
    """What is known of those of these traces that there are, locked in the order of their ids."""
    ordered = sorted(wanted)
    found: dict[bytes, KnownTrace] = {}
    for start in range(0, len(ordered), _CHUNK):
        rows = Trace.objects.filter(pk__in=ordered[start : start + _CHUNK]).order_by("pk").select_for_update()
        for one, spans in rows.values_list("trace_id", "spans"):
            found[one.bytes] = unpack(one.bytes, bytes(spans))
    return found


def remember(traces: Iterable[KnownTrace], now: datetime) -> None:
    """Write what is known of locked traces."""
    rows = sorted((UUID(bytes=one.trace_id), pack(one.spans)) for one in traces)
    if not rows:
        return
    table = Trace._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.executemany(
                f"UPDATE {table} SET spans = %s, updated_at = %s WHERE trace_id = %s",  # noqa: S608
                storable(("spans", "updated_at", "trace_id"), [(spans, now, one) for one, spans in rows]),
            )
        else:
            cursor.execute(
                f"UPDATE {table} SET spans = new.spans, updated_at = %s"  # noqa: S608
                f" FROM unnest(%s::uuid[], %s::bytea[]) AS new (trace_id, spans)"
                f" WHERE {table}.trace_id = new.trace_id",
                [now, [one for one, _ in rows], [spans for _, spans in rows]],
            )
