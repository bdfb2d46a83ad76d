"""Runs over the API: begun, followed, finished; their money, results and samples, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.services.outbox import dispatch
from financial.models import CostEvent, Hold
from operations.fleet.models import (
    Agent,
    Run,
    RunDay,
    RunHour,
    RunLatency,
    RunMinute,
    RunVariant,
    Step,
    StepContent,
)
from operations.fleet.services.upkeep import prune_fleet, sweep_lost_runs
from operations.slo.models import SloSample
from operations.slo.selectors.sources import forget_sources
from operations.slo.services.slis import create_sli
from tests.research.experiment_setup import running

from .fleet_world import Api, booked, charge, correct, paid, results, run_of, span_run, tell
from .test_fleet_litellm import payload

pytestmark = pytest.mark.django_db(transaction=True)
NANO = 10**9


@pytest.fixture
def api() -> Api:
    return Api("ingest", "operations:read", "operations:admin", "operations:write")


def start(api: Api, agent: str = "bot", **body: Any) -> str:
    response = api.post("/runs", {"agent": agent, **body})
    assert response.status_code == 201, response.content
    return str(response.json()["run_id"])


def finish(api: Api, run_id: str, **body: Any) -> Any:
    response = api.post(f"/runs/{run_id}/finish", {"status": "ok", **body})
    assert response.status_code == 200, response.content
    return response.json()


def errors(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return [(one["pointer"], one["code"]) for one in response.json()["errors"]]


def test_a_run_from_its_beginning_to_its_end(api):
    began = datetime.now(UTC) - timedelta(seconds=3)
    run_id = start(api, user="ann", session="s-1", environment="prod", started_at=began.isoformat())
    steps = [
        {"step_id": "1", "kind": "inference", "name": "chat", "cost": paid("0.25"), "reported_cost": "0.2"},
        {"step_id": "2", "kind": "tool", "name": "search", "parent": "1"},
        {"step_id": "3", "kind": "inference", "status": "failed", "error_type": "RateLimitError"},
    ]
    response = api.post(f"/runs/{run_id}/steps", {"steps": steps})
    assert response.json() == {
        "accepted": 3, "duplicates": 0, "rejected": [], "control": {"state": "active", "reason": ""},
    }  # fmt: skip
    again = api.post(f"/runs/{run_id}/steps", {"steps": steps})
    assert (again.json()["accepted"], again.json()["duplicates"]) == (0, 3)
    ended = began + timedelta(seconds=2)
    done = finish(api, run_id, scores={"helpful": 0.75}, ended_at=ended.isoformat())
    assert (done["status"], done["cost"], done["latency"]) == ("ok", "0.25", 2.0)
    assert (done["steps"], done["calls"], done["failed_calls"], done["tool_calls"]) == (3, 2, 1, 1)
    shown = api.get(f"/runs/{run_id}").json()
    assert [(one["step_id"], one["depth"], one["cost"], one["status"]) for one in shown["timeline"]] == [
        ("1", 0, "0.25", "ok"), ("2", 1, None, "ok"), ("3", 0, None, "failed"),
    ]  # fmt: skip
    assert (shown["user"], shown["reported_cost"], shown["scores"]) == ("ann", "0.20", {"helpful": 0.75})
    assert booked() == NANO // 4
    event = CostEvent.objects.get()
    assert (event.entity.type, event.entity.key, event.run_id) == ("agent", "bot", run_id)


def test_the_id_comes_from_the_trace_context(api):
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    made = api.post("/runs", {"agent": "bot"}, traceparent=f"00-{trace}-{span}-01")
    assert made.json()["run_id"] == f"{trace}-{span}"
    zero = api.post("/runs", {"agent": "bot"}, traceparent=f"00-{'0' * 32}-{span}-01")
    assert zero.json()["run_id"] != f"{'0' * 32}-{span}"


def test_begun_or_ended_again_in_the_same_words_changes_nothing(api):
    run_id = start(api, run_id="r-1")
    assert start(api, run_id="r-1") == run_id
    other = api.post("/runs", {"agent": "other", "run_id": "r-1"})
    assert (other.status_code, other.json()["code"]) == (409, "run_exists")
    finish(api, run_id, usage=paid("2"))
    finish(api, run_id, usage=paid("2"))
    otherwise = api.post(f"/runs/{run_id}/finish", {"status": "failed"})
    assert (otherwise.status_code, otherwise.json()["code"]) == (409, "run_finished")
    assert booked() == 2 * NANO
    assert Agent.objects.get().key == "bot"


def test_bad_input_is_named_and_nothing_is_stored(api):
    assert errors(api.post("/runs", {"agent": "", "nonsense": 1})) == [
        ("/agent", "bad_value"), ("/nonsense", "unknown_field"),
    ]  # fmt: skip
    assert errors(api.post("/runs", {"agent": "bot", "run_id": "a b"})) == [("/run_id", "bad_id")]
    assert errors(api.post("/runs", {"agent": "bot", "started_at": "1999-01-01T00:00:00Z"})) == [
        ("/started_at", "out_of_range")
    ]
    assert Run.objects.count() == Agent.objects.count() == 0
    run_id = start(api)
    bad = api.post(f"/runs/{run_id}/finish", {"status": "ok", "usage": {"provider": "openai"}})
    assert errors(bad) == [("/usage/usage", "required")]
    worse = api.post(f"/runs/{run_id}/finish", {"status": "ok", "usage": {"amount": "1", "currency": "XXQ"}})
    assert errors(worse) == [("/usage/currency", "unknown_currency")]
    steps = [{"step_id": "1", "kind": "tool"}, {"kind": "poem"}, {"step_id": "2", "kind": "tool", "cost": {}}]
    added = api.post(f"/runs/{run_id}/steps", {"steps": steps}).json()
    assert added["accepted"] == 1
    assert [(one["index"], [e["pointer"] for e in one["errors"]]) for one in added["rejected"]] == [
        (1, ["/step_id", "/kind"]), (2, ["/cost/usage"]),
    ]  # fmt: skip
    assert run_of(run_id).status == "running"
    assert booked() == 0
    assert api.post("/runs/none/steps", {"steps": []}).status_code == 404
    assert api.get("/runs/none").status_code == 404
    assert Api("operations:read").post("/runs", {"agent": "bot"}).status_code == 403


def test_a_switched_off_agent_starts_nothing_and_tells_those_that_run(api):
    run_id = start(api)
    paused = api.post("/agents/bot/pause", {"reason": "too dear"})
    assert (paused.status_code, paused.json()["state"]) == (200, "paused")
    refused = api.post("/runs", {"agent": "bot"})
    assert (refused.status_code, refused.json()["code"]) == (423, "agent_paused")
    assert refused.json()["control"] == {"state": "paused", "reason": "too dear"}
    step = api.post(f"/runs/{run_id}/steps", {"steps": [{"step_id": "1", "kind": "tool"}]})
    assert step.json()["control"] == {"state": "paused", "reason": "too dear"}
    assert run_of(run_id).told_state == "paused"
    api.post("/agents/bot/resume", {})
    start(api)
    api.post("/agents/bot/kill", {"reason": "loops"})
    assert api.post("/runs", {"agent": "bot"}).json()["code"] == "agent_killed"
    assert finish(api, run_id)["control"] == {"state": "killed", "reason": "loops"}
    assert errors(api.post("/agents/bot/pause", {"reason": " "})) == [("/reason", "required")]
    states = [
        event.changes["state"]
        for event in AuditEvent.objects.filter(target_type="operations.Agent", action="update").order_by("id")
    ]
    assert states == [["active", "paused"], ["paused", "active"], ["active", "killed"]]


def test_variants_are_assigned_and_results_follow_the_run(api):
    running("prompt-v2")
    running("by-session", unit="session")
    made = api.post("/runs", {"agent": "bot", "user": "ann", "session": "s-1"}).json()
    assert [(one["experiment"], one["unit_id"], one["in_experiment"]) for one in made["variants"]] == [
        ("by-session", "s-1", True), ("prompt-v2", "ann", True),
    ]  # fmt: skip
    assert made["variants"][1]["payload"]["model"] in ("gpt-4o", "o3")
    run_id = made["run_id"]
    assert RunVariant.objects.filter(variant__in=["control", "treatment"]).count() == 2
    finish(api, run_id, status="failed", scores={"helpful": 0.5}, usage=paid("0.5"))
    found = results()
    assert {name.removeprefix(f"run:{run_id}:") for name in found} == {
        "success", "error", "latency", "cost", "score:helpful",
    }  # fmt: skip
    assert found[f"run:{run_id}:success"] == 0
    assert found[f"run:{run_id}:cost"] == 0.5
    assert found[f"run:{run_id}:score:helpful"] == 0.5


def test_late_and_corrected_costs_reach_run_experiment_and_indicator(api):
    running("prompt-v2")
    create_sli(
        body={
            "key": "run-price",
            "kind": "cost",
            "source": "runs",
            "threshold": 1,
            "source_filter": {"agent": "bot"},
        }
    )
    create_sli(
        body={"key": "others", "kind": "ratio", "source": "runs", "source_filter": {"agent": "nobody"}}
    )
    create_sli(body={"key": "success", "kind": "ratio", "source": "runs"})
    forget_sources()
    run_id = start(api, user="ann")
    finish(api, run_id)
    assert f"run:{run_id}:cost" not in results()
    assert [(one.sli.key, one.good, one.total) for one in SloSample.objects.select_related("sli")] == [
        ("success", 1, 1)
    ]
    event = charge(run_id, "1.5")
    assert run_of(run_id).cost == 0
    assert dispatch().failed == 0
    assert run_of(run_id).cost == 1_500_000_000
    assert results()[f"run:{run_id}:cost"] == 1.5
    assert SloSample.objects.get(sli__key="run-price").value == 1.5
    correct(event, "-1")
    dispatch()
    dispatch()
    assert (run_of(run_id).cost, results()[f"run:{run_id}:cost"]) == (500_000_000, 0.5)
    assert SloSample.objects.get(sli__key="run-price").value == 0.5
    # Replaced, not added: one result and one sample of each kind.
    assert len([name for name in results() if name.endswith(":cost")]) == 1
    assert SloSample.objects.count() == 2
    charge("", "7", event_id="without-a-run")
    assert dispatch().delivered == 0


def test_both_paths_at_once_cost_once_and_more_than_settled_is_said(api):
    """The API says 2 where spans were charged 1.5."""
    run_id = start(api, run_id="both", costs_from="spans")
    tell(span_run("both", shared=True))
    charge("both", "1.5", event_id="span-1")
    done = finish(api, run_id, usage=paid("2"))
    assert (done["cost"], done["compared_cost"], done["under_reported"]) == ("1.50", "2.00", True)
    assert booked() == 1_500_000_000
    same = start(api, run_id="same", costs_from="spans")
    charge("same", "2", event_id="span-2")
    assert finish(api, same, usage=paid("2"))["under_reported"] is False
    assert booked() == 3_500_000_000


def test_the_first_path_to_charge_is_the_one_that_charges(api):
    from django.db import transaction

    from operations.fleet.services.run_costs import claim_charging

    run_id = start(api, run_id="undecided")
    assert run_of(run_id).costs_from == ""
    finish(api, run_id, usage=paid("2"))
    with transaction.atomic():
        assert claim_charging(run_ids=["undecided", "unknown"], path="spans") == {"unknown"}
    assert (run_of(run_id).costs_from, booked()) == ("api", 2 * NANO)


def test_the_usage_of_a_run_is_not_charged_beside_that_of_its_steps(api):
    run_id = start(api)
    api.post(f"/runs/{run_id}/steps", {"steps": [{"step_id": "1", "kind": "inference", "cost": paid("1")}]})
    done = finish(api, run_id, usage=paid("1"))
    assert (done["cost"], done["compared_cost"], done["under_reported"]) == ("1.00", "1.00", False)


@pytest.mark.parametrize(("whole", "compared", "flagged"), [("2", "2.00", False), ("3", "3.00", True)])
def test_the_usage_of_a_run_has_that_of_its_compared_steps_within(api, whole, compared, flagged):
    run_id = start(api, costs_from="spans")
    charge(run_id, "2")
    steps = [{"step_id": name, "kind": "inference", "cost": paid("1")} for name in "ab"]
    api.post(f"/runs/{run_id}/steps", {"steps": steps})
    finish(api, run_id, usage=paid(whole))
    shown = api.get(f"/runs/{run_id}").json()
    assert (shown["cost"], shown["compared_cost"], shown["under_reported"]) == ("2.00", compared, flagged)


def test_steps_that_come_after_the_usage_of_their_run_are_compared(api):
    run_id = start(api)
    finish(api, run_id, usage=paid("1"))
    steps = [{"step_id": name, "kind": "inference", "cost": paid("0.5")} for name in ("1", "finish")]
    assert api.post(f"/runs/{run_id}/steps", {"steps": steps}).json()["accepted"] == 2
    shown = api.get(f"/runs/{run_id}").json()
    assert (shown["cost"], shown["compared_cost"], shown["under_reported"]) == ("1.00", "1.00", False)
    assert booked() == NANO
    # So is what LiteLLM tells of it later.
    said = {"spend_logs_metadata": {"agent_factory.run_id": run_id}}
    assert api.post("/events", payload(metadata=said)).json()["accepted"] == 1
    assert booked() == NANO
    assert run_of(run_id).under_reported


def test_steps_are_charged_by_themselves_whatever_their_ids_and_those_of_their_runs(api):
    for run_id, step_id in (("a", "b/c"), ("a/b", "c"), ("a", "finish")):
        api.post("/runs", {"agent": "bot", "run_id": run_id})
        step = {"step_id": step_id, "kind": "inference", "cost": paid("1")}
        assert api.post(f"/runs/{run_id}/steps", {"steps": [step]}).json()["accepted"] == 1
    assert (run_of("a").cost, run_of("a/b").cost, booked()) == (2 * NANO, NANO, 3 * NANO)
    assert finish(api, "a", usage=paid("2"))["compared_cost"] == "2.00"


def place_hold(amount: str) -> str:
    response = Api("ingest").client.post(
        "/api/v1/financial/holds",
        {"entity_type": "agent", "entity_id": "bot", "cost_type": "llm", "amount": amount, "currency": "USD"},
        content_type="application/json",
        headers={**Api("ingest").headers, "Idempotency-Key": f"k-{Hold.objects.count()}"},
    )
    assert response.status_code == 201, response.content
    return str(response.json()["id"])


def test_a_hold_is_settled_by_the_run_or_the_step_that_names_it(api):
    keeper = Api("ingest", "financial:admin")
    first, second, third = place_hold("4"), place_hold("4"), place_hold("4")
    run_id = start(keeper, hold_id=first)
    finish(keeper, run_id, usage=paid("3"))
    hold = Hold.objects.get(pk=first)
    assert (hold.state, run_of(run_id).cost) == ("settled", 3 * NANO)
    run_id = start(keeper)
    step = {"step_id": "1", "kind": "inference", "cost": paid("1"), "hold_id": second}
    keeper.post(f"/runs/{run_id}/steps", {"steps": [step]})
    keeper.post(f"/runs/{run_id}/steps", {"steps": [step]})
    assert Hold.objects.get(pk=second).state == "settled"
    assert run_of(run_id).cost == NANO
    # So is one that the end names instead of that of the beginning, which is given back.
    former, latter = place_hold("4"), place_hold("4")
    run_id = start(keeper, hold_id=former)
    finish(keeper, run_id, usage=paid("2"), hold_id=latter)
    states = [Hold.objects.get(pk=one).state for one in (former, latter)]
    assert (states, str(run_of(run_id).hold)) == (["released", "settled"], latter)
    # The hold of a run that used nothing is given back.
    finish(keeper, start(keeper, hold_id=third))
    assert Hold.objects.get(pk=third).state == "released"
    assert booked() == 6 * NANO
    # A foreign hold is not touched; the cost counts all the same.
    foreign = place_hold("4")
    run_id = start(api, hold_id=foreign)
    finish(api, run_id, usage=paid("1"))
    assert (Hold.objects.get(pk=foreign).state, run_of(run_id).cost) == ("held", NANO)


def test_a_hold_that_was_settled_directly_is_not_charged_again(api):
    hold = place_hold("4")
    run_id = start(api, hold_id=hold)
    keeper = Api("ingest", "financial:admin")
    settled = keeper.client.post(
        f"/api/v1/financial/holds/{hold}/settle",
        {"amount": "1", "currency": "USD", "run_id": run_id},
        content_type="application/json",
        headers=keeper.headers,
    )
    assert settled.status_code == 200
    done = finish(api, run_id, usage=paid("2"))
    assert (done["cost"], done["compared_cost"], done["under_reported"]) == ("1.00", "2.00", True)
    assert booked() == NANO


def test_rollups_follow_every_change_of_a_run(api):
    run_id = start(api)
    finish(api, run_id, status="failed")
    other = start(api)
    names = ("started", "ended", "failed", "timed")
    for table in (RunMinute, RunHour, RunDay):
        found = table.objects.aggregate(**{name: Sum(name) for name in names})
        assert found == {"started": 2, "ended": 1, "failed": 1, "timed": 1}
    finish(api, other, status="cancelled")
    assert RunDay.objects.aggregate(Sum("cancelled"))["cancelled__sum"] == 1
    assert RunLatency.objects.filter(tier=86_400).aggregate(Sum("runs"))["runs__sum"] == 2


def test_runs_that_never_end_are_lost_until_something_comes(api, settings):
    create_sli(body={"key": "success", "kind": "ratio", "source": "runs"})
    forget_sources()
    run_id = start(api)
    assert sweep_lost_runs() == 0
    later = timezone.now() + settings.RUN_LOST_AFTER + timedelta(seconds=1)
    assert sweep_lost_runs(now=later) == 1
    assert sweep_lost_runs(now=later) == 0
    assert run_of(run_id).status == "lost"
    assert SloSample.objects.get().good == 0
    finish(api, run_id)
    assert run_of(run_id).status == "ok"
    assert SloSample.objects.get().good == 1
    assert RunDay.objects.aggregate(Sum("lost"), Sum("ended")) == {"lost__sum": 0, "ended__sum": 1}


def test_what_was_said_is_kept_redacted_only_where_somebody_said_so_and_not_for_ever(api):
    step = {"step_id": "1", "kind": "inference", "input": "mail ann@example.org, key sk-abcdefghijklmnopqrst"}
    first = start(api)
    api.post(f"/runs/{first}/steps", {"steps": [step]})
    assert StepContent.objects.count() == 0
    etag = api.get("/agents/bot")["ETag"]
    changed = api.patch("/agents/bot", {"keep_content": True, "content_days": 7}, **{"If-Match": etag})
    assert changed.status_code == 200
    second = start(api)
    api.post(f"/runs/{second}/steps", {"steps": [step]})
    shown = api.get(f"/runs/{second}").json()["timeline"][0]["input"]
    assert shown == "mail [e-mail address], key [secret]"
    assert prune_fleet() == 0
    assert prune_fleet(now=timezone.now() + timedelta(days=7, seconds=1)) == 1
    assert (StepContent.objects.count(), Step.objects.count()) == (0, 2)


def test_runs_are_listed_by_what_is_asked(api):
    first = start(api, user="ann", session="s-1")
    second = start(api, agent="other", user="bob")
    finish(api, second, status="failed")

    def ids(query: str) -> list[str]:
        response = api.get(f"/runs?{query}")
        assert response.status_code == 200, response.content
        return [one["run_id"] for one in response.json()["results"]]

    assert ids("") == [second, first]
    assert ids("agent=bot") == [first]
    assert ids("user=bob") == [second]
    assert ids("session=s-1") == [first]
    assert ids("status=failed") == [second]
    assert ids("under_reported=true") == []
    page = api.get("/runs?limit=1").json()
    assert page["next"] is not None
    assert api.get("/runs?nonsense=1").status_code == 400
    assert api.get("/runs?agent=nobody").status_code == 404


def test_a_hold_that_is_mistyped_is_said_where_it_is_given(api):
    assert errors(api.post("/runs", {"agent": "bot", "hold_id": "hold-1"})) == [("/hold_id", "bad_id")]
    run_id = start(api)
    step = {"step_id": "1", "kind": "inference", "cost": paid("1"), "hold_id": "hold-1"}
    refused = api.post(f"/runs/{run_id}/steps", {"steps": [step]}).json()["rejected"]
    assert [one["pointer"] for each in refused for one in each["errors"]] == ["/hold_id"]
    ending = {"status": "ok", "hold_id": "hold-1"}
    assert errors(api.post(f"/runs/{run_id}/finish", ending)) == [("/hold_id", "bad_id")]
    assert (booked(), run_of(run_id).status) == (0, "running")


def test_a_name_twice_in_one_object_is_refused(api):
    def send(path: str, body: str) -> Any:
        kind = "application/json"
        return api.client.post(f"/api/v1/operations{path}", body, content_type=kind, headers=api.headers)

    refused = send("/runs", '{"agent": "bot", "agent": "cat"}')
    assert (refused.status_code, refused.json()["code"]) == (400, "duplicate_name")
    run_id = start(api)
    tool = '{"step_id": "1", "kind": "tool", "name": "a"}'
    twice = '{"step_id": "2", "kind": "tool", "kind": "agent", "name": "b"}'
    refused = send(f"/runs/{run_id}/steps", f'{{"steps": [], "steps": [{tool}]}}')
    assert (refused.status_code, refused.json()["code"]) == (400, "duplicate_name")
    answer = send(f"/runs/{run_id}/steps", f'{{"steps": [{tool}, {twice}]}}').json()
    assert (answer["accepted"], [one["index"] for one in answer["rejected"]]) == (1, [1])
    assert answer["rejected"][0]["errors"][0]["code"] == "duplicate_name"
    refused = send(f"/runs/{run_id}/finish", '{"status": "ok", "status": "failed"}')
    assert (refused.status_code, refused.json()["code"]) == (400, "duplicate_name")
    assert (run_of(run_id).status, run_of(run_id).steps) == ("running", 1)
