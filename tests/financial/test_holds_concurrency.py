"""Many processes and threads hold at once: never too much, never too little, and nobody waits in a circle."""

from __future__ import annotations

import json
from collections import Counter

from django.db import connection
from django.db.models import F, Sum

from agent_factory_site.common.money import NANO
from financial.models import BudgetPeriod, CostEvent, Hold

from .books import assert_books_agree
from .child import finish, start
from .test_holds import make_budget, sums

PREPARE = """
import json
import threading
from collections import Counter
from django.db import connection
from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.errors import PaymentRequired
from agent_factory_site.common.money import NANO
from financial.services.hold_settling import Settling, release_hold, settle_hold
from financial.services.holds import HoldRequest, place_hold

me, threads = int(sys.argv[1]), int(sys.argv[2])
counts = Counter()
lock = threading.Lock()

def hold(agent, **given):
    try:
        placed = place_hold(request=HoldRequest(
            owner="t", entity=("agent", agent), entities={"team": "t"}, amount=NANO, currency="USD",
            cost_type="llm", **given,
        ))
    except PaymentRequired as refused:
        return None, refused.extensions["budget"]["name"]
    return placed.hold, "admitted"

def together(work):
    def run(number):
        with acting(Actor.system("test")):
            try:
                found = Counter(work(number))
            except Exception as error:
                found = Counter({f"{type(error).__name__}: {error}": 1})
            finally:
                connection.close()
        with lock:
            counts.update(found)
    running = [threading.Thread(target=run, args=(me * threads + n,)) for n in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    print(json.dumps(counts))

print("ready", flush=True)
sys.stdin.readline()
"""


def run_sampled(code: str, database: str) -> Counter[str]:
    """Run ``code`` in 64 threads of 2 processes, or in 8 processes on SQLite, looking at the rows meanwhile."""
    processes, threads = (8, 1) if connection.vendor == "sqlite" else (2, 32)
    children = [start(PREPARE + code, database, str(n), str(threads)) for n in range(processes)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    beyond = BudgetPeriod.objects.filter(hard=True, limit__lt=F("settled") + F("held"))
    samples = 0
    while not samples or (any(child.poll() is None for child in children) and samples < 100_000):
        assert not beyond.exists()
        samples += 1
    counts: Counter[str] = Counter()
    for child in children:
        counts.update(json.loads(finish(child)))
    return counts


def test_exactly_the_limit_is_admitted_at_any_number_of_levels(live_database):
    # Parents that were made before and after their children, so that their rows sort the other way round.
    fleet = make_budget(1000, "*", "*")
    team = make_budget(75, "t", "team", parent=fleet)
    one = make_budget(200, "one", parent=team)
    two = make_budget(40, "two", parent=team)
    upper = make_budget(75, "t", "team")
    type(one).objects.filter(pk=one.pk).update(parent=upper)
    per_process = 48 if connection.vendor == "sqlite" else 6
    code = f"""
def work(number):
    return [hold(["one", "two"][(number + n) % 2])[1] for n in range({per_process})]
together(work)
"""
    counts = run_sampled(code, live_database)
    assert counts["admitted"] == 75
    assert sum(counts.values()) == 384
    assert set(counts) <= {"admitted", "team t", "agent two"}
    assert Hold.objects.count() == 75
    for budget in (fleet, team, upper):
        assert sums(budget) == [(0, 0, 75, 0)]
    assert sums(one)[0][2] + sums(two)[0][2] == 75


def test_the_first_burst_of_an_entity_nobody_has_seen_is_held_to_its_allowance(live_database):
    budget = make_budget(10, "*")
    rounds = 2 if connection.vendor == "sqlite" else 1
    code = f"""
together(lambda number: [hold(f"new-{{n}}")[1] for n in range(4) for _ in range({rounds})])
"""
    counts = run_sampled(code, live_database)
    assert counts["admitted"] == 40
    assert set(counts) == {"admitted", "agent *"}
    rows = BudgetPeriod.objects.filter(budget=budget)
    assert list(rows.values_list("held", flat=True)) == [10 * NANO] * 4


def test_what_is_admitted_settled_and_released_adds_up(live_database):
    budget = make_budget(60, "t", "team")
    settled, released = (4, 4) if connection.vendor == "sqlite" else (1, 1)
    code = f"""
def work(number):
    for n in range({settled + released}):
        held, outcome = hold(f"a{{number % 5}}")
        if held is None:
            yield "refused"
        elif n % 2:
            release_hold(hold_id=held.id, owner="t")
            yield "released"
        else:
            settle_hold(hold_id=held.id, owner="t", settling=Settling(amount="0.9", currency="USD"))
            yield "settled"
together(work)
"""
    counts = run_sampled(code, live_database)
    assert set(counts) <= {"refused", "released", "settled"}, counts
    spent = CostEvent.objects.aggregate(amount=Sum("base_amount"))["amount"]
    assert spent == counts["settled"] * NANO * 9 // 10
    row = BudgetPeriod.objects.get(budget=budget)
    assert (row.settled, row.held, row.overrun) == (spent, 0, 0)
    assert Hold.objects.filter(state="released").count() == counts["released"]
    assert_books_agree()
