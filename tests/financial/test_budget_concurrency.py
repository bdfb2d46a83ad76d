"""Budgets that are made and changed while other processes record: no cost is missed, none counted twice."""

from __future__ import annotations

from agent_factory_site.common.services.entities import resolve_entities
from financial.models import Budget, BudgetPeriod, CostEvent
from financial.selectors.budget_index import budget_index
from financial.services.budgets import archive_budget, change_budget, create_budget
from financial.services.verify_budgets import verify_budgets

from .budget_books import assert_budgets_agree
from .child import finish, start

RECORD = """
import json
from datetime import UTC, datetime, timedelta
from financial.domain.cost_input import CostInput
from financial.services.record_costs import record_costs

me = int(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
rejected = 0
for n in range(int(sys.argv[2])):
    now = datetime.now(UTC)
    costs = [CostInput(
        source=f"s{me}", event_id=f"{n}/{i}", occurred_at=now - timedelta(minutes=20 * i), entity_type="agent",
        entity_id=f"a{(n + i) % 3}", entities={"team": "t"}, cost_type="llm", amount="0.25", currency="USD",
        tags={"env": "prod" if i % 2 else "test"},
    ) for i in range(10)]
    rejected += len(record_costs(costs=costs).rejected)
    print(n, flush=True)
print(json.dumps(rejected))
"""


def recorders(database: str, count: int, batches: int):
    children = [start(RECORD, database, str(number), str(batches)) for number in range(count)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
    return children


def rejected(child) -> str:
    """What it was refused, after it ended well; read as its first lines were, whose buffer may hold the rest."""
    lines = child.stdout.read().split()
    assert child.wait(120) == 0
    return lines[-1]


def make(number: int, parent: Budget | None = None) -> Budget:
    shapes = [
        {"entity_type": "*", "period": "day"},
        {"entity_type": "agent", "entity_id": "*", "period": "hour", "timezone": "Asia/Kathmandu"},
        {"entity_type": "agent", "entity_id": "a1", "period": "month", "filters": {"tags": {"env": "prod"}}},
        {"entity_type": "agent", "entity_id": "a2", "period": "rolling:2d"},
        {"entity_type": "team", "entity_id": "t", "period": "total", "enforcement": "soft"},
    ]
    given = {"name": f"b{number}", "limit": "100000", "currency": "USD", "enforcement": "hard"}
    return create_budget(**given | shapes[number % len(shapes)], parent=parent.pk if parent else None)


def test_budgets_made_amid_recording_miss_no_cost_and_count_none_twice(live_database):
    resolve_entities([("*", "*")])
    children = recorders(live_database, 3, 40)
    for number, child in enumerate(children):
        assert child.stdout.readline() == "0\n", number
    budgets = [make(number) for number in range(10)]
    assert CostEvent.objects.count() < 3 * 40 * 10
    assert [rejected(child) for child in children] == ["0"] * 3
    assert CostEvent.objects.count() == 3 * 40 * 10
    assert BudgetPeriod.objects.get(budget=budgets[4]).settled == 3 * 40 * 10 * 250_000_000
    assert_budgets_agree()
    assert verify_budgets().differences == []


def test_changes_and_archiving_amid_recording_keep_the_books(live_database):
    parent = create_budget(
        name="top", entity_type="agent", entity_id="a0", limit="100000", currency="USD", period="total"
    )
    children = recorders(live_database, 3, 30)
    for child in children:
        assert child.stdout.readline() == "0\n"
    made = []
    for number in range(5):
        made.append(make(number, parent))
        change_budget(budget_id=parent.pk, limit=str(100_000 + number), thresholds=[(number + 1) / 10_000])
        change_budget(budget_id=made[0].pk, limit=str(number), enforcement="hard")
    archive_budget(budget_id=made[1].pk)
    archive_budget(budget_id=made[3].pk)
    assert [rejected(child) for child in children] == ["0"] * 3
    assert_budgets_agree()
    assert verify_budgets().differences == []


def test_a_process_that_remembers_budgets_notices_every_change(live_database):
    child = start(
        """
from financial.selectors.budget_index import budget_index
from django.db import transaction
for line in sys.stdin:
    with transaction.atomic():
        found = budget_index()
    print(sorted((rule.limit, rule.counts_until is not None) for rule in found.rules.values()), flush=True)
""",
        live_database,
    )

    def seen() -> str:
        child.stdin.write("\n")
        child.stdin.flush()
        return child.stdout.readline().strip()

    assert seen() == "[]"
    row = create_budget(name="n", entity_type="agent", entity_id="a", limit="1", currency="USD", period="day")
    assert seen() == "[(1000000000, False)]"
    change_budget(budget_id=row.pk, limit="2")
    assert seen() == "[(2000000000, False)]"
    Budget.objects.filter(pk=row.pk).update(limit=3)
    assert seen() == "[(3, False)]"
    archive_budget(budget_id=row.pk)
    assert seen() == "[(3, True)]"
    assert not [rule for rule in budget_index().rules.values() if rule.counts_until is None]
    finish(child)
