"""Imports of uploaded files, done in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.core.files import File
from django.core.files.storage import default_storage
from django.db import transaction

from agent_factory_site.common.errors import Conflict, DomainError, NotFound
from agent_factory_site.common.models import Job
from agent_factory_site.common.services.jobs import JobContext, JobStopped, enqueue
from financial.domain.import_profiles.profile import ImportOptions
from financial.models import CostImport

from .import_costs import check_import, new_import, run_import
from .import_report import ImportBeginning, ImportWatch

JOB: Final = "financial.import_costs"


def queue_import(*, upload: File[bytes], file_name: str, profile: str, options: ImportOptions) -> CostImport:
    """Keep an uploaded file and have a worker import it.

    What can be said without reading the whole file is said now, with :class:`Invalid`; nothing is kept
    then. The file is removed once all of it is imported.
    """
    row = new_import(Path(file_name).name or "upload", profile, options)
    stored = default_storage.save(f"imports/{row.id}", upload)
    try:
        check_import(path=Path(default_storage.path(stored)), profile=profile, options=options)
        row.stored_file = stored
        with transaction.atomic():
            row.job = enqueue(kind=JOB, parameters={"import": str(row.id)})
            row.save()
    except Exception:
        default_storage.delete(stored)
        raise
    return row


def resume_import(*, import_id: UUID) -> CostImport:
    """Have a worker go on with an import that failed or was stopped."""
    with transaction.atomic():
        row: CostImport | None = CostImport.objects.select_for_update().filter(pk=import_id).first()
        if row is None:
            raise NotFound("import_not_found", f"There is no import {import_id}.")
        under_way = row.job is not None and row.job.state in (Job.State.QUEUED, Job.State.RUNNING)
        if row.state == CostImport.State.SUCCEEDED or under_way:
            raise Conflict(
                "import_not_resumable", f"The import is {row.state}: nothing is left to go on with."
            )
        if not row.stored_file:
            raise Conflict("import_not_uploaded", "The file was not uploaded: repeat the command to go on.")
        row.job = enqueue(kind=JOB, parameters={"import": str(row.id)})
        row.state = CostImport.State.QUEUED
        row.save()
    return row


def run_import_job(context: JobContext) -> dict[str, Any]:
    """The job: import the uploaded file, from where the last attempt got to."""
    row = CostImport.objects.get(pk=context.parameters["import"])
    follower = _Follower(context)
    # A worker may have died between the end of the import and the end of its job.
    if row.state != CostImport.State.SUCCEEDED:
        _import_upload(row, context, follower)
    default_storage.delete(row.stored_file)
    return {name: getattr(row, name) for name in ("rows", "accepted", "duplicates", "rejected", "unpriced")}


def _import_upload(row: CostImport, context: JobContext, follower: _Follower) -> None:
    try:
        run_import(
            row=row,
            path=Path(default_storage.path(row.stored_file)),
            watch=ImportWatch(
                on_hash=lambda done: context.progress(0, note="identifying the file"),
                on_begin=follower.begin,
                on_batch=lambda counts: follower.move_to(counts.rows),
                should_stop=follower.should_stop,
            ),
        )
    except DomainError as error:
        row.state, row.error = CostImport.State.FAILED, str(error)
        row.save(update_fields=["state", "error"])
        raise
    except JobStopped:
        row.state = CostImport.State.INTERRUPTED
        row.save(update_fields=["state"])
        raise
    if follower.stopped is not None:
        raise follower.stopped


class _Follower:
    """Hands progress to the job. A stop is kept for the end of the batch, where the import is whole."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._total = 0
        self.stopped: JobStopped | None = None

    def begin(self, beginning: ImportBeginning) -> None:
        # A document does not say how many rows it holds: then what is done is all that is known.
        self._total = beginning.lines or 0
        self.move_to(beginning.resumed_after_row)

    def move_to(self, rows: int) -> None:
        try:
            self._context.progress(rows, max(self._total, rows), note=f"{rows:,} rows")
        except JobStopped as stop:
            self.stopped = stop

    def should_stop(self) -> bool:
        if self.stopped is None and self._context.cancelled:
            self.stopped = JobStopped(str(self._context.job_id))
        return self.stopped is not None
