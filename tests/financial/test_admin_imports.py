"""The import pages: a file handed in, followed, its rejects shown and downloaded."""

from __future__ import annotations

import json
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.services.jobs import run_job
from financial.models import CostEvent, CostImport
from tests.admin_data import staff

pytestmark = pytest.mark.django_db

LIST = "/admin/financial/costimport/"
ROWS = (
    "occurred_at,entity_id,amount,currency\n"
    "2026-11-02T10:00:00Z,support-bot,1.5,USD\n"
    "2026-11-02T11:00:00Z,support-bot,-1,USD\n"
    "2026-11-02T12:00:00Z,support-bot,0.25,USD\n"
)
OPTIONS = {"profile": "generic", "set": "entity_type=agent\ncost_type=tool\nsource=ledger-2025", "map": ""}


def upload(client: Client, content: str = ROWS, **changes: str) -> CostImport:
    file = SimpleUploadedFile("november.csv", content.encode())
    response = client.post(f"{LIST}upload/", {"file": file, **OPTIONS, **changes})
    assert response.status_code == 302, response.content.decode()
    row = CostImport.objects.get()
    assert response["Location"] == f"{LIST}{row.pk}/change/"
    return row


def test_a_file_is_imported_in_the_background(writer: Client) -> None:
    row = upload(writer)
    assert row.job is not None
    html = writer.get(f"{LIST}{row.pk}/change/").content.decode()
    assert f'data-af-job="{row.job.pk}"' in html
    assert 'data-af-finished="no"' in html
    progress = writer.get(f"/admin/common/job/progress/?ids={row.job.pk},nonsense").json()
    assert progress == {
        "jobs": [{"id": str(row.job.pk), "state": "queued", "finished": False, "percent": None, "note": ""}]
    }
    assert run_job(job_id=row.job.pk)
    progress = writer.get(f"/admin/common/job/progress/?ids={row.job.pk}").json()
    assert progress["jobs"][0] | {"note": ""} == {
        "id": str(row.job.pk), "state": "succeeded", "finished": True, "percent": 100, "note": "",
    }  # fmt: skip
    row.refresh_from_db()
    assert (row.accepted, row.rejected, row.amount) == (2, 1, 1_750_000_000)
    assert set(CostEvent.objects.values_list("source", flat=True)) == {"ledger-2025"}
    html = writer.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "/admin/financial/costevent/?source=ledger-2025" in html
    made = AuditEvent.objects.get(target_type="financial.CostImport", target_id=str(row.pk), action="create")
    assert made.actor_kind == "user"


def test_rejected_rows_are_shown_with_their_reasons_and_downloaded(writer: Client) -> None:
    row = upload(writer)
    assert row.job is not None
    run_job(job_id=row.job.pk)
    html = writer.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "/amount: " in html
    assert "2026-11-02T11:00:00Z,support-bot,-1,USD" in html.replace("&quot;", '"') or "-1" in html
    response = writer.get(f"{LIST}{row.pk}/rejects/")
    assert response["Content-Disposition"] == 'attachment; filename="november.csv.rejects.jsonl"'
    rejects = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]  # type: ignore[attr-defined]
    assert [reject["line"] for reject in rejects] == [3]


def test_what_came_of_the_rows_is_said_beside_the_file(writer: Client) -> None:
    head, first, second, third = ROWS.splitlines(keepends=True)
    for rows, words, tone in (
        ([first, third], "succeeded", "good"),
        ([first, second], "rows rejected", "warn"),
        ([second], "all rows rejected", "bad"),
    ):
        row = upload(writer, head + "".join(rows))
        assert row.job is not None
        run_job(job_id=row.job.pk)
        row.refresh_from_db()
        assert (row.state, row.outcome) == ("succeeded", words)
        for page in ("/admin/", f"{LIST}{row.pk}/change/"):
            assert (
                f'<span class="af-badge af-badge-{tone}">{words}</span>' in writer.get(page).content.decode()
            )
        assert words in writer.get(LIST).content.decode()
        row.delete()


def test_the_way_to_an_import_spells_the_name_of_its_file_as_it_is(writer: Client) -> None:
    page = writer.get(f"{LIST}{upload(writer).pk}/change/").content.decode()
    way = re.findall(r'<a href="([^"]+)" class="align-middle[^>]*>\s*([^<]*?)\s*</a>', page)
    assert [words for _, words in way] == ["Money", "Cost imports", "november.csv (generic)"]


def test_rejects_outside_of_our_folder_are_not_served(writer: Client, tmp_path: object) -> None:
    row = upload(writer)
    row.rejected = row.rows = 1
    row.rejects_path = "/etc/passwd"
    row.save()
    assert writer.get(f"{LIST}{row.pk}/rejects/").status_code == 404
    assert "root:" not in writer.get(f"{LIST}{row.pk}/change/").content.decode()


@pytest.mark.parametrize(
    ("content", "changes", "sentence"),
    [
        (ROWS, {"set": "entity_type"}, "is not of the form field=value"),
        (ROWS, {"set": "nonsense=1"}, "nonsense"),
        (ROWS, {"map": "model=Nowhere"}, "Nowhere"),
        (ROWS, {"time_origin": "then"}, "then"),
        ("", {}, "empty"),
        (ROWS, {"profile": "mooncake"}, "not"),
        ("\x00\x01\x02", {}, "The file is binary"),
    ],
)
def test_what_cannot_be_imported_is_refused_and_not_kept(
    writer: Client, content: str, changes: dict[str, str], sentence: str
) -> None:
    file = SimpleUploadedFile("november.csv", content.encode())
    response = writer.post(f"{LIST}upload/", {"file": file, **OPTIONS, **changes})
    assert response.status_code == 200
    html = response.content.decode()
    assert "errornote" in html
    assert sentence in html
    assert not CostImport.objects.exists()


def test_readers_see_imports_and_start_none(client: Client, writer: Client) -> None:
    row = upload(writer)
    client.force_login(staff("financial:read", username="reader"))
    assert "november.csv" in client.get(LIST).content.decode()
    assert "Import a file" not in client.get(LIST).content.decode()
    assert client.post(f"{LIST}upload/", {}).status_code == 403
    assert client.post(f"{LIST}{row.pk}/resume/").status_code == 403
    # Progress is for whoever started it, and for those who may see all jobs.
    assert row.job is not None
    assert client.get(f"/admin/common/job/progress/?ids={row.job.pk}").json() == {"jobs": []}
    client.force_login(staff("common:admin", username="other"))
    assert client.get(LIST).status_code == 403
    assert client.get(f"{LIST}{row.pk}/rejects/").status_code == 404


def test_an_import_that_stopped_goes_on(writer: Client) -> None:
    row = upload(writer)
    assert row.job is not None
    html = writer.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "/resume/" not in html
    CostImport.objects.update(state="interrupted")
    type(row.job).objects.update(state="cancelled")
    assert "/resume/" in writer.get(f"{LIST}{row.pk}/change/").content.decode()
    assert writer.get(f"{LIST}{row.pk}/resume/").status_code == 200
    row.refresh_from_db()
    assert row.state == "interrupted"
    response = writer.post(f"{LIST}{row.pk}/resume/", {"_form_submitted": "on"})
    assert response["HX-Redirect"] == f"{LIST}{row.pk}/change/"
    row.refresh_from_db()
    assert row.state == "queued"
