"""What a run reported against what it was charged: whoever tells of it, in whatever order."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import pytest
from django.db import transaction

from operations.fleet.domain.comparing import Compared, is_under_reported, together
from operations.fleet.models import Run
from operations.telemetry.services.charging import record_overdue

from .fleet_world import Api, charge, correct, paid, run_of
from .otlp import agent, chat
from .otlp_books import settle, take

pytestmark = pytest.mark.django_db(transaction=True)

NANO = 10**9
CALL = 35_000
"""Nano-USD of a call of gpt-4o with ten tokens in and one out, which is what every span says."""


def calls(times: int) -> dict[str, Any]:
    """The usage of so many calls."""
    return {
        "provider": "openai",
        "model": "gpt-4o",
        "usage": {"input_tokens": 10 * times, "output_tokens": times},
    }


def tell_spans(api: Api, run_id: str, times: int) -> None:
    said = {"agent_factory.run.id": run_id}
    trace = run_id.encode().ljust(16, b".")[:16]
    take(
        agent(1, trace=trace, attributes=said),
        *(chat(2 + number, parent=1, trace=trace) for number in range(times)),
    )


def tell_steps(api: Api, run_id: str, times: int) -> None:
    steps = [{"step_id": f"s-{number}", "kind": "inference", "cost": calls(1)} for number in range(times)]
    answer = api.post(f"/runs/{run_id}/steps", {"steps": steps})
    assert answer.json()["accepted"] == times, answer.content


def tell_whole(api: Api, run_id: str, times: int) -> None:
    answer = api.post(f"/runs/{run_id}/finish", {"status": "ok", "usage": calls(times)})
    assert answer.status_code == 200, answer.content


WAYS = {"spans": tell_spans, "steps": tell_steps, "whole": tell_whole}


def charged_by(order: tuple[str, ...], path: str) -> str:
    """Who charges: what is declared, of the API's two ways the first; else whoever is first."""
    if path == "spans":
        return "spans"
    told = [way for way in order if way != "spans"] if path == "api" else list(order)
    return told[0]


@pytest.mark.parametrize("path", ["spans", "api", None])
def test_the_same_usage_told_three_times_is_no_more_than_was_charged(path: str | None) -> None:
    api = Api("ingest", "operations:read")
    for number, order in enumerate(permutations(WAYS)):
        for most in ("", *WAYS):
            run_id = f"{path}-{number}-{most}"
            begun = {"agent": "support", "run_id": run_id} | ({"costs_from": path} if path else {})
            assert api.post("/runs", begun).status_code == 201
            with transaction.atomic():
                for way in order:
                    WAYS[way](api, run_id, 3 if way == most else 2)
            settle()
            run = run_of(run_id)
            by = charged_by(order, path or "")
            assert run.cost == CALL * (3 if most == by else 2), (order, most)
            assert run.under_reported == (most not in ("", by)), (order, most)
            assert run.other_cost == CALL * (3 if most not in ("", by) else 2), (order, most)


def test_calls_of_which_one_was_settled_elsewhere_are_held_against_the_rest(
    settled_hold: Any,
) -> None:
    """Two calls of one each: one is charged, the other's hold was settled with a half."""
    api = Api("ingest", "operations:read")
    run_id = api.post("/runs", {"agent": "bot", "costs_from": "api"}).json()["run_id"]
    steps = [
        {"step_id": "a", "kind": "inference", "cost": paid("1")},
        {"step_id": "b", "kind": "inference", "cost": paid("1"), "hold_id": settled_hold("0.5", run_id)},
    ]
    assert api.post(f"/runs/{run_id}/steps", {"steps": steps}).json()["accepted"] == 2
    settle()
    run = run_of(run_id)
    assert (run.cost, run.other_cost, run.under_reported) == (3 * NANO // 2, NANO, True)
    charge(run_id, "0.5")
    settle()
    assert not run_of(run_id).under_reported


@pytest.fixture
def settled_hold() -> Any:
    from financial.services.hold_settling import Settling, settle_hold
    from financial.services.holds import HoldRequest, place_hold

    def make(amount: str, run_id: str | None) -> str:
        held = HoldRequest(
            owner="key:test", entity=("agent", "bot"), amount=4 * NANO, currency="USD", cost_type="llm"
        )
        hold = place_hold(request=held).hold
        settling = Settling(amount=amount, currency="USD", run_id=run_id)
        settle_hold(hold_id=hold.pk, owner=None, settling=settling)
        return str(hold.pk)

    return make


@pytest.mark.parametrize("at_finish", [False, True])
@pytest.mark.parametrize(("used", "more"), [("1", False), ("2", True)])
def test_a_hold_that_was_settled_without_its_run_is_what_the_run_is_compared_with(
    at_finish: bool, used: str, more: bool, settled_hold: Any
) -> None:
    api = Api("ingest", "operations:read")
    named = {"hold_id": settled_hold("1", None)}
    run_id = api.post("/runs", {"agent": "bot", **({} if at_finish else named)}).json()["run_id"]
    ending = {"status": "ok", "usage": paid(used), **(named if at_finish else {})}
    done = api.post(f"/runs/{run_id}/finish", ending).json()
    assert (done["cost"], done["compared_cost"], done["under_reported"]) == ("0.00", f"{used}.00", more)
    # What comes later is held against it as well.
    charge(run_id, "0")
    settle()
    assert run_of(run_id).under_reported is more
    charge(run_id, "1", event_id="more")
    settle()
    assert not run_of(run_id).under_reported


def test_a_charge_that_somebody_corrected_is_not_under_reported_by_what_it_was() -> None:
    """Only what was not charged is held against the ledger."""
    api = Api("ingest", "operations:read")
    run_id = api.post("/runs", {"agent": "bot", "costs_from": "api"}).json()["run_id"]
    event = charge(run_id, "2")
    tell_spans(api, run_id, 1)
    correct(event, "-1.5")
    settle()
    assert (run_of(run_id).cost, run_of(run_id).under_reported) == (NANO // 2, False)


def test_a_call_that_waits_for_its_agent_is_compared_when_it_is_settled() -> None:
    api = Api("ingest", "operations:read")
    run_id = api.post("/runs", {"agent": "support", "run_id": "late", "costs_from": "api"}).json()["run_id"]
    trace = b"late".ljust(16, b".")
    take(chat(2, parent=1, trace=trace), chat(3, parent=1, trace=trace))
    tell_whole(api, run_id, 2)
    take(agent(1, trace=trace, attributes={"agent_factory.run.id": run_id}))
    assert record_overdue() == 0
    settle()
    run = Run.objects.get(run_id="late")
    assert (run.cost, run.compared_spans, run.under_reported) == (2 * CALL, 2 * CALL, False)


def test_reports_are_held_against_the_ledger_each_by_itself() -> None:
    amounts = (None, 0, 5)
    for spans, steps, whole, charged in product(amounts, amounts, amounts, (0, 5, 9)):
        told = [one for one in (spans, steps, whole) if one is not None]
        compared = Compared(spans, steps, whole)
        flagged = is_under_reported(compared, {"": charged}, 1)
        assert flagged == (bool(told) and max(told) > charged + 1)
        if spans:
            assert is_under_reported(compared, {"spans": 7, "": charged}, 1) == (
                max(spans + 7, *told) > 7 + charged + 1
            )
    assert together(Compared(1, None, 2), Compared(None, None, 3)) == Compared(1, None, 5)
