"""Archive files: the rows of one month as gzip-compressed NDJSON, and a manifest beside them.

A line is one ledger row as stored (amounts in nano-units, entities by number) with its series by name
and the entities that see it. Names of people are not in it: they stand with the entities alone.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.errors import Conflict
from financial.models import CostAttribution, CostEvent, CostSeries
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.archives import archived_sums_differ

FORMAT: Final = "agent-factory-ledger-archive/1"
CHUNK: Final = 2000
COLUMNS: Final = (
    "id", "source", "event_id", "occurred_at", "recorded_at", "entity_id", "amount", "base_amount", "unpriced",
    "price_version_id", "service_tier", "parts", "run_id", "tags", "kind", "corrects", "reason", "quantity",
    "unit", "unit_price_id", "exchange", "audit_id", *USAGE_FIELDS,
)  # fmt: skip
Line = dict[str, Any]
Progress = Callable[[str, int], None]
"""Told what is being done (``exporting``, ``removing``) and how many rows of the month it was done to."""


def nobody(step: str, rows: int) -> None:
    """Progress that nobody follows."""


@dataclass(slots=True)
class FileSums:
    """What the lines of a file come to; amounts in nano-units, ``amounts`` by currency."""

    rows: int = 0
    attributions: int = 0
    charges: int = 0
    unpriced: int = 0
    amounts: dict[str, int] = field(default_factory=dict)
    base_amount: int = 0

    def add(self, line: Line) -> None:
        """Add one line."""
        currency = line["series"]["currency"]
        self.rows += 1
        self.attributions += len(line["attributions"])
        self.charges += line["kind"] == CostEvent.Kind.CHARGE
        self.unpriced += line["unpriced"]
        self.amounts[currency] = self.amounts.get(currency, 0) + line["amount"]
        self.base_amount += line["base_amount"]


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file that was written and read back."""

    sums: FileSums
    sha256: str
    bytes: int


def write_archive(path: Path, start: datetime, end: datetime, progress: Progress = nobody) -> WrittenFile:
    """Write the rows of the month ``[start, end)`` to ``path`` with a manifest, and read both back.

    The rows are those of one moment. A file appears under its name only when it is whole and on the
    disk. Raises :class:`Conflict` where rows and rollups of the month differ, attributions name no row,
    or the file does not read back as what was written.
    """
    part = path.with_name(path.name + ".part")
    with snapshot():
        if differs := archived_sums_differ(start, end):
            raise Conflict(
                "books_disagree",
                f"{start:%Y-%m} is not archived, because rows and rollups differ ({differs}): run manage.py "
                "verify_ledger.",
            )
        sums = _write(part, start, end, progress)
        stored = CostAttribution.objects.filter(occurred_at__gte=start, occurred_at__lt=end).count()
    if stored != sums.attributions:
        raise Conflict(
            "books_disagree",
            f"{start:%Y-%m} is not archived: {abs(stored - sums.attributions)} attributions name no row of it. "
            "Run manage.py verify_ledger.",
        )
    written = read_back(part)
    if written.sums != sums:
        raise Conflict("archive_damaged", f"{part} does not read back as what was written to it.")
    _write_manifest(path, start, written)
    os.replace(part, path)
    _sync_folder(path.parent)
    return written


def read_back(path: Path) -> WrittenFile:
    """The sums, hash and size of a file; raises :class:`Conflict` for one that cannot be read."""
    sums = FileSums()
    try:
        for line in read_lines(path):
            sums.add(line)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return WrittenFile(sums, digest.hexdigest(), path.stat().st_size)
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise Conflict("archive_damaged", f"{path} cannot be read back: {error}") from error


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of an archive file."""
    with gzip.open(path, "rb") as file:
        for text in file:
            yield msgspec.json.decode(text)


def manifest_path(path: Path) -> Path:
    """Where the manifest of ``path`` lies."""
    return path.with_name(path.name.removesuffix(".ndjson.gz") + ".manifest.json")


def _write(part: Path, start: datetime, end: datetime, progress: Progress) -> FileSums:
    encoder = msgspec.json.Encoder()
    sums = FileSums()
    with part.open("wb") as raw:
        # Without name and time, so that the same rows make the same file.
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
            for lines in _lines(start, end):
                for line in lines:
                    packed.write(encoder.encode(line) + b"\n")
                    sums.add(line)
                progress("exporting", sums.rows)
        raw.flush()
        os.fsync(raw.fileno())
    return sums


def _lines(start: datetime, end: datetime) -> Iterator[list[Line]]:
    series = {
        row.pk: {name: getattr(row, name) for name in ("cost_type", "provider", "model", "currency")}
        for row in CostSeries.objects.all()
    }
    rows = CostEvent.objects.filter(occurred_at__gte=start, occurred_at__lt=end).order_by("occurred_at", "id")
    found = rows.values_list("series_id", *COLUMNS).iterator(chunk_size=CHUNK)
    while chunk := list(islice(found, CHUNK)):
        seen_by: dict[UUID, list[int]] = {row[1]: [] for row in chunk}
        pairs = CostAttribution.objects.filter(event__in=list(seen_by)).values_list("event", "entity_id")
        for event, entity in pairs:
            seen_by[event].append(entity)
        yield [
            {
                **dict(zip(COLUMNS, values, strict=True)),
                "series": {"id": number, **series[number]},
                "attributions": sorted(seen_by[values[0]]),
            }
            for number, *values in chunk
        ]


def _write_manifest(path: Path, start: datetime, written: WrittenFile) -> None:
    text = msgspec.json.encode(
        {
            "format": FORMAT,
            "month": f"{start:%Y-%m}",
            "file": path.name,
            "written_at": datetime.now(UTC),
            "bytes": written.bytes,
            "sha256": written.sha256,
            "unit": "1e-9",
            **asdict(written.sums),
        }
    )
    manifest = manifest_path(path)
    part = manifest.with_name(manifest.name + ".part")
    with part.open("wb") as file:
        file.write(msgspec.json.format(text) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, manifest)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
