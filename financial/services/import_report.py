"""What an import tells while it runs and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from financial.models.cost_event import USAGE_FIELDS


@dataclass(slots=True)
class ImportCounts:
    """What became of the rows read so far. ``amount`` in nano-units of the base currency.

    ``unpriced``, ``amount`` and ``usage`` are of the accepted events; ``conflicts`` is the part of
    ``rejected`` that was imported before with other content, counted in this process alone.
    """

    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    conflicts: int = 0
    unpriced: int = 0
    amount: int = 0
    usage: dict[str, int] = field(default_factory=lambda: dict.fromkeys(USAGE_FIELDS, 0))


@dataclass(frozen=True, slots=True)
class ImportBeginning:
    """Known before the first row: how much there is, and what the person importing should know.

    ``lines`` is as good as the number of rows, which is known at the end; None where it is not.
    ``assumed`` are values that the profile supplies because such files do not hold them, ``notes``
    what else it supposes, in sentences.
    """

    lines: int | None
    resumed_after_row: int
    assumed: dict[str, str]
    notes: tuple[str, ...]
    unused_columns: list[str]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import ended; ``id`` is None for a dry run, ``rejects`` when no row was rejected."""

    id: UUID | None
    file_name: str
    complete: bool
    counts: ImportCounts
    rejects: Path | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ImportWatch:
    """Who follows an import: told what happens, asked between batches whether to stop.

    ``on_hash(bytes)`` while the file is identified, ``on_begin(beginning)`` once, then ``on_batch(counts)``
    after each batch.
    """

    on_hash: Callable[[int], None] = lambda done: None
    on_begin: Callable[[ImportBeginning], None] = lambda beginning: None
    on_batch: Callable[[ImportCounts], None] = lambda counts: None
    should_stop: Callable[[], bool] = lambda: False
