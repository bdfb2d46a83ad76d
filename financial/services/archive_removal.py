"""Taking an archived month out of the database: its partition on PostgreSQL, its rows on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.errors import Conflict
from financial.db.partitions import drop_partition
from financial.models import CostAttribution, CostEvent, LedgerArchive

from .archive_files import Progress, read_back, read_lines
from .partitions import with_ledger_locked

# Keeps each transaction short: SQLite has one writer at a time.
CHUNK: Final = 500


def remove_month(archive: LedgerArchive, progress: Progress) -> bool:
    """Take the rows of an exported archive out of the database, and mark it archived.

    False where rows were recorded since the export: nothing was removed, and the month is exported
    again. On SQLite a removal that was interrupted goes on.
    """
    progress("removing", 0)
    if connection.vendor == "postgresql":
        return with_ledger_locked(lambda: _drop(archive, progress))
    if archive.state != LedgerArchive.State.REMOVING:
        with transaction.atomic():
            if not _unchanged(archive):
                return False
            # From this commit on, nothing is summed over the rows of the month any more.
            archive.state = LedgerArchive.State.REMOVING
            archive.removal_started_at = timezone.now()
            archive.save(update_fields=["state", "removal_started_at"])
    _delete(archive, progress)
    return True


def path_of(archive: LedgerArchive) -> Path:
    """Where the file lies."""
    return Path(archive.folder) / archive.file_name


def check_file(archive: LedgerArchive, path: Path | None = None) -> None:
    """Raise :class:`Conflict` unless the file, at ``path`` if it was moved, is what was recorded of it."""
    path = path or path_of(archive)
    found = read_back(path)
    if found.sha256 != archive.sha256 or found.sums.rows != archive.rows:
        raise Conflict("archive_damaged", f"{path} is not the file that was written.")


def _unchanged(archive: LedgerArchive) -> bool:
    """Rows are only ever added: as many as were exported are those that were exported."""
    month = {"occurred_at__gte": archive.start, "occurred_at__lt": archive.end}
    return (
        CostEvent.objects.filter(**month).count() == archive.rows
        and CostAttribution.objects.filter(**month).count() == archive.attributions
    )


def _drop(archive: LedgerArchive, progress: Progress) -> bool:
    if not _unchanged(archive):
        return False
    with connection.cursor() as cursor:
        drop_partition(cursor, archive.start)
    progress("removing", archive.rows)
    archive.state = LedgerArchive.State.ARCHIVED
    archive.removal_started_at = archive.finished_at = timezone.now()
    archive.save(update_fields=["state", "removal_started_at", "finished_at"])
    return True


def _delete(archive: LedgerArchive, progress: Progress) -> None:
    """Delete exactly the rows that are in the file; those that came since stay."""
    # Half a month cannot be exported again: without the file as it was, nothing more is removed.
    check_file(archive)
    gone = 0
    for ids in _ids(path_of(archive)):
        gone += len(ids)
        with transaction.atomic():
            mine = LedgerArchive.objects.filter(pk=archive.pk)
            mine.update(unlocked=True)
            CostAttribution.objects.filter(event__in=ids)._raw_delete(using=connection.alias)
            CostEvent.objects.filter(pk__in=ids)._raw_delete(using=connection.alias)
            mine.update(unlocked=False)
            progress("removing", gone)
    archive.state = LedgerArchive.State.ARCHIVED
    archive.finished_at = timezone.now()
    archive.save(update_fields=["state", "finished_at"])


def _ids(path: Path) -> Iterator[list[UUID]]:
    lines = read_lines(path)
    while chunk := [UUID(line["id"]) for line in islice(lines, CHUNK)]:
        yield chunk
