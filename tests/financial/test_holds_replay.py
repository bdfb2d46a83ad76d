"""Real traffic against hard budgets: whatever is offered is admitted or refused, and no nano-unit is overspent."""

from __future__ import annotations

import csv
from itertools import islice

import pytest
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.errors import PaymentRequired
from financial.domain.cost_input import UsageInput
from financial.models import BudgetOverrun, BudgetPeriod, CostEvent, Hold
from financial.services.hold_amounts import highest_amount
from financial.services.hold_settling import Settling, settle_hold
from financial.services.holds import HoldRequest, place_hold
from tests.processes import Child

from .books import assert_books_agree
from .test_holds import make_budget
from .traces import AZURE_CONV, Trace

AGENTS = 5
LONGEST_ANSWER = 1500


def requests_of(trace: Trace, count: int) -> list[tuple[int, int]]:
    """Input and output tokens of the first ``count`` requests, in the order of arrival."""
    with trace.path.open(newline="") as file:
        rows = islice(csv.DictReader(file), count)
        return [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in rows]


def replay(child: Child, offered: list[tuple[int, int]], first: int, step: int) -> tuple[int, int, int]:
    """Every ``step``-th request: held for at its dearest, settled at what it came to."""
    admitted = refused = highest = 0
    with acting(Actor.system("replay")):
        for number in range(first, len(offered), step):
            input_tokens, output_tokens = offered[number]
            usage = {"input_tokens": input_tokens}
            held = HoldRequest(
                owner="replay",
                entity=("agent", f"bot-{number % AGENTS}"),
                entities={"team": "support"},
                amount=highest_amount(
                    provider="openai",
                    model="gpt-4o",
                    usage=usage,
                    max_tokens=LONGEST_ANSWER,
                    at=timezone.now(),
                ),
                currency="USD",
                cost_type="llm",
                provider="openai",
                model="gpt-4o",
            )
            try:
                placed = place_hold(request=held)
            except PaymentRequired:
                refused += 1
                continue
            admitted += 1
            highest += placed.hold.amount
            spent = UsageInput(input_tokens=input_tokens, output_tokens=output_tokens)
            settle_hold(hold_id=placed.hold.id, owner="replay", settling=Settling(usage=spent))
    return admitted, refused, highest


@pytest.mark.parametrize(
    ("count", "limit"), [(600, 2), pytest.param(AZURE_CONV.rows, 60, marks=pytest.mark.slow)]
)
def test_a_real_trace_is_admitted_up_to_the_limit(live_database, count, limit):
    offered = requests_of(AZURE_CONV, count)
    assert max(output for _, output in offered) <= LONGEST_ANSWER
    fleet = make_budget(limit, "*", "*")
    make_budget(limit, "support", "team", parent=fleet)
    for number in range(AGENTS):
        make_budget(1 + limit // 3, f"bot-{number}")
    processes = 4
    children = [Child(replay, offered, first, processes) for first in range(processes)]
    outcomes = [child.result(timeout=3600) for child in children]
    admitted, refused = (sum(each[place] for each in outcomes) for place in (0, 1))
    assert admitted + refused == len(offered)
    assert admitted > 0
    assert refused > 0
    spent = CostEvent.objects.aggregate(amount=Sum("base_amount"))["amount"]
    assert Hold.objects.filter(state="settled").count() == admitted == CostEvent.objects.count()
    row = BudgetPeriod.objects.get(budget=fleet)
    assert (row.settled, row.held, row.overrun, row.provisional) == (spent, 0, 0, 0)
    assert spent <= row.limit
    # What was refused did not fit: less is left than the dearest request may cost.
    assert row.limit - spent < highest_amount_of(offered)
    assert not BudgetOverrun.objects.exists()
    parts = BudgetPeriod.objects.filter(budget__entity_type="agent")
    assert parts.aggregate(amount=Sum("settled"))["amount"] == spent
    assert_books_agree()
    print(f"{connection.vendor}: {admitted} admitted, {refused} refused of {len(offered)}")


def highest_amount_of(offered: list[tuple[int, int]]) -> int:
    usage = {"input_tokens": max(tokens for tokens, _ in offered)}
    return highest_amount(
        provider="openai", model="gpt-4o", usage=usage, max_tokens=LONGEST_ANSWER, at=timezone.now()
    )
