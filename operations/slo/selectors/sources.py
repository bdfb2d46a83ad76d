"""Which indicators want the samples of a source: asked by every room that has some."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from operations.slo.models import Sli

REFRESH_SECONDS: Final = 5.0
"""How long another process may go on without an indicator that was just made."""


@dataclass(frozen=True, slots=True)
class SourceSli:
    """What a room needs to know to make samples for an indicator."""

    key: str
    kind: str
    source_filter: dict[str, Any]
    threshold: Decimal | None
    op: str
    unit: str = ""


_lock = threading.Lock()
_known: dict[str, tuple[SourceSli, ...]] = {}
_read_at = float("-inf")


def slis_of(source: str) -> tuple[SourceSli, ...]:
    """The indicators in use with this source (``http``, ``health``, ``runs``), read at most every five seconds.

    In the order in which they are to be locked.
    """
    global _known, _read_at
    if time.monotonic() - _read_at >= REFRESH_SECONDS:
        found: dict[str, list[SourceSli]] = {}
        rows = Sli.objects.filter(archived_at__isnull=True).exclude(source=Sli.Source.SAMPLES)
        for row in rows.order_by("pk"):
            one = SourceSli(row.key, row.kind, row.source_filter, row.threshold, row.op, row.unit)
            found.setdefault(row.source, []).append(one)
        with _lock:
            _known = {name: tuple(some) for name, some in found.items()}
            _read_at = time.monotonic()
    return _known.get(source, ())


def forget_sources() -> None:
    """Have this process ask again once the present transaction has committed."""
    transaction.on_commit(_forget)


def _forget() -> None:
    global _read_at
    _read_at = float("-inf")
