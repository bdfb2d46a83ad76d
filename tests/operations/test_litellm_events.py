"""LiteLLM's generic logger, as it is, reporting to a real server."""

from __future__ import annotations

import json

import pytest
from django.db.models import Sum
from django.test import Client

from agent_factory_site.common.services.api_keys import create_api_key
from financial.models import CostEvent
from operations.fleet.models import Run, Step
from tests.common.callers import granian, key_headers

from .client_programs import python_apart, run_client
from .stand_ins import keeper

pytestmark = pytest.mark.django_db(transaction=True)

SITE = "agent_factory_site.wsgi:application"
EVENTS = "/api/v1/operations/events"
TOKENS = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")


def report(url: str, key: str) -> None:
    """Let LiteLLM make its five calls and tell of them."""
    run_client(
        "litellm_calls",
        "generic_api",
        collector=url,
        python=python_apart(),
        GENERIC_LOGGER_ENDPOINT=url + EVENTS,
        GENERIC_LOGGER_HEADERS=f"Authorization=Bearer {key}",
    )


@pytest.mark.once_when_quick
def test_what_the_generic_logger_tells_is_recorded_to_the_unit(live_database: str) -> None:
    key = create_api_key(name="litellm", scopes=["ingest"])[1]
    with granian(SITE, live_database) as url:
        report(url, key)
    run = Run.objects.select_related("agent", "user").get()
    assert (run.agent.key, run.user and run.user.key, run.session) == ("helpdesk", "u-7", "")
    # The call that came last went well: a run in which calls failed before has not failed.
    assert (run.status, run.source, run.calls, run.failed_calls) == ("ok", "events", 5, 2)
    charged = {
        model: (tuple(said[:4]), said[4])
        for model, *said in CostEvent.objects.values_list("series__model").annotate(
            *map(Sum, (*TOKENS, "base_amount"))
        )
    }
    assert charged == {
        "gpt-4o": ((1200, 800, 340, 64), 5_400_000),
        "gpt-4o-mini": ((12, 0, 6, 0), 5_400),
        "text-embedding-3-small": ((10, 0, 0, 0), 200),
    }
    assert set(CostEvent.objects.values_list("run_id", "entity__key")) == {(run.run_id, "helpdesk")}
    steps = Step.objects.values_list("kind", "model", "failed", "error_type", "reported_cost")
    assert sorted(steps) == [
        ("embedding", "text-embedding-3-small", False, "", 200),
        ("inference", "gpt-4o", False, "", 5_400_000),
        ("inference", "gpt-4o", True, "InternalServerError", 0),
        ("inference", "gpt-4o", True, "RateLimitError", 0),
        ("inference", "gpt-4o-mini", False, "", 5_400),
    ]


def test_told_in_any_order_and_twice_it_is_recorded_once(client: Client, transactional_db: None) -> None:
    with keeper() as kept:
        report(kept.url, "af_none")
    (request,) = kept.requests
    assert (request.path, request.headers["authorization"]) == (EVENTS, "Bearer af_none")
    calls = json.loads(request.body)
    headers = key_headers("ingest")
    answers = [
        client.post(EVENTS, batch, content_type="application/json", headers=headers).json()
        for batch in (calls[3:], calls[:2], calls, calls[2], calls[::-1])
    ]
    assert [(said["accepted"], said["duplicates"]) for said in answers] == [
        (2, 0),
        (2, 0),
        (1, 4),
        (0, 1),
        (0, 5),
    ]
    assert [said["rejected"] for said in answers] == [[]] * 5
    run = Run.objects.get()
    assert (run.status, run.calls, run.failed_calls) == ("ok", 5, 2)
    assert CostEvent.objects.aggregate(Sum("base_amount")) == {"base_amount__sum": 5_405_600}
