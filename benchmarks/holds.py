"""Holds in-process, and what budgets cost the ledger.

A hold in one hard budget stands against the bare conditional UPDATE of a period row in a transaction of
its own. A batch of 1,000 events with 10,000 budgets in use stands against the same without any.
"""

from __future__ import annotations

import gc
import time
from collections import deque
from statistics import median
from typing import Any, Final

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.money import NANO
from agent_factory_site.common.periods import floor_period
from agent_factory_site.common.selectors.entities import EntityName
from agent_factory_site.common.services.entities import resolve_entities
from financial.models import Budget, BudgetPeriod, BudgetRevision
from financial.services.holds import HoldRequest, place_hold
from financial.services.record_costs import record_costs

from .outcome import Outcome
from .rounds import milliseconds, ratio
from .traffic import WIDE, costs, take

HOLDS: Final = 60
ROUNDS: Final = 14
BUDGETS: Final = 10_000
BATCH: Final = 1000
LIMIT: Final = 10**9 * NANO
HOLD_BAR: Final = 4.0
INGEST_BAR: Final = 1.25


def main() -> list[Outcome]:
    return [_hold_against_update(), _ingest_with_budgets()]


def add_budgets(names: list[EntityName], *, enforcement: str = "hard") -> list[Budget]:
    """A monthly budget for each entity, with more than will be spent."""
    numbers = resolve_entities(names)
    start = floor_period(timezone.now(), "month", timezone.get_default_timezone()).start
    with transaction.atomic():
        budgets: list[Budget] = Budget.objects.bulk_create(
            [
                Budget(
                    name=f"{kind} {key}",
                    entity_type=kind,
                    entity_id=numbers[kind, key],
                    limit=LIMIT,
                    currency="USD",
                    period="month",
                    enforcement=enforcement,
                    thresholds=[0.8, 1.0],
                    counts_from=start.replace(year=2020),
                )
                for kind, key in names
            ]
        )
        BudgetRevision.objects.update_or_create(id=1, defaults={"token": uuid7()})
    return budgets


def remove_budgets() -> None:
    """Leave no budget in use."""
    with transaction.atomic():
        Budget.objects.filter(archived_at=None).update(archived_at=timezone.now())
        BudgetRevision.objects.update_or_create(id=1, defaults={"token": uuid7()})


def hold_one(agent: str = "agent-0") -> HoldRequest:
    """A hold of a ten-thousandth."""
    return HoldRequest(
        owner="benchmark",
        entity=("agent", agent),
        amount=NANO // 10_000,
        currency="USD",
        cost_type="llm",
        idempotency_key=str(uuid7()),
        fingerprint="x",
    )


def _hold_against_update() -> Outcome:
    (budget,) = add_budgets([("agent", "agent-0")])
    place_hold(request=hold_one())
    row = BudgetPeriod.objects.get(budget=budget)
    now = connection.ops.adapt_datetimefield_value(timezone.now())

    def bare() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(
                "UPDATE financial_budgetperiod SET held = held + %s WHERE id = %s AND "
                '(good_until IS NULL OR good_until > %s) AND (NOT hard OR settled + held + %s <= "limit") '
                "RETURNING settled + held, alert_at",
                [1, row.pk, now, 1],
            )
            assert cursor.fetchone()

    taken: dict[str, list[float]] = {"hold": [], "bare": []}
    for turn in range(ROUNDS * HOLDS):
        request = hold_one()
        for name in ("hold", "bare") if turn % 2 else ("bare", "hold"):
            began = time.perf_counter()
            if name == "hold":
                place_hold(request=request)
            else:
                bare()
            taken[name].append(time.perf_counter() - began)
    remove_budgets()
    return Outcome(
        "placing a hold in one hard budget, median, against the bare conditional UPDATE in a transaction",
        median(taken["hold"]) / median(taken["bare"]),
        "x of the UPDATE",
        "<=",
        HOLD_BAR,
        f"hold {milliseconds(taken['hold'])}, UPDATE {milliseconds(taken['bare'])}",
    )


def _ingest_with_budgets() -> Outcome:
    source = costs(WIDE, seed=31)
    known: set[EntityName] = set()
    for cost in take(source, 3 * BATCH):
        known |= {(cost.entity_type, cost.entity_id), *cost.entities.items()}
    named = sorted(known)[:BUDGETS]
    named += [("project", f"other-{n}") for n in range(BUDGETS - len(named))]
    waiting = deque(take(source, BATCH) for _ in range(2 * ROUNDS + 4))
    taken: dict[str, list[float]] = {"with": [], "without": []}
    budgets = add_budgets(named)
    token = {"with": uuid7(), "without": None}
    touched = 0
    for turn in range(ROUNDS + 2):
        for name in ("with", "without") if turn % 2 else ("without", "with"):
            _use(budgets if name == "with" else [], token[name])
            batch = waiting.popleft()
            record_costs(costs=take(source, 1))
            gc.collect()
            began = time.perf_counter()
            outcome = record_costs(costs=batch)
            seconds = time.perf_counter() - began
            assert len(outcome.accepted) == BATCH
            if turn > 1:
                taken[name].append(seconds)
    touched = BudgetPeriod.objects.filter(budget__in=[each.pk for each in budgets]).count()
    remove_budgets()
    return Outcome(
        f"1,000 events in a batch with {len(named):,} budgets in use, {touched:,} of which count some of them",
        ratio(taken["with"], taken["without"]),
        "x of the same without budgets",
        "<=",
        INGEST_BAR,
        f"with {milliseconds(taken['with'])}, without {milliseconds(taken['without'])}",
    )


def _use(budgets: list[Budget], token: Any) -> None:
    """Let the budgets be in use, or none, without writing ten thousand rows each time."""
    BudgetRevision.objects.all().delete()
    if budgets:
        BudgetRevision.objects.create(id=1, token=token)


__all__ = ["add_budgets", "hold_one", "main", "remove_budgets"]
