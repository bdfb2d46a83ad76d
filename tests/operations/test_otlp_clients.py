"""Real clients that report to a real server: runs, calls, tokens and money, to the unit."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from django.db.models import Sum

from agent_factory_site.common.services.api_keys import create_api_key
from financial.models import CostEvent
from operations.fleet.models import Run, Step
from operations.telemetry.models import TelemetrySource
from tests.common.callers import granian

from .client_truths import BY_NAME, Client, Tokens
from .otlp_books import settle

pytestmark = pytest.mark.django_db(transaction=True)

SITE = "agent_factory_site.wsgi:application"


# What the older and the second forms say is the same again: on one database that is enough.
ON_BOTH = ("LiteLLM", "genai-openai")


def _marks(name: str, client: Client) -> list[pytest.MarkDecorator]:
    if name in ON_BOTH:
        return []
    return [pytest.mark.once if client.apart else pytest.mark.once_when_quick]


@pytest.fixture(
    params=[pytest.param(name, marks=_marks(name, client)) for name, client in sorted(BY_NAME.items())]
)
def client(request: pytest.FixtureRequest) -> Client:
    return BY_NAME[request.param]


def test_a_client_that_points_here_is_recorded_to_the_unit(client: Client, live_database: str) -> None:
    key = create_api_key(name="agents", scopes=["ingest"])[1]
    with granian(SITE, live_database) as url:
        # Small batches: most children arrive before their parents, in requests of their own.
        client.run(url, key, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="2")
    settle()
    assert _runs() == sorted(
        (run.agent, run.error, run.calls, run.failed_calls, run.tools, run.parent, run.user)
        for run in client.runs
    )
    assert not Run.objects.filter(provisional=True).exists()
    tokens, costs, unpriced, loose = _ledger()
    assert tokens == {run.agent: run.tokens for run in client.runs if run.tokens != Tokens()}
    assert costs == {run.agent: run.cost for run in client.runs if run.cost}
    assert unpriced == {run.agent: run.unpriced for run in client.runs if run.unpriced}
    assert loose == Counter({(call.model, call.tokens, call.cost): 1 for call in client.loose})
    steps = Step.objects.filter(counted=True)
    calls = steps.filter(kind__in=("inference", "embedding"), run__isnull=False)
    assert calls.count() == sum(run.calls for run in client.runs)
    assert steps.filter(kind="tool").count() == sum(run.tools for run in client.runs)
    source = TelemetrySource.objects.get()
    assert (source.service, source.rejected, source.duplicates) == (client.program, 0, 0)


def _runs() -> list[tuple[Any, ...]]:
    runs = {run.pk: run for run in Run.objects.select_related("agent", "user")}
    assert {run.status for run in runs.values()} <= {"ok", "failed"}
    return sorted(
        (
            run.agent.key,
            run.error_type if run.status == "failed" else "",
            run.calls,
            run.failed_calls,
            run.tool_calls,
            runs[run.parent].agent.key if run.parent else "",
            run.user.key if run.user else "",
        )
        for run in runs.values()
    )


def _ledger() -> tuple[dict[str, Tokens], dict[str, int], dict[str, int], Counter[Any]]:
    """Tokens, nano-USD and calls without a price by agent, and what belongs to no run."""
    tokens: dict[str, Tokens] = defaultdict(Tokens)
    costs, unpriced, loose = Counter[str](), Counter[str](), Counter[Any]()
    agents = dict(Run.objects.values_list("run_id", "agent__key"))
    rows = CostEvent.objects.values_list("run_id", "entity__key", "series__model").annotate(
        *map(
            Sum,
            (
                "input_tokens",
                "cache_read_tokens",
                "output_tokens",
                "reasoning_tokens",
                "base_amount",
                "unpriced",
            ),
        )
    )
    for run_id, entity, model, *said in rows:
        used, cost, without_price = Tokens(*said[:4]), said[4], said[5]
        if not run_id:
            assert (entity, without_price) == ("unknown", 0)
            loose[model, used, cost] += 1
            continue
        assert agents[run_id] == entity
        tokens[entity] = Tokens(*map(sum, zip(tokens[entity], used, strict=True)))
        costs[entity] += cost
        unpriced[entity] += without_price
    return dict(tokens), dict(+costs), dict(+unpriced), loose
