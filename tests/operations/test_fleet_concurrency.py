"""Real processes at one run: each cost once, each end once, and the switch is seen."""

from __future__ import annotations

import pytest
from django.db.models import Sum

from agent_factory_site.common.errors import Conflict, Locked
from agent_factory_site.common.services.outbox import dispatch
from operations.fleet.domain.run_input import CallCost, FinishInput, RunInput, StepInput
from operations.fleet.models import Agent, RunDay, Step
from operations.fleet.services.run_steps import add_steps
from operations.fleet.services.runs import finish_run, start_run
from operations.fleet.services.switch import pause_agent
from tests.processes import Child, run_all

from .fleet_world import booked, charge, run_of, span_run, tell

pytestmark = pytest.mark.django_db(transaction=True)
NANO = 10**9


def _finish(child: Child, number: int) -> str:
    usage = CallCost(amount=str(number % 2 + 1), currency="USD")
    try:
        done = finish_run(run_id="r", finish=FinishInput(status="ok", usage=usage))
    except Conflict:
        return "refused"
    return "replayed" if done.replayed else "finished"


def test_of_many_finishers_one_ends_the_run_and_charges(live_database):
    start_run(run=RunInput(agent="bot", run_id="r"))
    outcomes = run_all(_finish, [(number,) for number in range(6)])
    assert outcomes.count("finished") == 1
    assert sorted(outcomes) == ["finished", "refused", "refused", "refused", "replayed", "replayed"]
    assert booked() == run_of("r").cost
    assert booked() in (NANO, 2 * NANO)
    assert RunDay.objects.aggregate(Sum("ended"))["ended__sum"] == 1


def _path(child: Child, path: str) -> None:
    if path == "api":
        finish_run(run_id="r", finish=FinishInput(status="ok", usage=CallCost(amount="2", currency="USD")))
        return
    from django.db import transaction

    from operations.fleet.services.run_costs import claim_charging

    with transaction.atomic():
        tell(span_run("r", shared=True))
        if claim_charging(run_ids=["r"], path="spans"):
            charge("r", "2", event_id="span")


def test_both_paths_at_once_cost_once(live_database):
    start_run(run=RunInput(agent="bot", run_id="r"))
    run_all(_path, [("api",), ("spans",)])
    dispatch()
    row = run_of("r")
    assert (booked(), row.cost, row.status) == (2 * NANO, 2 * NANO, "ok")
    assert row.under_reported is False


def _steps(child: Child, number: int) -> list[str]:
    states = []
    for step in range(20):
        cost = CallCost(amount="0.01", currency="USD")
        said = StepInput(step_id=f"{step}", kind="inference", cost=cost)
        states.append(add_steps(run_id="r", steps=[said]).control.state)
        child.say("stepped")
        if step == 9:
            child.hear()
    return states


def test_steps_sent_by_all_are_stored_once_and_a_pause_is_seen_at_the_next(live_database):
    start_run(run=RunInput(agent="bot", run_id="r"))
    children = [Child(_steps, number) for number in range(3)]
    for child in children:
        for _ in range(10):
            assert child.hear() == "stepped"
    pause_agent(agent="bot", reason="stop")
    for child in children:
        child.say("go on")
    for child in children:
        for _ in range(10):
            assert child.hear() == "stepped"
        assert child.result() == ["active"] * 10 + ["paused"] * 10
    assert (Step.objects.count(), run_of("r").steps, run_of("r").calls) == (20, 20, 20)
    assert booked() == run_of("r").cost == NANO // 5
    with pytest.raises(Locked):
        start_run(run=RunInput(agent="bot"))


def _start(child: Child, number: int) -> int:
    for one in range(10):
        start_run(run=RunInput(agent=f"agent-{one}", run_id=f"{number}-{one}", user=f"user-{one}"))
    return number


def test_racing_starts_register_each_agent_once(live_database):
    run_all(_start, [(number,) for number in range(4)])
    assert Agent.objects.count() == 10
    assert RunDay.objects.aggregate(Sum("started"))["started__sum"] == 40
