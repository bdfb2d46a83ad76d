"""Budgets that are made and changed while other processes record: no cost is missed, none counted twice."""

from __future__ import annotations

from agent_factory_site.common.services.entities import resolve_entities
from financial.models import Budget, BudgetPeriod, CostEvent
from financial.selectors.budget_index import budget_index
from financial.services.budgets import archive_budget, change_budget, create_budget
from financial.services.verify_budgets import verify_budgets
from tests.processes import PATIENCE

from .budget_books import assert_budgets_agree
from .child import finish, start

RECORD = """
import select
from datetime import UTC, datetime, timedelta
from financial.domain.cost_input import CostInput
from financial.services.record_costs import record_costs

me = int(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
rejected = n = 0
while not n or not select.select([sys.stdin], [], [], 0)[0]:
    now = datetime.now(UTC)
    costs = [CostInput(
        source=f"s{me}", event_id=f"{n}/{i}", occurred_at=now - timedelta(minutes=20 * i), entity_type="agent",
        entity_id=f"a{(n + i) % 3}", entities={"team": "t"}, cost_type="llm", amount="0.25", currency="USD",
        tags={"env": "prod" if i % 2 else "test"},
    ) for i in range(10)]
    rejected += len(record_costs(costs=costs).rejected)
    n += 1
    print(n, flush=True)
print(rejected)
"""


def recorders(database: str, count: int):
    """Processes that record until they are told to stop, and have recorded something."""
    children = [start(RECORD, database, str(number)) for number in range(count)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        assert child.stdout.readline() == "1\n"
    return children


def stop(children) -> list[int]:
    """How many batches each has recorded, once it has ended well and was refused nothing."""
    for child in children:
        child.stdin.write("stop\n")
        child.stdin.flush()
    # Read as the first lines were, whose buffer may hold the rest.
    lines = [child.stdout.read().split() for child in children]
    assert [child.wait(PATIENCE) for child in children] == [0] * len(children)
    assert [each[-1] for each in lines] == ["0"] * len(children)
    return [len(each) for each in lines]


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
    children = recorders(live_database, 3)
    budgets = [make(number) for number in range(10)]
    events = sum(stop(children)) * 10
    assert CostEvent.objects.count() == events
    assert BudgetPeriod.objects.get(budget=budgets[4]).settled == events * 250_000_000
    assert_budgets_agree()
    assert verify_budgets().differences == []


def test_changes_and_archiving_amid_recording_keep_the_books(live_database):
    parent = create_budget(
        name="top", entity_type="agent", entity_id="a0", limit="100000", currency="USD", period="total"
    )
    children = recorders(live_database, 3)
    made = []
    for number in range(5):
        made.append(make(number, parent))
        change_budget(budget_id=parent.pk, limit=str(100_000 + number), thresholds=[(number + 1) / 10_000])
        change_budget(budget_id=made[0].pk, limit=str(number), enforcement="hard")
    archive_budget(budget_id=made[1].pk)
    archive_budget(budget_id=made[3].pk)
    stop(children)
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
