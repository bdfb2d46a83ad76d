"""Putting an archive back: its rows return to the ledger exactly as they were exported.

An archive goes ``archived -> restoring -> restored``. Rows return in small transactions, so that others
can write in between; whatever a killed process left, the next run completes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.db.bulk import insert_rows
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.errors import Conflict, NotFound
from agent_factory_site.common.models import Entity
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from agent_factory_site.common.services.entities import resolve_entities
from financial.models import (
    CostAttribution,
    CostEvent,
    CostEventKey,
    CostFacetDimension,
    CostSeries,
    LedgerArchive,
)
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.archives import archived_sums_differ

from .append import ATTRIBUTION_COLUMNS
from .archive_files import COLUMNS, Line, Progress, nobody, read_back, read_lines
from .archive_ledger import alone
from .archive_removal import check_file, path_of
from .facets import FacetSubject, facet_owners
from .partitions import ensure_partitions
from .rollups import add_to_facet_rollups

CHUNK: Final = 500
_encoder: Final = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class RestoredArchive:
    """What came back. ``differs`` says in words where rows and rollups of the month do not agree now."""

    archive: LedgerArchive
    differs: str | None


def find_archive(name: str) -> tuple[LedgerArchive, Path]:
    """The archive called by its id or file name, or whose file lies at the path ``name``; and that file."""
    try:
        found = LedgerArchive.objects.filter(pk=UUID(name)).first()
    except ValueError:
        path = Path(name)
        if path.is_file():
            return _archive_of(path), path
        found = LedgerArchive.objects.filter(file_name=name).first()
    if found is None:
        raise NotFound("no_archive", f"There is neither an archive nor a file called {name}.")
    return found, path_of(found)


def _archive_of(path: Path) -> LedgerArchive:
    """The archive that ``path`` is the file of, by its content: it may have been moved."""
    sha256 = read_back(path).sha256
    found: LedgerArchive | None = LedgerArchive.objects.filter(sha256=sha256).order_by("-id").first()
    if found is None:
        raise NotFound("unknown_archive", f"{path} is no archive of this ledger (SHA-256 {sha256}).")
    return found


def restore_archive(*, name: str, progress: Progress = nobody) -> RestoredArchive:
    """Put the rows and attributions of an archive back, and go on with what was interrupted.

    ``name`` is as :func:`find_archive` takes it. The file has to be the one that was written, by its
    hash. Rollups and event ids stay: they never went. Facet rollups that were built meanwhile get the rows.
    Raises :class:`Conflict` for an archive whose rows are in the database, for a damaged file, and while
    another run is at work; :class:`NotFound` where there is no such archive.
    """
    with alone():
        archive, path = find_archive(name)
        _begin(archive, path)
        _put_back(archive, path, progress)
        with transaction.atomic():
            archive.state = LedgerArchive.State.RESTORED
            archive.restored_at = timezone.now()
            archive.save(update_fields=["state", "restored_at"])
        with snapshot():
            differs = archived_sums_differ(archive.start, archive.end)
    return RestoredArchive(archive, differs)


def _begin(archive: LedgerArchive, path: Path) -> None:
    if archive.state not in (LedgerArchive.State.ARCHIVED, LedgerArchive.State.RESTORING):
        raise Conflict(
            "not_archived", f"The rows of {archive.file_name} are in the database ({archive.state})."
        )
    check_file(archive, path)
    # On PostgreSQL the month is to lie in a partition of its own again.
    ensure_partitions(extra=archive.start)
    if archive.state == LedgerArchive.State.RESTORING:
        return
    for lines in _chunks(path):
        if CostEvent.objects.filter(pk__in=[line["id"] for line in lines]).exists():
            raise Conflict("rows_present", f"Rows of {archive.file_name} are in the database already.")
    with transaction.atomic():
        # From this commit on, nothing is summed over the rows of the month until all are back.
        archive.state = LedgerArchive.State.RESTORING
        archive.save(update_fields=["state"])


def _put_back(archive: LedgerArchive, path: Path, progress: Progress) -> None:
    done = 0
    numbers = _SeriesNumbers()
    for lines in _chunks(path):
        retry_conflicts(_storing(archive, lines, numbers))
        done += len(lines)
        progress("restoring", done)


def _storing(archive: LedgerArchive, lines: Sequence[Line], numbers: _SeriesNumbers) -> Callable[[], None]:
    return lambda: _store(archive, lines, numbers)


def _store(archive: LedgerArchive, lines: Sequence[Line], numbers: _SeriesNumbers) -> None:
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # As writers do: rollups of a new dimension are built before this, or with these rows.
                cursor.execute(f"LOCK TABLE {CostEventKey._meta.db_table} IN ROW EXCLUSIVE MODE")
        ids = [UUID(line["id"]) for line in lines]
        present = set(CostEvent.objects.filter(pk__in=ids).values_list("pk", flat=True))
        missing = [line for pk, line in zip(ids, lines, strict=True) if pk not in present]
        if not missing:
            return
        rows = [
            (numbers[line["series"]], *(_stored(name, line[name]) for name in COLUMNS)) for line in missing
        ]
        insert_rows(connection, CostEvent._meta.db_table, ("series_id", *COLUMNS), rows)
        attributions = [
            (entity, datetime.fromisoformat(line["occurred_at"]), UUID(line["id"]))
            for line in missing
            for entity in line["attributions"]
        ]
        insert_rows(connection, CostAttribution._meta.db_table, ATTRIBUTION_COLUMNS, attributions)
        _add_to_late_facets(archive, missing, numbers)


def _stored(name: str, value: Any) -> Any:
    """A value of a line as its column takes it."""
    if value is None:
        return None
    if name in ("id", "price_version_id", "corrects", "unit_price_id", "audit_id"):
        return UUID(value)
    if name in ("occurred_at", "recorded_at"):
        return datetime.fromisoformat(value)
    return _encoder.encode(value).decode() if name in ("parts", "tags", "exchange") else value


class _SeriesNumbers:
    """The numbers of series as the database has them, checked against their names in the file."""

    def __init__(self) -> None:
        self._names = {row.pk: row for row in CostSeries.objects.all()}

    def __getitem__(self, series: Mapping[str, Any]) -> int:
        row = self._names.get(series["id"])
        names = ("cost_type", "provider", "model", "currency")
        if row is None or any(getattr(row, name) != series[name] for name in names):
            raise Conflict("other_ledger", f"The series {series['id']} is another one in this database.")
        return int(row.pk)


def _add_to_late_facets(archive: LedgerArchive, lines: Sequence[Line], numbers: _SeriesNumbers) -> None:
    """Facet rollups that were built when the rows had gone do not have them yet."""
    late = list(CostFacetDimension.objects.filter(created_at__gte=archive.removal_started_at).order_by("id"))
    if not late:
        return
    wanted = {entity for line in lines for entity in line["attributions"]}
    named: dict[int, EntityName] = {
        pk: (kind, key)
        for pk, kind, key in Entity.objects.filter(pk__in=wanted).values_list("pk", "type", "key")
    }
    subjects = [FacetSubject([named[pk] for pk in line["attributions"]], line["tags"]) for line in lines]
    owners = facet_owners(
        late, subjects, {name: pk for pk, name in named.items()} | resolve_entities([FLEET])
    )
    add_to_facet_rollups(
        [
            (each, datetime.fromisoformat(line["occurred_at"]), numbers[line["series"]], _measures(line))
            for each, line in zip(owners, lines, strict=True)
            if each
        ]
    )


def _measures(line: Line) -> tuple[int, ...]:
    charges = int(line["kind"] == CostEvent.Kind.CHARGE)
    return (
        charges,
        line["unpriced"],
        line["amount"],
        line["base_amount"],
        *(line[name] for name in USAGE_FIELDS),
    )


def _chunks(path: Path) -> Iterator[list[Line]]:
    lines = read_lines(path)
    while chunk := list(islice(lines, CHUNK)):
        yield chunk
