"""Many processes record at once, and some die: nothing twice, nothing half."""

from __future__ import annotations

import json
import signal

from financial.models import CostEvent
from tests.financial.books import assert_books_agree
from tests.processes import PATIENCE

from .child import finish, start

RECORD = """
import json
from financial.domain.cost_input import decode_cost
from financial.services.record_costs import record_costs

def batch(first, count, agents=7):
    return [decode_cost(json.dumps({
        "source": "s", "event_id": str(n), "occurred_at": f"2026-11-02T10:{n % 60:02d}:00Z",
        "entity_type": "agent", "entity_id": f"a{n % agents}", "entities": {"user": f"u{n % 11}", "team": "t"},
        "cost_type": "llm", "provider": "openai", "model": ["gpt-4o", "o3", "nobodys-model"][n % 3],
        "usage": {"input_tokens": n, "output_tokens": n % 5},
    }).encode()) for n in range(first, first + count)]

print("ready", flush=True)
sys.stdin.readline()
"""


def run_together(code: str, database: str, count: int) -> list[str]:
    children = [start(RECORD + code, database, str(n)) for n in range(count)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    return [finish(child) for child in children]


def test_identical_batches_from_eight_processes_are_recorded_once(live_database):
    code = """
outcome = record_costs(costs=batch(0, 300))
print(json.dumps([len(outcome.accepted), len(outcome.duplicates), len(outcome.rejected)]))
"""
    outcomes = [json.loads(line) for line in run_together(code, live_database, 8)]
    assert sum(accepted for accepted, _, _ in outcomes) == 300
    assert sum(duplicates for _, duplicates, _ in outcomes) == 7 * 300
    assert CostEvent.objects.count() == 300
    assert_books_agree()


def test_overlapping_batches_in_different_order_do_not_wait_in_circles(live_database):
    code = """
me = int(sys.argv[1])
accepted = 0
for n in range(12):
    costs = batch((n * 25 + me * 10) % 200, 60)
    if me % 2:
        costs.reverse()
    accepted += len(record_costs(costs=costs).accepted)
print(accepted)
"""
    accepted = sum(int(line) for line in run_together(code, live_database, 6))
    assert CostEvent.objects.count() == accepted
    assert_books_agree()


def test_a_process_killed_while_recording_leaves_whole_batches_only(live_database):
    code = """
for n in range(100000):
    print(len(record_costs(costs=batch(n * 50, 50)).accepted), flush=True)
"""
    child = start(RECORD + code, live_database)
    assert child.stdout.readline() == "ready\n"
    child.stdin.write("go\n")
    child.stdin.flush()
    for _ in range(3):
        assert child.stdout.readline() == "50\n"
    child.send_signal(signal.SIGKILL)
    reported = 3 + len(child.stdout.read().splitlines())
    child.wait(timeout=PATIENCE)
    stored = CostEvent.objects.count()
    assert stored % 50 == 0
    # What was answered is there; at most the one in flight is there without an answer.
    assert 50 * reported <= stored <= 50 * (reported + 1)
    assert_books_agree()
    again = start(RECORD + f"print(len(record_costs(costs=batch(0, {stored + 50})).accepted))", live_database)
    assert again.stdout.readline() == "ready\n"
    again.stdin.write("go\n")
    again.stdin.flush()
    assert finish(again) == "50\n"
    assert_books_agree()
