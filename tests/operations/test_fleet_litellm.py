"""LiteLLM's StandardLoggingPayload: each call once, priced by us, in the run that it belongs to."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from financial.models import CostEvent
from operations.fleet.models import Agent, Run, Step

from .fleet_world import Api, booked, run_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api() -> Api:
    return Api("ingest", "operations:read")


def payload(event_id: str = "chatcmpl-1", **changes: Any) -> dict[str, Any]:
    """A payload as LiteLLM 1.106 sends it, of 1,000 tokens in (400 of them cached) and 100 out."""
    end = time.time()
    values: dict[str, Any] = {
        "id": event_id,
        "trace_id": "trace-1",
        "call_type": "acompletion",
        "stream": False,
        "status": "success",
        "custom_llm_provider": "openai",
        "model": "gpt-4o",
        "model_group": "fast",
        "response_cost": 0.0035,
        "total_tokens": 1100,
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "startTime": end - 2,
        "endTime": end,
        "completionStartTime": end,
        "end_user": "ann",
        "cache_hit": None,
        "metadata": {
            "user_api_key_alias": "support",
            "usage_object": {"prompt_tokens_details": {"cached_tokens": 400}},
        },
        "response": {"model": "gpt-4o"},
        "error_information": {"error_class": ""},
    }
    return {**values, **changes}


def send(api: Api, body: Any) -> dict[str, Any]:
    response = api.post("/events", body)
    assert response.status_code == 200, response.content
    found: dict[str, Any] = response.json()
    return found


def test_a_call_is_a_step_a_cost_and_a_run(api):
    assert send(api, payload()) == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert send(api, [payload(), payload()]) == {"accepted": 0, "duplicates": 2, "rejected": []}
    run = run_of("litellm:trace-1")
    # 600 tokens at 2.50, 400 cached at 1.25 and 100 out at 10 USD a million.
    assert (run.cost, run.reported_cost, run.input_tokens, run.cached_tokens) == (
        3_000_000,
        3_500_000,
        1000,
        400,
    )
    assert (run.status, run.agent.key, run.user.key, run.source) == ("ok", "support", "ann", "events")
    event = CostEvent.objects.get()
    assert (event.source, event.event_id, event.run_id) == ("litellm", "chatcmpl-1", "litellm:trace-1")
    assert Step.objects.get().charged


def test_the_last_call_says_how_a_run_went(api):
    failed = payload("1", status="failure", error_information={"error_class": "RateLimitError"})
    later = payload("2", startTime=time.time(), endTime=time.time() + 1)
    for batch in ([later], [failed]):
        send(api, batch)
    run = run_of("litellm:trace-1")
    assert (run.status, run.calls, run.failed_calls, run.steps) == ("ok", 2, 1, 2)
    send(api, payload("3", status="failure", startTime=time.time() + 2, endTime=time.time() + 3))
    assert run_of("litellm:trace-1").status == "failed"
    assert Run.objects.count() == 1


def test_a_caller_names_run_and_agent(api):
    run_id = api.post("/runs", {"agent": "planner", "costs_from": "api"}).json()["run_id"]
    metadata = {"requester_metadata": {"agent_factory.run_id": run_id, "agent_factory.agent": "planner"}}
    send(api, payload(metadata=metadata))
    assert (run_of(run_id).status, run_of(run_id).calls) == ("running", 1)
    api.post(f"/runs/{run_id}/finish", {"status": "ok"})
    run = run_of(run_id)
    assert (run.status, run.agent.key, run.cost) == ("ok", "planner", 3_500_000)
    assert Agent.objects.count() == 1


def test_what_spans_charge_is_only_compared(api):
    run_id = api.post("/runs", {"agent": "planner", "costs_from": "spans"}).json()["run_id"]
    send(api, payload(metadata={"requester_metadata": {"agent_factory.run_id": run_id}}))
    run = run_of(run_id)
    assert (run.cost, run.other_cost, run.under_reported, booked()) == (0, 3_500_000, True, 0)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"id": None}, "/id"),
        ({"startTime": "soon"}, "/startTime"),
        ({"endTime": 1e300}, "/endTime"),
        ({"prompt_tokens": -1}, "/prompt_tokens"),
        ({"prompt_tokens": 10**13}, "/prompt_tokens"),
        ({"completion_tokens": 1.5}, "/completion_tokens"),
    ],
)
def test_bad_payloads_are_named_and_the_good_ones_stored(api, changes, pointer):
    done = send(api, [payload("bad", **changes), payload("good")])
    assert (done["accepted"], [one["index"] for one in done["rejected"]]) == (1, [0])
    assert done["rejected"][0]["errors"][0]["pointer"] == pointer
    assert Step.objects.get().step_id == "good"


def test_odd_values_do_no_harm(api):
    odd = payload(
        "odd",
        metadata="none",
        response=[],
        response_cost=-1,
        end_user="\0",
        trace_id="t" * 400,
        cache_hit=True,
    )
    assert send(api, odd)["accepted"] == 1
    step = Step.objects.get()
    assert (step.charged, step.reported_cost, booked()) == (False, None, 0)
    assert len(Run.objects.get().run_id) == len("litellm:") + 64
    assert api.post("/events", "nonsense").status_code == 400
    assert send(api, [1])["rejected"][0]["errors"][0]["code"] == "not_an_object"
    assert not math.isnan(Run.objects.get().latency)


def test_the_first_token_of_a_run_is_that_of_its_first_call_that_streamed(api: Api) -> None:
    end = float(int(time.time()))
    calls = [
        payload("late", stream=True, startTime=end - 3, completionStartTime=end - 2.5, endTime=end - 2),
        payload("whole", startTime=end - 5, completionStartTime=end - 4, endTime=end - 4),
        payload("early", stream=True, startTime=end - 4, completionStartTime=end - 3.25, endTime=end - 3),
    ]
    for call in calls:
        assert api.post("/events", call).status_code == 200
    assert run_of("litellm:trace-1").first_token == 1_750_000
