"""Archiving months of the ledger: what goes, what stays, what is refused afterwards."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import AuditEvent
from financial.models import CostEvent, CostEventKey, CostRollupDay, LedgerArchive
from financial.services.archive_files import manifest_path
from financial.services.archive_ledger import archive_by_age, archive_folder, archive_ledger
from financial.services.archive_removal import path_of
from financial.services.build_rollups import build_rollups
from financial.services.reprice import reprice
from financial.services.verify_ledger import verify_ledger

from .archives import MAY, MONTH_ENDS, assert_nothing_lost, body, fill, left_over, record

pytestmark = pytest.mark.django_db(transaction=True)

COSTS = "/api/v1/financial/costs"
SUMMARY = "/api/v1/financial/summary"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "archives"


@pytest.fixture
def april(folder):
    """April and May of 2021, April archived; the id of an archived event."""
    outcome = record(
        *(body(f"e{number}", at) for number, at in enumerate(MONTH_ENDS)), body("m", "2021-05-01T00:00:00Z")
    )
    archive_ledger(before=MAY, folder=folder)
    return outcome.accepted[0].id


def test_a_month_goes_to_a_file_and_its_totals_stay(folder):
    record(
        *(body(f"e{number}", at) for number, at in enumerate(MONTH_ENDS)), body("m", "2021-05-01T00:00:00Z")
    )
    days = list(CostRollupDay.objects.order_by("pk").values())
    done = archive_ledger(before=MAY, folder=folder)
    assert [(each.month, each.sums.rows, each.sums.base_amount) for each in done] == [
        ("2021-04", 2, 500_000_000)
    ]
    assert [event.event_id for event in CostEvent.objects.all()] == ["m"]
    assert list(CostRollupDay.objects.order_by("pk").values()) == days
    assert CostEventKey.objects.count() == 3
    archive = LedgerArchive.objects.get()
    assert (archive.month, archive.state, archive.rows, archive.attributions) == ("2021-04", "archived", 2, 4)
    assert (archive.charges, archive.unpriced, archive.amounts) == (2, 0, {"USD": 500_000_000})
    manifest = json.loads(manifest_path(path_of(archive)).read_bytes())
    assert manifest["sha256"] == archive.sha256
    assert (manifest["rows"], manifest["amounts"], manifest["base_amount"]) == (
        2,
        {"USD": 500_000_000},
        500_000_000,
    )
    lines = [json.loads(line) for line in gzip.decompress(path_of(archive).read_bytes()).splitlines()]
    assert [(line["event_id"], line["occurred_at"], line["amount"]) for line in lines] == [
        ("e0", "2021-04-01T00:00:00Z", 250_000_000),
        ("e1", "2021-04-30T23:59:59.999999Z", 250_000_000),
    ]
    assert lines[0]["series"]["cost_type"] == "tool"
    assert left_over(folder) == []
    states = [
        event.changes["state"]
        for event in AuditEvent.objects.filter(target_type="financial.LedgerArchive").order_by("id")
        if "state" in event.changes
    ]
    assert json.dumps(states[-1]).count("archived") == 1
    verified = assert_nothing_lost(3)
    assert (verified.archived, verified.skipped) == (["2021-04"], [])
    assert archive_ledger(before=MAY, folder=folder) == []


def test_a_dry_run_writes_nothing(folder):
    fill(3)
    done = archive_ledger(before=MAY, folder=folder, dry_run=True)
    assert [(each.month, each.file, each.sums.rows, each.sums.base_amount) for each in done] == [
        ("2021-04", None, 3, 750_000_000)
    ]
    assert (CostEvent.objects.count(), LedgerArchive.objects.count(), folder.exists()) == (3, 0, False)


def test_a_month_that_is_not_over_is_refused(folder):
    with pytest.raises(Invalid, match="is not over"):
        archive_ledger(before=datetime(2199, 1, 1, tzinfo=UTC), folder=folder)
    with pytest.raises(Invalid, match="whole months"):
        archive_ledger(before=datetime(2021, 4, 2, tzinfo=UTC), folder=folder)


def test_age_decides_on_the_schedule(settings):
    fill(2)
    fill(2, "2021-05")
    now = datetime(2021, 7, 9, tzinfo=UTC)
    assert archive_by_age(now=now) == []
    settings.COST_DETAIL_MONTHS = 2
    assert [each.month for each in archive_by_age(now=now)] == ["2021-04"]
    assert path_of(LedgerArchive.objects.get()).parent == archive_folder()
    settings.COST_DETAIL_MONTHS = 1
    assert [each.month for each in archive_by_age(now=now)] == ["2021-05"]
    assert_nothing_lost(4)


def test_the_command_says_what_it_did(folder, capsys):
    fill(3)
    call_command("archive_ledger", "--before", "2021-05", "--to", str(folder))
    file = path_of(LedgerArchive.objects.get())
    assert capsys.readouterr().out == f"2021-04  3 rows  0.75 USD  {file}\n"
    call_command("archive_ledger", "--before", "2021-05", "--to", str(folder))
    assert capsys.readouterr().out == "No month before that has rows.\n"


def test_a_late_event_is_accepted_and_archived_in_a_second_file(april, folder):
    record(body("late", "2021-04-10T00:00:00Z"))
    assert_nothing_lost(4)
    archive_ledger(before=MAY, folder=folder)
    files = LedgerArchive.objects.order_by("id").values_list("rows", "file_name")
    assert [rows for rows, _ in files] == [2, 1]
    assert len({name for _, name in files}) == 2
    verified = assert_nothing_lost(4)
    assert verified.archived == ["2021-04"]


def test_a_repeat_of_an_archived_event_is_a_repeat(april, api):
    sent = body("e0", MONTH_ENDS[0])
    known = {
        "id": str(april),
        "occurred_at": "2021-04-01T00:00:00Z",
        "archived": True,
        "archive_files": [LedgerArchive.objects.get().file_name],
    }
    answer = api.post(COSTS, sent)
    assert (answer.status_code, answer.json()) == (200, known)
    assert api.post(COSTS, [sent]).json()["duplicates"] == 1
    answer = api.get(f"{COSTS}/{april}")
    assert (answer.status_code, answer.json()) == (200, known)
    answer = api.post(COSTS, {**sent, "amount": "0.26"})
    assert (answer.status_code, answer.json()["code"]) == (409, "event_conflict")
    assert api.get(f"{COSTS}/00000000-0000-7000-8000-000000000000").status_code == 404
    assert_nothing_lost(3)


def test_an_archived_event_cannot_be_corrected_or_repriced(april, api):
    correction = {"source": "s", "event_id": "c", "corrects": str(april), "amount": "-0.1", "reason": "r"}
    answer = api.post(COSTS, correction)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "archived_event")
    unknown = {**correction, "corrects": "00000000-0000-7000-8000-000000000000"}
    assert api.post(COSTS, unknown).json()["errors"][0]["code"] == "unknown_event"
    assert reprice(end=MAY).archived == ["2021-04"]
    assert reprice(start=MAY).archived == []


def test_breakdowns_are_exact_or_refused(april, api):
    def total(**query):
        answer = api.get(SUMMARY, group_by="day", **query)
        return answer.json()["total"]["amount"] if answer.status_code == 200 else answer.json()

    assert total(start="2021-04-01", end="2021-06-01") == "0.75"
    assert total(start="2021-04-30T23:45:00Z", end="2021-05-02") == "0.50"
    refused = total(start="2021-04-30T23:50:00Z", end="2021-05-02")
    assert (refused["status"], refused["code"], refused["months"]) == (400, "archived", ["2021-04"])
    assert refused["boundaries"] == ["2021-04-30T23:45:00Z", "2021-05-01T00:00:00Z"]
    assert total(start="2021-04-30", end="2021-05-01T00:00:01Z") == "0.50"
    assert total(start="2021-04-01", end="2021-04-30T23:59:59Z")["code"] == "archived"
    scan = api.get(SUMMARY, group_by="tag:env", start="2021-04-01", end="2021-06-01")
    assert (scan.status_code, scan.json()["code"], scan.json()["months"]) == (400, "archived", ["2021-04"])
    assert api.get(SUMMARY, group_by="tag:env", start="2021-05-01", end="2021-06-01").status_code == 200


def test_rollups_built_after_archiving_do_not_answer_for_it(april, api, settings):
    settings.COST_ROLLUP_PAIRS = ["agent:user"]
    build_rollups()
    path = f"{COSTS}/agent/a"
    answer = api.get(path, group_by="entity:user", start="2021-04-01", end="2021-06-01")
    assert (answer.status_code, answer.json()["code"]) == (400, "archived")
    answer = api.get(path, group_by="entity:user", start="2021-05-01", end="2021-06-01")
    assert answer.json()["breakdown"][0]["amount"] == "0.25"


def test_rollups_built_before_archiving_answer_for_it(folder, api, settings):
    settings.COST_ROLLUP_PAIRS = ["agent:user"]
    build_rollups()
    fill(4)
    archive_ledger(before=MAY, folder=folder)
    answer = api.get(f"{COSTS}/agent/a", group_by="entity:user", start="2021-04-01", end="2021-06-01")
    assert [(group["key"], group["amount"]) for group in answer.json()["breakdown"]] == [("u", "1.00")]


def test_verifying_finds_and_never_repairs_what_differs_from_an_archive(april):
    day = CostRollupDay.objects.filter(bucket=18718).order_by("pk")[0]
    CostRollupDay.objects.filter(bucket=18718).update(amount=day.amount + 1)
    verified = verify_ledger(repair_rollups=True)
    assert verified.findings.counts == {"archive": 1}
    assert "'USD': 500000001" in verified.findings.listed[0].detail
    assert CostRollupDay.objects.filter(bucket=18718, amount=day.amount + 1).exists()


def test_a_month_whose_books_disagree_is_not_archived(folder):
    fill(2)
    CostRollupDay.objects.update(base_amount=1)
    with pytest.raises(Conflict, match="is not archived, because rows and rollups differ"):
        archive_ledger(before=MAY, folder=folder)
    assert CostEvent.objects.count() == 2


def test_a_damaged_export_is_written_again(folder):
    fill(5)

    def stop(step, rows):
        if step == "removing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        archive_ledger(before=MAY, folder=folder, progress=stop)
    archive = LedgerArchive.objects.get()
    assert archive.state == "exported"
    path_of(archive).write_bytes(path_of(archive).read_bytes()[:-9])
    archive_ledger(before=MAY, folder=folder)
    assert_nothing_lost(5)


def test_events_that_arrive_during_the_export_are_exported_as_well(folder):
    fill(5)
    arrived = []

    def arrive(step, rows):
        if step == "removing" and not arrived:
            arrived.append(rows)
            fill(3, start=5)

    (done,) = archive_ledger(before=MAY, folder=folder, progress=arrive)
    assert done.sums.rows == 8
    assert_nothing_lost(8)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    fill(1)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(Conflict, match="cannot be written"):
        archive_ledger(before=MAY, folder=file / "below")
    assert CostEvent.objects.count() == 1


def test_archives_are_listed(april, api):
    (item,) = api.get("/api/v1/financial/ledger-archives").json()["results"]
    archive = LedgerArchive.objects.get()
    assert (item["id"], item["month"], item["state"]) == (str(archive.pk), "2021-04", "archived")
    assert (item["amounts"], item["base_amount"]) == ({"USD": "0.50"}, "0.50")
    assert (item["rows"], item["sha256"], item["file_name"]) == (2, archive.sha256, archive.file_name)
    assert "folder" not in item


def test_the_admin_shows_archives_and_changes_none(april, admin_client):
    page = admin_client.get("/admin/financial/ledgerarchive/")
    assert page.status_code == 200
    assert "2021-04" in page.content.decode()
    archive = LedgerArchive.objects.get()
    page = admin_client.get(f"/admin/financial/ledgerarchive/{archive.pk}/change/")
    text = page.content.decode()
    assert archive.sha256 in text
    assert f"manage.py restore_archive {archive.file_name} puts them back" in text
    assert admin_client.get("/admin/financial/ledgerarchive/add/").status_code == 403


@pytest.mark.sqlite_only
@pytest.mark.parametrize("table", ["financial_costevent", "financial_costattribution"])
def test_rows_go_only_within_the_removal_of_their_own_month(april, table):
    record(body("late", "2021-04-10T00:00:00Z"))
    refused = pytest.raises(IntegrityError, match="append-only")
    with connection.cursor() as cursor:
        with refused:
            cursor.execute(f"DELETE FROM {table}")
        with pytest.raises(IntegrityError, match="financial_archive_unlocked"), transaction.atomic():
            LedgerArchive.objects.update(unlocked=True)
        with transaction.atomic():
            LedgerArchive.objects.update(state="removing", unlocked=True)
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                cursor.execute(f"DELETE FROM {table} WHERE occurred_at >= '2021-05-01'")
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                cursor.execute(f"UPDATE {table} SET occurred_at = occurred_at")
            cursor.execute(f"DELETE FROM {table} WHERE occurred_at < '2021-05-01'")
            assert cursor.rowcount == (1 if table.endswith("event") else 2)
            transaction.set_rollback(True)
    assert CostEvent.objects.count() == 2
