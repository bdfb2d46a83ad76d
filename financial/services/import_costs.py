"""Importing files of costs: each row once, however often and from wherever the import is repeated.

An event's id is made of what the row is about, where its profile knows, else of the file's content and
the row's number, so that the ledger itself refuses to charge a row twice. Where an import has got to is
written after each batch, outside of the ledger's transaction: it only saves reading again what is
recorded already.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.errors import FieldError, Invalid
from financial.domain.cost_input import CostInput
from financial.domain.import_profiles import PROFILES
from financial.domain.import_profiles.checks import check_columns, check_options, unused_columns
from financial.domain.import_profiles.profile import ImportOptions, Profile
from financial.domain.import_profiles.reader import RowReader
from financial.domain.records import Layout, Place, Record
from financial.models import CostImport
from financial.models.cost_event import USAGE_FIELDS
from financial.selectors.cost_imports import interrupted_import, recorded_since

from .import_files import FileIdentity, identify, layout_of, only_import_of, open_content, records_of
from .import_keys import counting_on_disk, explain_conflicts
from .import_rejects import RejectFile
from .import_report import ImportBeginning, ImportCounts, ImportReport, ImportWatch
from .record_costs import CONFLICT, RecordedCosts, record_costs

BATCH: Final = 200 if connection.vendor == "sqlite" else 1000
"""Rows recorded in one transaction; fewer on SQLite, where nobody else writes until it ends."""
BATCH_BYTES: Final = 16 * 1024 * 1024
"""A batch ends early beyond this much text, for rows that are very long."""
IDENTITY_LENGTH: Final = 32
_COUNTED: Final = tuple(item.name for item in fields(ImportCounts) if item.name != "conflicts")


def import_costs(
    *,
    path: Path,
    profile: str,
    options: ImportOptions,
    rejects: Path | None = None,
    dry_run: bool = False,
    watch: ImportWatch | None = None,
) -> ImportReport:
    """Import the file at ``path``, or go on with an import of it that was interrupted.

    Rows that cannot be imported go to the reject file (``rejects``, else below ``VAR_DIR/imports``). A
    dry run does everything and keeps nothing but ``rejects``, when it is given. Raises
    :class:`Invalid` when the file as a whole, the profile or the options are wrong, and
    :class:`Conflict` when the file is being imported already.
    """
    watch = watch or ImportWatch()
    chosen = find_profile(profile)
    _refuse(check_options(chosen, options))
    identity = identify(path, settings.IMPORT_MAX_BYTES, watch.on_hash)
    if dry_run:
        return _Import(path, path.name, chosen, options, identity, watch).run_dry(rejects)
    with only_import_of(identity, imports_folder()):
        row = interrupted_import(_fingerprint(identity, profile, options))
        row = row or new_import(path.name, profile, options)
        return _Import(path, path.name, chosen, options, identity, watch).run(row, rejects)


def run_import(*, row: CostImport, path: Path, watch: ImportWatch) -> ImportReport:
    """Do, or go on with, the import that ``row`` stands for, of the uploaded file at ``path``."""
    profile, options = find_profile(row.profile), load_options(row.options)
    identity = identify(path, settings.IMPORT_MAX_BYTES, watch.on_hash)
    with only_import_of(identity, imports_folder()):
        return _Import(path, row.file_name, profile, options, identity, watch).run(row, None)


def check_import(*, path: Path, profile: str, options: ImportOptions) -> None:
    """Refuse what would be refused before the first row, without reading the whole file."""
    chosen = find_profile(profile)
    _refuse(check_options(chosen, options))
    _check_columns(chosen, options, layout_of(path, settings.IMPORT_MAX_BYTES, chosen))


def find_profile(name: str) -> Profile:
    """The import profile called ``name``; :class:`Invalid` names those that exist."""
    if name not in PROFILES:
        raise Invalid.field_error(
            "/profile",
            "unknown_profile",
            f'There is no profile "{name}": it is one of {", ".join(PROFILES)}.',
        )
    return PROFILES[name]


def imports_folder() -> Path:
    """Where reject files and locks are kept."""
    folder = Path(settings.VAR_DIR) / "imports"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid("unwritable", f"Cannot write to {folder}: {error.strerror}.") from error
    return folder


def store_options(options: ImportOptions) -> dict[str, Any]:
    """The options as JSON."""
    return {
        "map": dict(options.mapping),
        "set": dict(options.assignments),
        "time_origin": options.time_origin.isoformat() if options.time_origin else None,
    }


def load_options(stored: dict[str, Any]) -> ImportOptions:
    """The options that :func:`store_options` made JSON of."""
    origin = stored["time_origin"]
    return ImportOptions(stored["map"], stored["set"], datetime.fromisoformat(origin) if origin else None)


def new_import(file_name: str, profile: str, options: ImportOptions) -> CostImport:
    """A row, not stored yet, for an import by the acting actor."""
    actor = current_actor()
    return CostImport(
        file_name=file_name[:255],
        profile=profile,
        options=store_options(options),
        actor_kind=actor.kind,
        actor_id=actor.id,
    )


def _next_batch(records: Iterator[Record]) -> list[Record]:
    batch: list[Record] = []
    held = 0
    for record in records:
        batch.append(record)
        held += len(record.raw)
        if len(batch) == BATCH or held > BATCH_BYTES:
            break
    return batch


def _fingerprint(identity: FileIdentity, profile: str, options: ImportOptions) -> str:
    said = json.dumps([identity.sha256, profile, store_options(options)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _check_columns(profile: Profile, options: ImportOptions, layout: Layout) -> None:
    _refuse(check_columns(profile, options, layout.columns, list(PROFILES.values()), layout.kind))


def _refuse(errors: Sequence[FieldError]) -> None:
    if errors:
        raise Invalid.fields(*errors)


class _Import:
    """One pass over one file."""

    def __init__(
        self,
        path: Path,
        file_name: str,
        profile: Profile,
        options: ImportOptions,
        identity: FileIdentity,
        watch: ImportWatch,
    ) -> None:
        self.path = path
        self.file_name = file_name
        self.profile = profile
        self.options = options
        self.identity = identity
        self.watch = watch
        self.counts = ImportCounts()
        self.began = time.monotonic()
        self.layout = layout_of(path, identity.size, profile)
        _check_columns(profile, options, self.layout)

    def run(self, row: CostImport, rejects: Path | None) -> ImportReport:
        """Import for good, keeping ``row`` up to date."""
        resumed = row.rows > 0
        place = Place(row.bytes_done, row.lines_done, row.rows) if resumed else self.layout.start
        if resumed:
            for name in _COUNTED:
                setattr(self.counts, name, getattr(row, name))
        rejects_path = self._rejects_path(rejects)
        same = row.rejects_path == str(rejects_path)
        reject_file = self._open_rejects(rejects_path, row.rejects_bytes if same else 0)
        row.rejects_path = str(rejects_path)
        row.state, row.error, row.finished_at = CostImport.State.RUNNING, "", None
        # Only the batch in flight when the last attempt ended may be recorded and not counted.
        doubtful = row.counted_at is not None
        row.started_at = row.started_at or timezone.now()
        row.counted_at = row.counted_at or timezone.now()
        row.sha256, row.bytes_total = self.identity.sha256, self.identity.size
        row.fingerprint = _fingerprint(self.identity, self.profile.name, self.options)
        row.save()
        with self._ending(row, reject_file):
            self._announce(place)
            complete = True
            for records, costs in self._batches(place):
                outcome = record_costs(costs=costs)
                self._count(records, costs, outcome, reject_file)
                if doubtful and outcome.duplicates:
                    self._count_as_accepted(row, outcome)
                doubtful = False
                reject_file.flush()
                self._checkpoint(row, records[-1], reject_file)
                if self.watch.should_stop():
                    complete = records[-1].end >= self.identity.size
                    break
            if complete:
                row.bytes_done = self.identity.size
            row.state = CostImport.State.SUCCEEDED if complete else CostImport.State.INTERRUPTED
        return self._report(row.id, complete, reject_file)

    def run_dry(self, rejects: Path | None) -> ImportReport:
        """Do everything in transactions that are rolled back; rejected rows are written where asked to."""
        reject_file = self._open_rejects(rejects, 0) if rejects else None
        self._announce(self.layout.start)
        complete = True
        for records, costs in self._batches(self.layout.start):
            with transaction.atomic():
                outcome = record_costs(costs=costs)
                transaction.set_rollback(True)
            self._count(records, costs, outcome, reject_file)
            self.watch.on_batch(self.counts)
            if self.watch.should_stop():
                complete = records[-1].end >= self.identity.size
                break
        if reject_file is not None:
            reject_file.close()
        return self._report(None, complete, reject_file)

    def _announce(self, place: Place) -> None:
        given = {*self.options.assignments, *self.options.mapping}
        self.watch.on_begin(
            ImportBeginning(
                # The header is a line, and no row. How many rows documents hold, their lines do not say.
                lines=None
                if self.layout.kind == "json" or self.profile.nested
                else self.identity.lines - self.layout.start.line,
                resumed_after_row=place.row,
                assumed={
                    name: self.profile.defaults[name] for name in self.profile.assumed if name not in given
                },
                notes=self.profile.notes,
                unused_columns=unused_columns(self.profile, self.options, self.layout.columns),
            )
        )

    def _batches(self, place: Place) -> Iterator[tuple[list[Record], list[CostInput | list[FieldError]]]]:
        # What a stateful profile knows comes from the rows before: they are read again, not recorded.
        start = self.layout.start if self.profile.stateful else place
        with open_content(self.path) as content, counting_on_disk() as occurrences:
            identity = self.identity.sha256[:IDENTITY_LENGTH]
            reader = RowReader(self.profile, self.options, identity, occurrences)
            records = records_of(content, self.layout, self.profile, start, self.identity.size)
            for record in islice(records, place.row - start.row):
                self._read(reader, record)
            while batch := _next_batch(records):
                yield batch, [self._read(reader, record) for record in batch]

    def _read(self, reader: RowReader, record: Record) -> CostInput | list[FieldError]:
        if record.row is None:
            assert record.problem is not None
            return [record.problem]
        return reader.read(record.row, record.number)

    def _count(
        self,
        records: list[Record],
        costs: Sequence[CostInput | list[FieldError]],
        outcome: RecordedCosts,
        rejects: RejectFile | None,
    ) -> None:
        counts = self.counts
        counts.rows += len(records)
        counts.accepted += len(outcome.accepted)
        counts.duplicates += len(outcome.duplicates)
        counts.rejected += len(outcome.rejected)
        counts.amount += outcome.amount
        for event in outcome.accepted.values():
            counts.unpriced += event.entry.unpriced
            for name, quantity in zip(USAGE_FIELDS, event.entry.usage):
                if quantity:
                    counts.usage[name] += quantity
        conflicts = [index for index, errors in outcome.rejected.items() if CONFLICT in errors]
        counts.conflicts += len(conflicts)
        if self.profile.key_columns:
            outcome.rejected.update(explain_conflicts({index: costs[index] for index in conflicts}))
        for index in sorted(outcome.rejected):
            errors = outcome.rejected[index]
            if rejects is not None:
                rejects.add(records[index], errors)

    def _count_as_accepted(self, row: CostImport, outcome: RecordedCosts) -> None:
        """Count events that this import has recorded, but died before it could count them."""
        assert row.counted_at is not None
        own = recorded_since(set(outcome.duplicates.values()), row.counted_at)
        self.counts.accepted += own.events
        self.counts.duplicates -= own.events
        self.counts.unpriced += own.unpriced
        self.counts.amount += own.amount
        for name, quantity in zip(USAGE_FIELDS, own.usage):
            self.counts.usage[name] += quantity

    def _rejects_path(self, asked: Path | None) -> Path:
        default = imports_folder() / f"{self.file_name}.{self.identity.sha256[:8]}.rejects.jsonl"
        return (asked or default).absolute()

    def _open_rejects(self, path: Path, keep: int) -> RejectFile:
        if path.exists() and path.samefile(self.path):
            raise Invalid("unwritable", "Rejected rows cannot be written into the file they come from.")
        return RejectFile(path.absolute(), keep)

    def _checkpoint(self, row: CostImport, last: Record, rejects: RejectFile) -> None:
        for name in _COUNTED:
            setattr(row, name, getattr(self.counts, name))
        row.bytes_done, row.lines_done, row.rejects_bytes = last.end, last.last_line, rejects.size
        row.counted_at = timezone.now()
        row.save(update_fields=[*_COUNTED, "bytes_done", "lines_done", "rejects_bytes", "counted_at"])
        self.watch.on_batch(self.counts)

    @contextmanager
    def _ending(self, row: CostImport, rejects: RejectFile) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            row.state, row.error = CostImport.State.FAILED, str(error) or type(error).__name__
            raise
        finally:
            rejects.close()
            if row.state != CostImport.State.RUNNING:
                row.finished_at = timezone.now()
                row.save(update_fields=["state", "error", "bytes_done", "finished_at"])

    def _report(self, import_id: UUID | None, complete: bool, rejects: RejectFile | None) -> ImportReport:
        return ImportReport(
            id=import_id,
            file_name=self.file_name,
            complete=complete,
            counts=self.counts,
            rejects=rejects.path if rejects is not None and rejects.size else None,
            seconds=time.monotonic() - self.began,
        )
