"""Batches of spans in the database: the recorded requests end to end, in any order, in parts and twice."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import zip_longest
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum

from financial.models import CostEvent
from operations.fleet.models import Run, Step
from operations.telemetry.domain.spans import Span
from operations.telemetry.models import PendingCharge
from operations.telemetry.services.ingest import ingest_spans

from .otlp import RECORDED, expected
from .otlp_books import books, decoded, net, settle, take

pytestmark = pytest.mark.django_db

TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_request_comes_to_what_its_client_meant(name: str) -> None:
    want = expected()["captures"][name]
    ingest_spans(decoded=decoded(name))
    settle()
    charges = CostEvent.objects.filter(source="otlp")
    sums = charges.aggregate(*map(Sum, TOKENS))
    assert charges.count() == want["llm_calls_with_usage"]
    assert {one: sums[f"{one}__sum"] for one in TOKENS} == {one: want[one] for one in TOKENS}
    assert Decimal(sum(net().values())) / 10**9 == Decimal(str(want["cost_usd"]))
    calls = Step.objects.filter(kind="inference", counted=True)
    assert calls.filter(failed=True).count() == want["failed_llm_calls"]
    tools = Counter(Step.objects.filter(kind="tool", counted=True).values_list("tool__key", flat=True))
    assert tools == want["tool_calls"]
    assert set(Run.objects.values_list("agent__key", flat=True)) == set(want["agents"])
    assert Run.objects.count() == (want["agent_runs"] or 0)
    assert Run.objects.filter(status="failed").count() == want["failed_agent_runs"]
    assert not Run.objects.filter(provisional=True).exists()


def test_models_without_a_price_are_unpriced_and_reported_costs_stand_beside() -> None:
    ingest_spans(decoded=decoded("pydantic_ai.bin"))
    settle()
    assert (
        CostEvent.objects.filter(unpriced=1).values_list("series__model", flat=True).distinct().get()
        == "test"
    )
    assert CostEvent.objects.filter(unpriced=1).count() == 2
    assert Step.objects.get(reported_cost__isnull=False).reported_cost == 5_400_000


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("waits", [True, False], ids=["in time", "late"])
def test_however_it_is_delivered_it_comes_to_the_same(name: str, waits: bool) -> None:
    spans = decoded(name).spans
    half = len(spans) // 2
    ways: dict[str, list[list[Span]]] = {
        "at once": [spans],
        "twice": [spans, spans],
        "halves": [spans[:half], spans[half:]],
        "other half first": [spans[half:], spans[:half]],
        "one by one": [[one] for one in spans],
        "backwards": [[one] for one in reversed(spans)],
        "interleaved": [
            [one for one in pair if one is not None]
            for pair in zip_longest(spans[:half], reversed(spans[half:]))
        ],
        "each again": [[one, one, spans[0]] for one in spans],
    }
    found: dict[str, Any] = {}
    for way, batches in ways.items():
        with transaction.atomic():
            for batch in batches:
                take(*batch)
                if not waits:
                    settle()
            settle()
            found[way] = books()
            assert not PendingCharge.objects.exists()
            transaction.set_rollback(True)
    for way, said in found.items():
        for book in said:
            assert said[book] == found["at once"][book], (way, book)
