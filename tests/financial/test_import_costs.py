"""Importing a file: once, resumable, with bad rows kept apart."""

from __future__ import annotations

import gzip
import json
import os
import stat
from pathlib import Path

import pytest
from django.db import connection
from django.db.models import Sum

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import AuditEvent, Entity
from financial.domain.import_profiles.profile import ImportOptions
from financial.models import CostEvent, CostEventKey, CostImport, CostRollupDay, PriceVersion
from financial.services.import_costs import BATCH, import_costs
from financial.services.import_report import ImportWatch
from tests.processes import PATIENCE, Child, until_sessions_end

from .books import assert_books_agree
from .traces import ORIGIN

HEADER = "occurred_at,entity_type,entity_id,cost_type,provider,model,usage.input_tokens,usage.output_tokens"
COUNTED = ("rows", "accepted", "duplicates", "rejected", "unpriced", "amount", "usage")


def row(number: int, tokens: object = 100, model: str = "gpt-4o") -> str:
    at = f"2026-03-{1 + number // 86400:02}T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return f"{at},agent,bot-{number % 3},llm,openai,{model},{tokens},10"


def write(folder: Path, rows: list[str], name: str = "usage.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([HEADER, *rows]))
    return path


def run(path: Path, **changes):
    return import_costs(**{"path": path, "profile": "generic", "options": ImportOptions()} | changes)


def rejected(report) -> list[dict]:
    return [json.loads(line) for line in report.rejects.read_text().splitlines()]


def stop_after(rows: int) -> ImportWatch:
    seen = []
    return ImportWatch(on_batch=lambda counts: seen.append(counts.rows), should_stop=lambda: seen[-1] >= rows)


def counted(stored: CostImport) -> dict[str, object]:
    return {name: getattr(stored, name) for name in COUNTED}


@pytest.mark.django_db
def test_an_import_is_recorded_with_who_what_and_how_much(tmp_path):
    report = run(write(tmp_path, [row(1), row(2), row(3, model="nobodys-model")]))
    stored = CostImport.objects.get()
    assert (report.id, report.complete) == (stored.id, True)
    assert (stored.file_name, stored.profile, stored.state) == ("usage.csv", "generic", "succeeded")
    assert (stored.actor_kind, stored.actor_id) == ("system", "tests")
    assert (stored.rows, stored.accepted, stored.duplicates, stored.rejected) == (3, 3, 0, 0)
    assert stored.unpriced == 1
    # gpt-4o: 2.50 and 10 USD per million tokens.
    assert stored.amount == 2 * (100 * 2_500 + 10 * 10_000)
    assert (stored.usage["input_tokens"], stored.usage["output_tokens"]) == (300, 30)
    assert stored.bytes_done == stored.bytes_total == (tmp_path / "usage.csv").stat().st_size
    assert stored.finished_at is not None
    created, finished = AuditEvent.objects.filter(target_type="financial.CostImport").order_by("id")
    assert (created.action, finished.action) == ("create", "update")
    assert finished.changes["state"] == ["running", "succeeded"]


@pytest.mark.django_db
def test_bad_rows_are_kept_with_their_reasons_and_good_ones_recorded(tmp_path):
    rows = [
        row(1),
        row(2, "x"),
        "1,2",
        row(3),
        row(4).replace("2026", "2226"),
        row(5).replace(",agent,", ",*,"),
    ]
    report = run(write(tmp_path, rows))
    assert (report.counts.rows, report.counts.accepted, report.counts.rejected) == (6, 2, 4)
    assert report.complete is True
    entries = rejected(report)
    assert [(entry["row"], entry["line"]) for entry in entries] == [(2, 3), (3, 4), (5, 6), (6, 7)]
    assert [[error["code"] for error in entry["errors"]] for entry in entries] == [
        *(["not_a_count"], ["wrong_width"], ["in_the_future"], ["bad_value"]),
    ]
    assert entries[0]["errors"][0]["pointer"] == "/usage/input_tokens"
    assert [entry["raw"] for entry in entries] == [rows[1], rows[2], rows[4], rows[5]]
    assert stat.S_IMODE(report.rejects.stat().st_mode) == 0o600
    assert CostEvent.objects.count() == 2
    assert_books_agree()


@pytest.mark.django_db
def test_rejects_go_where_they_are_asked_to(tmp_path):
    asked = tmp_path / "deep" / "rejects.jsonl"
    report = run(write(tmp_path, [row(1, "x")]), rejects=asked)
    assert report.rejects == asked
    assert len(rejected(report)) == 1
    # All rows are good now: nothing is left to look at.
    again = run(write(tmp_path, [row(1)], "good.csv"), rejects=asked)
    assert (again.rejects, asked.exists()) == (None, False)


@pytest.mark.django_db
def test_places_that_cannot_hold_rejects_are_refused_before_anything_is_recorded(tmp_path):
    path = write(tmp_path, [row(1)])
    for asked in (path, tmp_path):
        with pytest.raises(Invalid) as refusal:
            run(path, rejects=asked)
        assert refusal.value.code == "unwritable"
    assert path.read_text().startswith(HEADER)
    assert CostEvent.objects.count() == 0


@pytest.mark.django_db
def test_a_repeat_charges_nothing_whatever_the_file_is_called(tmp_path):
    path = write(tmp_path, [row(n) for n in range(5)])
    run(path)
    before = CostEvent.objects.aggregate(total=Sum("amount"))["total"]
    packed = tmp_path / "other-name"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for again in (path, packed):
        report = run(again)
        assert (report.counts.accepted, report.counts.duplicates, report.counts.amount) == (0, 5, 0)
    assert CostEvent.objects.aggregate(total=Sum("amount"))["total"] == before
    assert CostImport.objects.count() == 3


@pytest.mark.django_db
def test_other_options_for_the_same_file_conflict_and_another_source_does_not(tmp_path):
    path = write(tmp_path, [row(n) for n in range(5)])
    run(path)
    other = run(path, options=ImportOptions(assignments={"model": "gpt-4o-mini"}))
    assert (other.counts.accepted, other.counts.rejected, other.counts.conflicts) == (0, 5, 5)
    assert {error["code"] for entry in rejected(other) for error in entry["errors"]} == {"event_conflict"}
    apart = run(path, options=ImportOptions(assignments={"model": "gpt-4o-mini", "source": "what-if"}))
    assert (apart.counts.accepted, apart.counts.rejected) == (5, 0)


@pytest.mark.django_db
def test_two_rows_that_say_the_same_are_two_events_unless_they_share_an_id(tmp_path):
    assert run(write(tmp_path, [row(1), row(1)])).counts.accepted == 2
    path = tmp_path / "ids.csv"
    path.write_text(f"event_id,{HEADER}\nr-1,{row(1)}\nr-1,{row(1)}\nr-1,{row(2)}\n,{row(2)}\n")
    report = run(path)
    assert (report.counts.accepted, report.counts.duplicates, report.counts.conflicts) == (2, 1, 1)


@pytest.mark.django_db
def test_a_dry_run_tells_everything_and_keeps_nothing(tmp_path):
    path = write(tmp_path, [row(n) for n in range(BATCH + 5)] + [row(1, "x")])
    before = AuditEvent.objects.count()
    report = run(path, dry_run=True)
    assert (report.id, report.complete, report.rejects) == (None, True, None)
    assert (report.counts.rows, report.counts.accepted, report.counts.rejected) == (BATCH + 6, BATCH + 5, 1)
    assert report.counts.amount == (BATCH + 5) * (100 * 2_500 + 10 * 10_000)
    for model in (CostEvent, CostEventKey, CostImport, CostRollupDay, Entity, PriceVersion):
        assert model.objects.count() == 0
    assert AuditEvent.objects.count() == before
    asked = run(path, dry_run=True, rejects=tmp_path / "bad.jsonl")
    assert (asked.rejects, [entry["row"] for entry in rejected(asked)]) == (
        tmp_path / "bad.jsonl",
        [BATCH + 6],
    )
    # And the real one finds the names and prices that the dry run did not keep.
    assert run(path).counts.accepted == BATCH + 5
    assert_books_agree()
    assert run(path, dry_run=True).counts.duplicates == BATCH + 5


@pytest.mark.django_db
def test_an_interrupted_import_goes_on_where_it_stopped(tmp_path):
    rows = [row(n, "x" if n % 100 == 7 else 100) for n in range(2 * BATCH + 500)]
    accepted = len(rows) - len(range(7, len(rows), 100))
    path = write(tmp_path, rows)
    first = run(path, watch=stop_after(BATCH))
    assert (first.complete, first.counts.rows) == (False, BATCH)
    assert CostImport.objects.get().state == "interrupted"
    begun = []
    second = run(path, watch=ImportWatch(on_begin=begun.append))
    assert begun[0].resumed_after_row == BATCH
    assert (second.id, second.complete) == (first.id, True)
    assert (second.counts.rows, second.counts.accepted, second.counts.duplicates) == (len(rows), accepted, 0)
    assert [entry["row"] for entry in rejected(second)] == [n + 1 for n in range(7, len(rows), 100)]
    assert CostEvent.objects.count() == accepted
    assert_books_agree()


@pytest.mark.django_db
def test_resuming_another_file_or_with_other_options_begins_anew(tmp_path):
    path = write(tmp_path, [row(n) for n in range(BATCH + 1)])
    first = run(path, watch=stop_after(BATCH))
    other = run(path, options=ImportOptions(assignments={"source": "s"}))
    assert other.id != first.id
    assert other.counts.accepted == BATCH + 1
    changed = run(write(tmp_path, [row(n) for n in range(BATCH + 2)]))
    assert changed.id != first.id
    assert (changed.counts.accepted, changed.counts.duplicates) == (BATCH + 2, 0)


@pytest.mark.django_db
def test_what_a_profile_remembers_is_known_after_an_interruption(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(
        "".join(
            json.dumps(
                {"timestamp": n, "input_length": 2048, "output_length": 1, "hash_ids": [n % 7, n, n + 1]}
            )
            + "\n"
            for n in range(2 * BATCH)
        )
    )
    options = ImportOptions(time_origin=ORIGIN)
    whole = import_costs(
        path=path,
        profile="mooncake",
        options=ImportOptions(assignments={"source": "whole"}, time_origin=ORIGIN),
    )
    import_costs(path=path, profile="mooncake", options=options, watch=stop_after(BATCH))
    parts = import_costs(path=path, profile="mooncake", options=options)
    assert parts.complete is True
    assert parts.counts.usage == whole.counts.usage
    assert parts.counts.usage["cache_read_tokens"] > 0


def kill_while(statement: str, occurrence: int):
    """Kills this process, as by ``kill -9``, right before the database is told ``statement``."""
    seen = []

    def wrapper(execute, sql, params, many, context):
        if statement in sql:
            seen.append(sql)
            if len(seen) == occurrence:
                os.kill(os.getpid(), 9)
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


def import_and_die(child: Child, path: Path, statement: str, occurrence: int) -> None:
    from agent_factory_site.common.actors import Actor, acting

    with acting(Actor.system("tests")), kill_while(statement, occurrence):
        run(path)


@pytest.mark.parametrize(
    ("statement", "occurrence"),
    [
        ('UPDATE "financial_costimport"', 1),  # the first batch is recorded, and counted nowhere
        ('UPDATE "financial_costimport"', 3),
        ('INSERT INTO "financial_costeventkey"', 2),
        ('INSERT INTO "financial_costrollupquarter"', 2),  # rows are appended, rollups are not
        ('INSERT INTO "financial_costrollupday"', 3),
        ('INSERT INTO "financial_costimport"', 1),
    ],
)
def test_a_kill_at_any_point_leaves_nothing_half_done_and_a_repeat_completes(
    live_database, tmp_path, statement, occurrence
):
    rows = [row(n, "x" if n % BATCH == BATCH - 1 else 100) for n in range(3 * BATCH + 10)]
    path = write(tmp_path, rows)
    child = Child(import_and_die, path, statement, occurrence)
    child.process.join(PATIENCE)
    assert child.process.exitcode == -9
    until_sessions_end(child.pid)
    assert_books_agree()
    report = run(path)
    accepted = len(rows) - 3
    assert (report.complete, report.counts.rows, report.counts.rejected) == (True, len(rows), 3)
    # Exact to the row, although a batch was recorded by a process that died before it could count it.
    assert (report.counts.accepted, report.counts.duplicates) == (accepted, 0)
    assert report.counts.amount == accepted * (100 * 2_500 + 10 * 10_000)
    assert report.counts.usage["input_tokens"] == accepted * 100
    assert [entry["row"] for entry in rejected(report)] == [n + 1 for n in range(BATCH - 1, len(rows), BATCH)]
    assert CostEvent.objects.count() == accepted
    assert counted(CostImport.objects.get()) == {name: getattr(report.counts, name) for name in COUNTED}
    assert_books_agree()


def hold_import(child: Child, path: Path) -> None:
    from agent_factory_site.common.actors import Actor, acting

    def wait(counts) -> None:
        child.say("importing")
        child.hear()

    with acting(Actor.system("tests")):
        run(path, watch=ImportWatch(on_batch=wait))


def test_one_file_is_imported_by_one_process_at_a_time(live_database, tmp_path):
    path = write(tmp_path, [row(n) for n in range(3)])
    child = Child(hold_import, path)
    assert child.hear() == "importing"
    with pytest.raises(Conflict) as refusal:
        run(path)
    assert refusal.value.code == "import_running"
    child.kill()
    report = run(path)
    assert (report.complete, report.counts.accepted) == (True, 3)
    assert CostImport.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"\x00\x01\x02", "binary"),
        (b"\x1f\x8b\x08\x00broken", "damaged_gzip"),
        (gzip.compress(b"a,b\n" * 1000)[:-20], "damaged_gzip"),
        (gzip.compress(b""), "empty"),
        (b"time,tokens\n1,2\n", "invalid"),
        (b"[1, 2]", "invalid"),
    ],
)
def test_a_file_that_cannot_be_imported_is_refused_whole(tmp_path, content, code):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(Invalid) as refusal:
        run(path)
    assert refusal.value.code == code
    assert CostImport.objects.count() == 0


@pytest.mark.django_db
def test_a_header_without_rows_is_an_import_of_nothing(tmp_path):
    report = run(write(tmp_path, []))
    assert (report.complete, report.counts.rows, report.rejects) == (True, 0, None)
    assert CostImport.objects.get().state == "succeeded"


@pytest.mark.django_db
def test_a_file_beyond_the_limit_is_refused_also_when_it_is_small_as_gzip(tmp_path, settings):
    settings.IMPORT_MAX_BYTES = 1000
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"a,b\n" * 1_000_000))
    with pytest.raises(Invalid) as refusal:
        run(path)
    assert (refusal.value.code, "IMPORT_MAX_BYTES" in refusal.value.detail) == ("too_large", True)


@pytest.mark.django_db
def test_an_unreadable_path_is_refused(tmp_path):
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(Invalid) as refusal:
            run(path)
        assert refusal.value.code == "unreadable"
    with pytest.raises(Invalid) as refusal:
        run(tmp_path, profile="nonsense")
    assert [error.code for error in refusal.value.errors] == ["unknown_profile"]


@pytest.mark.django_db
def test_a_failure_of_the_system_is_kept_and_the_import_can_go_on(tmp_path):
    path = write(tmp_path, [row(n) for n in range(BATCH + 5)])

    def fail(counts) -> None:
        raise RuntimeError("the terminal went away")

    with pytest.raises(RuntimeError):
        run(path, watch=ImportWatch(on_batch=fail))
    stored = CostImport.objects.get()
    assert (stored.state, stored.error, stored.rows) == ("failed", "the terminal went away", BATCH)
    assert run(path).counts.accepted == BATCH + 5
    stored.refresh_from_db()
    assert (stored.state, stored.error) == ("succeeded", "")
