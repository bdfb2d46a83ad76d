"""Costs that wait for the span they belong to, holds, and what is kept of what was said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from financial.models import CostEvent, Hold
from financial.services.exchange_rates import add_exchange_rate
from financial.services.hold_settling import Settling, settle_hold
from financial.services.holds import HoldRequest, place_hold
from financial.services.price_overrides import set_price_override
from financial.services.verify_ledger import verify_ledger
from operations.fleet.models import Agent, Run, Step, StepContent
from operations.fleet.selectors.runs import step_costs
from operations.telemetry.domain.content import is_content
from operations.telemetry.domain.conventions import is_wanted
from operations.telemetry.domain.decode import decode_traces
from operations.telemetry.models import PendingCharge, TelemetrySource, Trace
from operations.telemetry.services.charging import record_overdue
from operations.telemetry.services.ingest import ingest_spans
from operations.telemetry.services.kept_content import forget_answer, wanted_attributes
from operations.telemetry.services.retention import prune_traces
from tests.processes import run_all

from .fleet_world import correct
from .otlp import agent, chain, chat, request, run_id, tool
from .otlp_books import books, net, settle, take, used

pytestmark = pytest.mark.django_db

PRICE = 25_000
"""Nano-USD of ten tokens in; one token out costs 10,000 more."""


def test_a_cost_waits_for_the_agent_that_it_may_belong_to() -> None:
    take(chat(2, parent=1))
    assert not CostEvent.objects.exists()
    assert PendingCharge.objects.count() == 1
    assert record_overdue() == 0
    take(agent(1))
    row = CostEvent.objects.get()
    assert (row.run_id, row.entity.key, row.base_amount) == (run_id(1), "support", PRICE + 10_000)
    assert not PendingCharge.objects.exists()
    assert Run.objects.get().cost == PRICE + 10_000


def test_a_cost_that_waited_long_enough_is_recorded_and_moved_when_its_agent_comes() -> None:
    take(chat(2, parent=1))
    settle()
    assert net() == {("", "unknown", "gpt-4o"): PRICE + 10_000}
    take(agent(1))
    assert net() == {(run_id(1), "support", "gpt-4o"): PRICE + 10_000}
    kinds = CostEvent.objects.order_by("recorded_at", "id").values_list("kind", "base_amount")
    assert list(kinds) == [("charge", 35_000), ("correction", -35_000), ("charge", 35_000)]
    assert Run.objects.get().cost == PRICE + 10_000
    before = books()
    take(chat(2, parent=1), agent(1))
    settle()
    assert books() == before


def test_a_charge_without_a_price_is_moved_when_its_agent_comes() -> None:
    take(chat(2, parent=1, attributes={"gen_ai.request.model": "nobody-sells-this"}))
    settle()
    assert unpriced() == {("", "unknown"): 1}
    take(agent(1))
    assert unpriced() == {(run_id(1), "support"): 1}
    run = Run.objects.get()
    assert (run.cost, run.costs, run.unpriced, run.input_tokens) == (0, 1, 1, 10)
    assert not verify_ledger().findings.counts


def test_the_tokens_of_a_moved_charge_go_with_it() -> None:
    first, second = agent(1, name="first"), agent(2, parent=1, name="second")
    take(first, chat(3, parent=4))
    settle()
    take(chat(5, parent=1), second)
    assert used() == {("", "unknown", "gpt-4o"): (10, 1, 0), (run_id(1), "first", "gpt-4o"): (10, 1, 0)}
    take(chain(4, parent=2))
    assert used() == {
        (run_id(1), "first", "gpt-4o"): (10, 1, 0),
        (run_id(2), "second", "gpt-4o"): (10, 1, 0),
    }
    for run in Run.objects.all():
        assert (run.cost, run.costs, run.input_tokens, run.output_tokens) == (35_000, 1, 10, 1)
    step = Step.objects.get(step_id=run_id(3))
    assert step_costs([step.cost_key]) == {step.cost_key: (35_000, 0)}
    assert not verify_ledger().findings.counts


def test_a_moved_charge_that_the_ledger_refuses_waits() -> None:
    """Its price is in another currency meanwhile, of which there is no rate for the day."""
    take(chat(2, parent=1))
    settle()
    rates = {"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "1"}}
    early = datetime(2026, 1, 1, tzinfo=UTC)
    set_price_override(provider="openai", model="gpt-4o", rates=rates, valid_from=early, currency="EUR")
    take(agent(1))
    assert (net(), used()) == ({}, {})
    assert PendingCharge.objects.get().due_at > timezone.now() + timedelta(minutes=9)
    day = CostEvent.objects.values_list("occurred_at", flat=True)[0].date()
    add_exchange_rate(base="EUR", quote="USD", day=day, rate="2")
    settle()
    assert net() == {(run_id(1), "support", "gpt-4o"): 22_000}
    assert used() == {(run_id(1), "support", "gpt-4o"): (10, 1, 0)}
    assert Run.objects.get().cost == 22_000
    assert not verify_ledger().findings.counts


def test_a_moved_charge_keeps_the_corrections_that_somebody_made() -> None:
    take(chat(2, parent=1))
    settle()
    charge = CostEvent.objects.get()
    correct(charge.id, "-0.000015")
    take(agent(1))
    assert net() == {(run_id(1), "support", "gpt-4o"): 20_000}
    assert used() == {(run_id(1), "support", "gpt-4o"): (10, 1, 0)}
    assert not verify_ledger().findings.counts


def test_a_call_that_is_told_again_leaves_no_tokens_twice() -> None:
    take(agent(1), chat(2, parent=1))
    take(chat(3, parent=2))
    run = Run.objects.get()
    assert (run.cost, run.costs, run.input_tokens, run.output_tokens) == (35_000, 1, 10, 1)
    told = Step.objects.get(step_id=run_id(2))
    assert (told.charged, told.cost_key) == (False, None)
    assert not verify_ledger().findings.counts


def unpriced() -> dict[tuple[str, str], int]:
    """What has no price, by run and agent."""
    rows = CostEvent.objects.values_list("run_id", "entity__key").annotate(Sum("unpriced"))
    return {(run, agent): count for run, agent, count in rows if count}


def test_a_call_that_is_told_again_by_a_span_inside_it_is_corrected_to_nothing() -> None:
    take(agent(1), chat(2, parent=1))
    assert net() == {(run_id(1), "support", "gpt-4o"): 35_000}
    take(chat(3, parent=2))
    assert net() == {(run_id(1), "support", "gpt-4o"): 35_000}
    assert CostEvent.objects.filter(kind="correction", base_amount=-35_000).count() == 1
    assert Run.objects.get().cost == 35_000


def placed(cents: int = 100) -> Hold:
    held = HoldRequest(
        owner="key:test",
        entity=("agent", "support"),
        amount=cents * 10_000_000,
        currency="USD",
        cost_type="llm",
    )
    return place_hold(request=held).hold


def test_a_call_settles_the_hold_it_names_once() -> None:
    hold = placed()
    take(agent(1), chat(2, parent=1, attributes={"agent_factory.hold.id": str(hold.pk)}))
    hold.refresh_from_db()
    assert hold.state == "settled"
    assert CostEvent.objects.get(pk=hold.event).base_amount == 35_000
    take(chat(3, parent=1, attributes={"agent_factory.hold.id": str(hold.pk)}))
    assert sum(CostEvent.objects.values_list("base_amount", flat=True)) == 70_000


def test_a_hold_that_its_client_settled_is_not_charged_again() -> None:
    hold = placed()
    settle_hold(hold_id=hold.pk, owner=None, settling=Settling(amount="0.001", currency="USD"))
    take(agent(1), chat(2, parent=1, attributes={"agent_factory.hold.id": str(hold.pk)}))
    assert [row.base_amount for row in CostEvent.objects.all()] == [1_000_000]
    step = Step.objects.get(kind="inference")
    assert (step.charged, step.other_cost, step.cost_key) == (False, 35_000, None)


@pytest.mark.parametrize("unknown", ["not-an-id", "0190aaaa-0000-7000-8000-000000000000"])
def test_a_hold_that_nobody_knows_does_not_keep_a_call_from_being_charged(unknown: str) -> None:
    take(agent(1), chat(2, parent=1, attributes={"agent_factory.hold.id": unknown}))
    assert net() == {(run_id(1), "support", "gpt-4o"): 35_000}


SAID = {
    "gen_ai.input.messages": '[{"role": "user", "content": "I am ada@example.org, card 4111 1111 1111 1111"}]',
    "gen_ai.output.messages": '[{"role": "assistant", "content": "Welcome"}]',
}


def test_prompts_are_not_even_decoded_unless_an_agent_keeps_them() -> None:
    forget_answer()
    assert wanted_attributes() is is_wanted
    assert not any(is_wanted(name) for name in SAID)
    assert all(is_content(name) for name in SAID)
    body = request({"gen_ai.operation.name": "chat", **SAID}).SerializeToString()
    ingest_spans(decoded=decode_traces(body, "protobuf", wanted=wanted_attributes()))
    assert not StepContent.objects.exists()


def test_an_agent_that_keeps_content_keeps_it_redacted_and_for_its_days() -> None:
    take(agent(9, name="support"), agent(8, name="other"))
    Agent.objects.filter(key="support").update(keep_content=True, content_days=7)
    forget_answer()
    try:
        wanted = wanted_attributes()
        assert all(wanted(name) for name in SAID)
        take(
            agent(1), chat(2, parent=1, attributes=SAID),
            agent(3, name="other"), chat(4, parent=3, attributes=SAID),
        )  # fmt: skip
    finally:
        forget_answer()
    content = StepContent.objects.get()
    assert content.step.run.agent.key == "support"
    assert "ada@example.org" not in content.input
    assert "4111" not in content.input
    assert "[card number]" in content.input
    assert content.output == SAID["gen_ai.output.messages"]
    assert timedelta(days=6, hours=23) < content.expires_at - datetime.now(UTC) < timedelta(days=7)


def test_traces_are_forgotten_and_what_came_of_them_is_not_counted_again() -> None:
    take(agent(1), chat(2, parent=1), tool(3, parent=1))
    before = books()
    Trace.objects.update(updated_at=timezone.now() - timedelta(days=15))
    assert (prune_traces(), Trace.objects.count()) == (1, 0)
    take(agent(1), chat(2, parent=1), tool(3, parent=1))
    settle()
    assert books() == before


def deliver(child: Any, part: int) -> int:
    """One exporter of several that send the same trace at once."""
    from agent_factory_site.common.caching import clear_committed_caches

    clear_committed_caches()
    spans = [agent(1), *(chat(number, parent=1) for number in range(2, 12)), tool(12, parent=1)]
    with acting(Actor.system(f"exporter-{part}")):
        for start in range(len(spans)):
            order = spans[(start + part * 3) % len(spans) :] + spans[: (start + part * 3) % len(spans)]
            take(*order[: 1 + part])
    return part


@pytest.mark.django_db(transaction=True)
def test_processes_that_send_the_same_trace_at_once_count_it_once() -> None:
    run_all(deliver, [(part,) for part in range(4)])
    settle()
    run = Run.objects.get()
    assert (run.calls, run.tool_calls, run.steps, run.status) == (10, 1, 11, "ok")
    assert net() == {(run_id(1), "support", "gpt-4o"): 350_000}
    assert Step.objects.filter(run=run).count() == 11
    source = TelemetrySource.objects.get()
    assert source.requests == 4 * 12
    assert source.accepted == source.duplicates + 12 == 12 * (1 + 2 + 3 + 4)


def test_a_total_whose_calls_nobody_tells_of_is_a_call_without_usage_until_they_come() -> None:
    total = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 1}
    take(agent(1, attributes=total))
    assert (Run.objects.get().calls_without_usage, Run.objects.get().calls) == (1, 0)
    assert not CostEvent.objects.exists()
    take(chat(2, parent=1))
    assert (Run.objects.get().calls_without_usage, Run.objects.get().calls) == (0, 1)
    assert CostEvent.objects.get().base_amount == PRICE + 10_000
