"""Imports of uploaded files in the background."""

from __future__ import annotations

import gzip
import json
from uuid import uuid4

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from agent_factory_site.common.errors import Conflict, Invalid, NotFound
from agent_factory_site.common.models import Job
from agent_factory_site.common.services.jobs import cancel_job, run_job
from financial.domain.import_profiles.profile import ImportOptions
from financial.models import CostEvent, CostImport
from financial.services.import_costs import BATCH, import_costs
from financial.services.import_jobs import queue_import, resume_import
from financial.services.import_report import ImportWatch

from .books import assert_books_agree
from .traces import BURSTGPT, ORIGIN

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_files(settings, tmp_path) -> None:
    """Other tests upload as well."""
    settings.MEDIA_ROOT = tmp_path


def azure(rows: int) -> bytes:
    lines = [f"2023-11-16 18:{n // 60 % 60:02}:{n % 60:02}.5,100,10" for n in range(rows)]
    return "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]).encode()


def queue(content: bytes, **changes) -> CostImport:
    arguments = {
        "upload": ContentFile(content),
        "file_name": "trace.csv",
        "profile": "azure-llm-trace",
        "options": ImportOptions(),
    } | changes
    return queue_import(**arguments)


def uploads() -> list[str]:
    return default_storage.listdir("imports")[1] if default_storage.exists("imports") else []


def test_an_upload_is_imported_by_its_job_and_removed():
    content = BURSTGPT.path.read_bytes()
    row = queue(
        content, file_name="../BurstGPT.csv", profile="burstgpt", options=ImportOptions(time_origin=ORIGIN)
    )
    assert (row.state, row.file_name, row.job.state) == ("queued", "BurstGPT.csv", "queued")
    assert (row.actor_kind, row.actor_id) == ("system", "tests")
    assert uploads() == [str(row.id)]
    assert run_job(job_id=row.job.id) is True
    row.refresh_from_db()
    assert (row.state, row.accepted, row.usage["input_tokens"]) == ("succeeded", 400, 208_189)
    row.job.refresh_from_db()
    assert (row.job.state, row.job.done, row.job.total) == ("succeeded", 400, 400)
    assert row.job.result == {"rows": 400, "accepted": 400, "duplicates": 0, "rejected": 0, "unpriced": 0}
    assert uploads() == []
    assert_books_agree()


def test_an_upload_and_the_command_share_event_ids(tmp_path):
    content = azure(5)
    (tmp_path / "same.csv").write_bytes(content)
    import_costs(path=tmp_path / "same.csv", profile="azure-llm-trace", options=ImportOptions())
    row = queue(content)
    run_job(job_id=row.job.id)
    row.refresh_from_db()
    assert (row.accepted, row.duplicates) == (0, 5)


@pytest.mark.parametrize(
    ("content", "changes", "code"),
    [
        (b"", {}, "empty"),
        (b"\0\1", {}, "binary"),
        (b"a,b\n1,2\n", {}, "missing_column"),
        (azure(1), {"profile": "nonsense"}, "unknown_profile"),
        (azure(1), {"profile": "burstgpt"}, "required"),
        (azure(1), {"options": ImportOptions(mapping={"nonsense": "x"})}, "unknown_field"),
    ],
)
def test_what_can_be_told_at_once_is_refused_at_once_and_nothing_kept(content, changes, code):
    with pytest.raises(Invalid) as refusal:
        queue(content, **changes)
    assert code in {refusal.value.code, *(error.code for error in refusal.value.errors)}
    assert (uploads(), CostImport.objects.count(), Job.objects.count()) == ([], 0, 0)


def test_a_file_that_turns_out_to_be_damaged_fails_with_its_reason():
    row = queue(gzip.compress(azure(50_000), mtime=0)[:-100])
    run_job(job_id=row.job.id)
    row.refresh_from_db()
    row.job.refresh_from_db()
    assert (row.state, row.job.state) == ("failed", "failed")
    assert row.error == row.job.error
    assert row.error.startswith("The gzip file is damaged: ")
    assert CostEvent.objects.count() == 0


def test_a_cancelled_job_leaves_whole_batches_and_can_go_on():
    row = queue(azure(3 * BATCH))
    batches: list[str] = []
    cancelled: list[bool] = []

    def cancel_during_the_second_batch(execute, sql, params, many, context):
        if 'INSERT INTO "financial_costrollupday"' in sql:
            batches.append(sql)
        if len(batches) == 2 and not cancelled:
            cancelled.append(True)
            cancel_job(job_id=row.job.id)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(cancel_during_the_second_batch):
        run_job(job_id=row.job.id)
    row.refresh_from_db()
    row.job.refresh_from_db()
    assert (row.state, row.job.state) == ("interrupted", "cancelled")
    assert row.rows == row.accepted == CostEvent.objects.count() == 2 * BATCH
    first = row.job_id
    again = resume_import(import_id=row.id)
    assert (again.state, again.job_id != first) == ("queued", True)
    run_job(job_id=again.job_id)
    row.refresh_from_db()
    assert (row.state, row.accepted, row.duplicates) == ("succeeded", 3 * BATCH, 0)
    assert CostEvent.objects.count() == 3 * BATCH


def test_a_job_that_was_cancelled_while_it_waited_can_go_on():
    row = queue(azure(3))
    cancel_job(job_id=row.job.id)
    again = resume_import(import_id=row.id)
    run_job(job_id=again.job_id)
    row.refresh_from_db()
    assert (row.state, row.accepted) == ("succeeded", 3)


def test_only_an_unfinished_upload_can_go_on(tmp_path):
    with pytest.raises(NotFound):
        resume_import(import_id=uuid4())
    row = queue(azure(3))
    with pytest.raises(Conflict) as refusal:
        resume_import(import_id=row.id)
    assert refusal.value.code == "import_not_resumable"
    run_job(job_id=row.job.id)
    with pytest.raises(Conflict):
        resume_import(import_id=row.id)
    path = tmp_path / "mine.csv"
    path.write_bytes(azure(4))

    def fail(counts) -> None:
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError):
        import_costs(
            path=path, profile="azure-llm-trace", options=ImportOptions(), watch=ImportWatch(on_batch=fail)
        )
    failed = CostImport.objects.get(state="failed")
    with pytest.raises(Conflict) as refusal:
        resume_import(import_id=failed.id)
    assert refusal.value.code == "import_not_uploaded"


def test_a_job_that_runs_again_after_its_import_was_done_is_done():
    row = queue(azure(3))
    run_job(job_id=row.job.id)
    # Its worker died before it could say so, and the sweep started the job again.
    Job.objects.filter(pk=row.job_id).update(state="queued")
    assert run_job(job_id=row.job_id) is True
    row.job.refresh_from_db()
    assert (row.job.state, json.dumps(row.job.result["accepted"])) == ("succeeded", "3")
    assert CostEvent.objects.count() == 3
