"""Putting archives back: every row as it was, each once, whatever was interrupted."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from agent_factory_site.common.errors import Conflict, NotFound
from agent_factory_site.common.models import AuditEvent
from financial.domain.cost_input import decode_cost
from financial.models import CostAttribution, CostEvent, CostFacetRollupDay, CostRollupDay, LedgerArchive
from financial.selectors.breakdown import cost_breakdown
from financial.services.archive_ledger import archive_by_age, archive_ledger
from financial.services.archive_removal import path_of
from financial.services.build_rollups import build_rollups
from financial.services.record_costs import record_costs
from financial.services.restore_archive import restore_archive
from financial.services.verify_ledger import verify_ledger
from tests.processes import Child, until

from .archives import MAY, assert_nothing_lost, body, fill, record
from .books import assert_books_agree

pytestmark = pytest.mark.django_db(transaction=True)
COSTS = "/api/v1/financial/costs"
APRIL = MAY.replace(month=4)


def everything():
    """Ledger rows, attributions and rollups as the database has them."""
    return (
        list(CostEvent.objects.order_by("pk").values()),
        sorted(CostAttribution.objects.values_list("entity_id", "occurred_at", "event")),
        list(CostRollupDay.objects.order_by("pk").values()),
    )


def various(api, cost):
    """A priced, a foreign, an unpriced and a corrected cost, a quantity and a credit, all of April."""
    april = {"occurred_at": "2021-04-10T10:11:12.123456Z"}
    event = api.post(COSTS, cost(event_id="v1", tags={"env": "prod", "ü": "z"}, **april)).json()
    api.post(COSTS, cost(event_id="v2", provider="nobody", model="nothing", **april))
    credit = {**body("v3", april["occurred_at"]), "kind": "credit", "amount": "-2", "reason": "goodwill"}
    api.post(COSTS, credit)
    correction = {
        "source": "f",
        "event_id": "c",
        "corrects": event["id"],
        "amount": "-0.0000001",
        "reason": "r",
    }
    assert api.post(COSTS, correction).status_code == 201


def test_rows_come_back_exactly_as_they_were(api, cost, tmp_path):
    various(api, cost)
    fill(1200)
    fill(3, "2021-05")
    before = everything()
    archive_ledger(before=MAY, folder=tmp_path)
    assert CostEvent.objects.count() == 3
    archive = LedgerArchive.objects.get()
    done = restore_archive(name=str(archive.pk))
    assert (done.archive.state, done.differs) == ("restored", None)
    assert everything() == before
    verified = verify_ledger()
    assert (verified.findings.counts, verified.archived, verified.rows) == ({}, [], 1207)
    assert_books_agree()
    states = [
        event.changes["state"][1]
        for event in AuditEvent.objects.filter(
            target_type="financial.LedgerArchive", action="update"
        ).order_by("id")
        if "state" in event.changes
    ]
    assert states[-2:] == ["restoring", "restored"]


def test_what_is_back_can_be_corrected_and_archived_again(api, tmp_path):
    (event,) = record(body("e", "2021-04-10T00:00:00Z")).accepted.values()
    archive_ledger(before=MAY, folder=tmp_path)
    correction = {"source": "f", "event_id": "c", "corrects": str(event.id), "amount": "-0.1", "reason": "r"}
    assert api.post(COSTS, correction).json()["errors"][0]["code"] == "archived_event"
    restore_archive(name=LedgerArchive.objects.get().file_name)
    assert api.post(COSTS, correction).status_code == 201
    assert api.get(f"{COSTS}/{event.id}").json()["net_amount"] == "0.15"
    (again,) = archive_ledger(before=MAY, folder=tmp_path)
    assert (again.sums.rows, again.sums.base_amount) == (2, 150_000_000)
    assert sorted(LedgerArchive.objects.values_list("state", "rows")) == [("archived", 2), ("restored", 1)]
    assert_nothing_lost(2)


def test_a_restored_month_is_left_by_the_schedule(settings, tmp_path):
    settings.COST_DETAIL_MONTHS = 1
    fill(2)
    fill(2, "2021-05")
    now = MAY.replace(month=7)
    assert [each.month for each in archive_by_age(now=now)] == ["2021-04", "2021-05"]
    restore_archive(name=LedgerArchive.objects.get(start=APRIL).file_name)
    assert archive_by_age(now=now) == []
    assert [each.month for each in archive_ledger(before=MAY, folder=tmp_path)] == ["2021-04"]
    record(body("late", "2021-04-20T00:00:00Z"))
    assert [each.month for each in archive_by_age(now=now)] == ["2021-04"]


def test_what_cannot_be_put_back_is_refused(tmp_path):
    fill(3)
    archive_ledger(before=MAY, folder=tmp_path)
    archive = LedgerArchive.objects.get()
    file = path_of(archive)
    with pytest.raises(NotFound, match="neither an archive nor a file"):
        restore_archive(name="ledger-1999-01.ndjson.gz")
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    with pytest.raises(Conflict, match="cannot be read back"):
        restore_archive(name=str(archive.pk))
    file.unlink()
    with pytest.raises(Conflict, match="cannot be read back"):
        restore_archive(name=str(archive.pk))
    assert (CostEvent.objects.count(), LedgerArchive.objects.get().state) == (0, "archived")
    # Wherever the file was moved, its content says which archive it is.
    moved = tmp_path / "elsewhere.gz"
    moved.write_bytes(whole)
    restore_archive(name=str(moved))
    assert CostEvent.objects.count() == 3
    with pytest.raises(Conflict, match="are in the database"):
        restore_archive(name=str(moved))
    assert CostEvent.objects.count() == 3
    assert_nothing_lost(3)


def test_facets_that_were_built_meanwhile_get_the_rows(settings, tmp_path):
    settings.COST_ROLLUP_TAGS = ["env"]
    build_rollups()
    record(*(body(f"e{n}", f"2021-04-1{n}T00:00:00Z", tags={"env": "prod"}) for n in range(3)))
    archive_ledger(before=MAY, folder=tmp_path)
    settings.COST_ROLLUP_PAIRS = ["agent:user"]
    build_rollups()
    restore_archive(name=LedgerArchive.objects.get().file_name)
    for group in ("entity:user", "tag:env"):
        found = cost_breakdown(
            entity=("agent", "a"), start=APRIL, end=MAY, group_by=[group], zone=MAY.tzinfo
        ).groups
        assert [(each.sums.events, each.sums.amount) for each in found] == [(3, 750_000_000)], group
    # Of the agent by its user; of agent, user and fleet by tag.
    assert CostFacetRollupDay.objects.count() == 3 * (1 + 3)
    assert verify_ledger().findings.counts == {}


def test_damaged_rollups_can_be_repaired_once_the_rows_are_back(tmp_path, capsys):
    fill(3)
    archive_ledger(before=MAY, folder=tmp_path)
    CostRollupDay.objects.update(base_amount=1)
    with pytest.raises(SystemExit) as ending:
        call_command("restore_archive", LedgerArchive.objects.get().file_name)
    assert ending.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2021-04  3 rows  0.75 USD  restored from ledger-2021-04-")
    assert lines[1].startswith(
        "Rows and rollups differ (base_amount 3 in the rollups, 750000000 in archives and rows"
    )
    assert verify_ledger(repair_rollups=True).agrees
    assert verify_ledger().findings.counts == {}


def test_the_command_refuses_in_one_sentence():
    with pytest.raises((CommandError, NotFound), match="neither an archive nor a file called nothing"):
        call_command("restore_archive", "nothing")


def restore_until(child, name, least):
    def stop(step, rows):
        if rows >= least:
            child.say("there")
            child.hear()

    restore_archive(name=name, progress=stop)


def test_a_killed_restore_is_completed_by_a_repeat(live_database, tmp_path):
    fill(1800)
    before = everything()
    archive_ledger(before=MAY, folder=tmp_path)
    name = LedgerArchive.objects.get().file_name
    child = Child(restore_until, name, 1000)
    assert child.hear() == "there"
    with pytest.raises(Conflict, match="Another run"):
        restore_archive(name=name)
    child.kill()
    assert (LedgerArchive.objects.get().state, CostEvent.objects.count()) == ("restoring", 1000)
    # Half a month back is not summed over, not archived again and not proved.
    assert verify_ledger().skipped == ["2021-04"]
    whole = cost_breakdown(start=APRIL, end=MAY, zone=MAY.tzinfo).total
    assert (whole.events, whole.amount) == (1800, 1800 * 250_000_000)
    until(lambda: _restored(name))
    assert everything() == before
    assert verify_ledger().findings.counts == {}


def _restored(name):
    """A server notices the death of its client in its own time."""
    try:
        return restore_archive(name=name)
    except Conflict as error:
        if error.code != "archive_running":
            raise
        return None


def record_late(child):
    done = 0
    while not child.spoken_to():
        outcome = record_costs(costs=[late_cost(done + number) for number in range(10)])
        assert len(outcome.accepted) == 10
        done += 10
        if done == 10:
            child.say("begun")
    return done


def late_cost(number):
    return decode_cost(json.dumps(body(f"late/{number}", "2021-04-11T10:00:00Z")).encode())


def test_others_record_into_the_month_meanwhile(live_database, tmp_path):
    fill(1500)
    archive_ledger(before=MAY, folder=tmp_path)
    writer = Child(record_late)
    try:
        assert writer.hear() == "begun"
        restore_archive(name=LedgerArchive.objects.get().file_name)
        writer.say("stop")
        late = writer.result()
    finally:
        writer.kill()
    assert CostEvent.objects.count() == 1500 + late
    assert verify_ledger().findings.counts == {}
