"""Archiving the ledger's detail: whole months go to files, their rollups and event ids stay.

A month goes ``exporting -> exported -> removing -> archived``, each step a commit. Whatever step a
process dies in, the next run takes the month up there.
"""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Min
from django.utils import timezone

from agent_factory_site.common.errors import Conflict, Invalid
from financial.db.partitions import month_of, next_month
from financial.models import CostEvent, LedgerArchive
from financial.selectors.archives import restored_months

from .archive_files import FileSums, Progress, nobody, write_archive
from .archive_removal import check_file, path_of, remove_month
from .partitions import ensure_partitions

# Of a month into which events keep coming in, more exports than that are not tried in one run.
EXPORTS: Final = 5
BEGUN: Final = (LedgerArchive.State.EXPORTING, LedgerArchive.State.EXPORTED, LedgerArchive.State.REMOVING)
_LOCK: Final = 7_236_001_882_402_117


class MonthInUse(Conflict):
    """Events of the month kept being recorded, export after export; nothing of it was removed."""

    def __init__(self, month: str) -> None:
        super().__init__("month_in_use", f"Events of {month} keep being recorded: try again later.")


@dataclass(frozen=True, slots=True)
class ArchivedMonth:
    """What became of one month: its archive, or in a dry run what it would hold."""

    month: str
    file: Path | None
    sums: FileSums


def archive_folder() -> Path:
    """Where archives go unless told otherwise."""
    folder: Path = settings.VAR_DIR / "archives"
    return folder


def archive_ledger(
    *,
    before: datetime,
    folder: Path | None = None,
    dry_run: bool = False,
    keep: Collection[datetime] = (),
    progress: Progress = nobody,
) -> list[ArchivedMonth]:
    """Archive every whole UTC month before the one ``before`` begins, and finish what was interrupted.

    Each month is exported, read back, compared and only then removed. Raises :class:`Invalid` for a month
    that is not over, :class:`Conflict` where books or files do not agree or another run is at work.
    Months in ``keep``, and one whose rows are being put back, stay.
    """
    now = timezone.now()
    if before.astimezone(UTC) != month_of(before):
        raise Invalid("bad_month", "Archives hold whole months in UTC.")
    if before > month_of(now):
        raise Invalid(
            "month_not_over", f"{month_of(now):%Y-%m} is not over: only months before it can be archived."
        )
    if dry_run:
        return [_would_hold(month) for month in _months(before, keep)]
    target = (folder or archive_folder()).absolute()
    with alone():
        try:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            return [_archive(month, target, progress) for month in _months(before, keep)]
        except OSError as error:
            raise Conflict("cannot_write", f"The archive cannot be written: {error}") from error


def archive_by_age(*, now: datetime | None = None) -> list[ArchivedMonth]:
    """Archive what is older than ``COST_DETAIL_MONTHS`` whole months; 0 keeps all detail for ever.

    A month that somebody has restored stays until it is archived by hand.
    """
    if not settings.COST_DETAIL_MONTHS:
        return []
    month = month_of(now or timezone.now())
    months = month.year * 12 + month.month - 1 - settings.COST_DETAIL_MONTHS
    return archive_ledger(
        before=month.replace(year=months // 12, month=months % 12 + 1), keep=restored_months()
    )


def _months(before: datetime, keep: Collection[datetime]) -> list[datetime]:
    """The months that have rows, or an archive that was begun."""
    keep = {
        *keep,
        *LedgerArchive.objects.filter(state=LedgerArchive.State.RESTORING).values_list("start", flat=True),
    }
    months = set(
        LedgerArchive.objects.filter(start__lt=before, state__in=BEGUN).values_list("start", flat=True)
    )
    rows = CostEvent.objects.filter(occurred_at__lt=before)
    first = rows.aggregate(first=Min("occurred_at"))["first"]
    while first is not None:
        month = month_of(first)
        months.add(month)
        first = rows.filter(occurred_at__gte=next_month(month)).aggregate(first=Min("occurred_at"))["first"]
    return sorted(months - keep)


def _would_hold(month: datetime) -> ArchivedMonth:
    rows = CostEvent.objects.filter(occurred_at__gte=month, occurred_at__lt=next_month(month))
    sums = FileSums()
    for kind, unpriced, currency, amount, base in rows.values_list(
        "kind", "unpriced", "series__currency", "amount", "base_amount"
    ).iterator():
        sums.rows += 1
        sums.charges += kind == CostEvent.Kind.CHARGE
        sums.unpriced += unpriced
        sums.amounts[currency] = sums.amounts.get(currency, 0) + amount
        sums.base_amount += base
    return ArchivedMonth(f"{month:%Y-%m}", None, sums)


def _archive(month: datetime, target: Path, progress: Progress) -> ArchivedMonth:
    archive = _begun(month, target)
    if archive.state == LedgerArchive.State.EXPORTED:
        try:
            check_file(archive)
        except Conflict:
            # The rows are all there still: the file is written again.
            archive.state = LedgerArchive.State.EXPORTING
    for _ in range(EXPORTS):
        if archive.state == LedgerArchive.State.EXPORTING:
            _export(archive, progress)
        if remove_month(archive, progress):
            return ArchivedMonth(archive.month, path_of(archive), _sums(archive))
        archive.state = LedgerArchive.State.EXPORTING
    raise MonthInUse(archive.month)


def _begun(month: datetime, target: Path) -> LedgerArchive:
    """The archive of the month that was begun, or a new one."""
    found: LedgerArchive | None
    found = LedgerArchive.objects.filter(start=month, state__in=BEGUN).first()
    if found is not None:
        if found.state == LedgerArchive.State.EXPORTING:
            found.folder = str(target)
        return found
    with transaction.atomic():
        archive = LedgerArchive(start=month, end=next_month(month), folder=str(target))
        # The last part tells the files of two databases in one folder apart.
        archive.file_name = f"ledger-{month:%Y-%m}-{archive.pk.hex[-8:]}.ndjson.gz"
        archive.save(force_insert=True)
    return archive


def _export(archive: LedgerArchive, progress: Progress) -> None:
    # On PostgreSQL the rows of the month must lie in a partition that can be dropped.
    ensure_partitions(extra=archive.start)
    written = write_archive(path_of(archive), archive.start, archive.end, progress)
    for name, value in asdict(written.sums).items():
        setattr(archive, name, value)
    archive.sha256, archive.bytes = written.sha256, written.bytes
    archive.state = LedgerArchive.State.EXPORTED
    archive.save()


def _sums(archive: LedgerArchive) -> FileSums:
    return FileSums(**{name: getattr(archive, name) for name in FileSums.__dataclass_fields__})


@contextmanager
def alone() -> Iterator[None]:
    """One run at a time; a process that dies lets go by dying."""
    busy = Conflict("archive_running", "Another run is archiving the ledger, or restoring an archive.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
            if not cursor.fetchone()[0]:
                raise busy
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
        return
    archive_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (archive_folder() / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
