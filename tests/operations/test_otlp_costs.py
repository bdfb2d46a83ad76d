"""Charges of traces as the ledger takes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from financial.domain.cost_rules import Limits, check_cost
from operations.telemetry.domain.costs import moment_of, to_cost
from operations.telemetry.domain.reading import read_spans
from operations.telemetry.domain.runs import derive_changes

from .otlp import NOON, RECORDED, SECOND, Books, agent, chat, derive, read_recorded, run_id, span, tool

pytestmark = pytest.mark.once

RECEIVED = datetime(2026, 11, 23, tzinfo=UTC)
EARLIEST = datetime(2020, 1, 1, tzinfo=UTC)
LIMITS = Limits(EARLIEST, RECEIVED + timedelta(hours=1), 10**18)


@pytest.mark.parametrize("name", RECORDED)
def test_the_ledger_finds_nothing_wrong_with_the_recorded_calls(name: str) -> None:
    charges = derive_changes(read_recorded(name), {}).charges
    assert charges
    for charge in charges:
        assert check_cost(to_cost(charge, received=RECEIVED, earliest=EARLIEST), LIMITS) == []


def test_a_charge_as_a_cost() -> None:
    said = {"user.id": "u-1", "deployment.environment.name": "production", "service.version": "1.4"}
    (charge,) = derive(agent(1), chat(2, 1, start=1, attributes=said)).charges
    cost = to_cost(charge, received=RECEIVED, earliest=EARLIEST)
    assert (cost.source, cost.event_id, cost.run_id) == ("otlp", charge.event_id, run_id(1))
    assert cost.occurred_at == moment_of(NOON) + timedelta(milliseconds=1)
    assert (cost.entity_type, cost.entity_id, cost.entities) == ("agent", "support", {"user": "u-1"})
    assert (cost.provider, cost.model, cost.cost_type) == ("openai", "gpt-4o", "llm")
    assert cost.tags == {"environment": "production", "release": "1.4"}
    assert (cost.amount, cost.currency) == (None, None)


def test_what_nobody_named_is_unknown() -> None:
    (charge,) = derive(
        chat(1, attributes={"gen_ai.provider.name": "", "gen_ai.request.model": "unknown"})
    ).charges
    cost = to_cost(charge, received=RECEIVED, earliest=EARLIEST)
    assert (cost.entity_id, cost.provider, cost.model, cost.run_id) == ("unknown", "unknown", "unknown", None)
    assert check_cost(cost, LIMITS) == []


def test_a_clock_that_cannot_be_right_is_not_believed() -> None:
    (charge,) = derive(chat(1)).charges
    said = moment_of(NOON)
    for received, earliest, want in (
        (said - timedelta(minutes=5), EARLIEST, said),
        (said - timedelta(minutes=6), EARLIEST, said - timedelta(minutes=6)),
        (said + timedelta(days=30), EARLIEST, said),
        (said + timedelta(days=30), said + timedelta(seconds=1), said + timedelta(days=30)),
    ):
        assert to_cost(charge, received=received, earliest=earliest).occurred_at == want
    assert moment_of(NOON + SECOND // 2 + 999) == said + timedelta(milliseconds=500)


def test_a_call_by_its_answer_alone_around_an_agent_is_its_total_however_they_come() -> None:
    said = {
        "gen_ai.operation.name": "newest_step", "gen_ai.request.model": "gpt-4o", "gen_ai.response.id": "r",
        "gen_ai.usage.input_tokens": 20,
    }  # fmt: skip
    outer, inner = span(said, number=1), (agent(2, 1), chat(3, 2), chat(4, 2))
    for spans in ((outer, *inner), (*inner, outer)):
        charged = [charge.event_id[-2:] for charge in derive(*spans).charges]
        assert sorted(charged) == ["03", "04"]
        books = Books()
        for one in spans:
            books.take(read_spans([one]))
        assert sorted(event_id[-2:] for event_id in books.costs) == ["03", "04"]
    # What a tool called is none of its own.
    called = (outer, tool(2, 1), chat(3, 2))
    assert sorted(charge.event_id[-2:] for charge in derive(*called).charges) == ["01", "03"]
    assert [charge.event_id[-2:] for charge in derive(outer, agent(2, 1)).charges] == ["01"]
