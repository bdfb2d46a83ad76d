"""Processes that archive are killed; others record meanwhile: nothing is lost, nothing is twice."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from agent_factory_site.common.errors import Conflict, Invalid
from financial.domain.cost_input import decode_cost
from financial.models import CostEvent, LedgerArchive
from financial.selectors.breakdown import cost_breakdown
from financial.services.archive_ledger import MonthInUse, archive_ledger
from financial.services.record_costs import record_costs
from financial.services.verify_ledger import verify_ledger
from tests.processes import Child, until

from .archives import MAY, assert_nothing_lost, body, fill, left_over

EVENTS = 2600


def archive_until(child, folder, step, least):
    """Archive, and stop dead where ``step`` has been done to ``least`` rows."""

    def stop(doing, rows):
        if doing == step and rows >= least:
            child.say("there")
            child.hear()

    archive_ledger(before=MAY, folder=folder, progress=stop)


@pytest.mark.parametrize(
    ("step", "least", "state"),
    [("exporting", 2000, "exporting"), ("removing", 0, "exported"), ("removing", 1000, "removing")],
)
def test_a_killed_archive_is_completed_by_a_repeat(live_database, tmp_path, step, least, state):
    fill(EVENTS)
    fill(10, "2021-05")
    child = Child(archive_until, tmp_path, step, least)
    assert child.hear() == "there"
    with pytest.raises(Conflict, match="Another run"):
        archive_ledger(before=MAY, folder=tmp_path)
    child.kill()
    archive = LedgerArchive.objects.get()
    if CostEvent.objects.count() < EVENTS + 10:
        # SQLite removes in steps: what the killed one left is neither summed over nor corrected.
        assert (archive.state, CostEvent.objects.count()) == ("removing", EVENTS + 10 - 500)
        with pytest.raises(Invalid, match="archived"):
            cost_breakdown(start=MAY.replace(month=4, minute=1), end=MAY, zone=MAY.tzinfo)
        assert verify_ledger().skipped == ["2021-04"]
    else:
        assert archive.state == ("exported" if state == "removing" else state)
        assert verify_ledger().findings.counts == {}
    whole = cost_breakdown(start=MAY.replace(month=4), end=MAY, zone=MAY.tzinfo)
    assert (whole.total.events, whole.total.amount) == (EVENTS, EVENTS * 250_000_000)

    until(lambda: bool(_archived(tmp_path)))
    assert CostEvent.objects.count() == 10
    assert (LedgerArchive.objects.count(), LedgerArchive.objects.get().rows) == (1, EVENTS)
    assert left_over(tmp_path) == []
    assert_nothing_lost(EVENTS + 10)


def _archived(folder):
    """A server notices the death of its client in its own time."""
    try:
        return archive_ledger(before=MAY, folder=folder)
    except Conflict as error:
        if error.code != "archive_running":
            raise
        return []


def record_late(child, writer):
    """Costs of the month that is archived, one batch after another."""
    batches = 0
    while not child.spoken_to():
        costs = [
            decode_cost(json.dumps(body(f"w{writer}/{batches}/{number}", "2021-04-11T10:00:00Z")).encode())
            for number in range(10)
        ]
        assert len(record_costs(costs=costs).accepted) == 10
        batches += 1
        if batches == 1:
            child.say("begun")
    return batches * 10


def test_late_events_are_recorded_while_their_month_is_archived(live_database, tmp_path):
    fill(600)
    writers = [Child(record_late, number) for number in range(2)]
    try:
        for writer in writers:
            assert writer.hear() == "begun"
        with suppress(MonthInUse):
            archive_ledger(before=MAY, folder=tmp_path)
        for writer in writers:
            writer.say("stop")
        events = 600 + sum(writer.result() for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
    archive_ledger(before=MAY, folder=tmp_path)
    assert CostEvent.objects.count() == 0
    assert_nothing_lost(events)
