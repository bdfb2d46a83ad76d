"""Results recorded by several processes at once, and by one that is killed."""

from __future__ import annotations

import signal

from research.models import ArmSums, ResultEvent, UnitMetric
from research.selectors.results import experiment_results
from research.services.check_results import check_results
from tests.children import run_children, start_child
from tests.processes import PATIENCE
from tests.research.results_world import expose, make_experiment

EIGHT = """
    from random import Random
    from research.services.record_results import record_results
    from tests.research.results_world import result
    number = int(sys.argv[1])
    random = Random(number)
    accepted = duplicates = 0
    for batch in range(10):
        # Every process sends results of its own, and the same ones that all others send.
        mine = [
            result(f"u{random.randrange(20)}", metric, random.randrange(2), f"{number}-{batch}-{place}",
                   minutes=60 + random.randrange(600), covariate=place)
            for place in range(10) for metric in [random.choice(["cost", "success", "latency", "rating", "clicks"])]
        ]
        shared = [result(f"u{place}", "cost", 1, f"shared-{batch}-{place}") for place in range(20)]
        both = mine + shared
        random.shuffle(both)
        outcome = record_results(experiment="prompt", results=both)
        assert outcome.rejected == {}, outcome.rejected
        accepted += len(outcome.accepted)
        duplicates += len(outcome.duplicates)
    print(accepted, duplicates)
"""

FOREVER = """
    import itertools
    from research.services.record_results import record_results
    from tests.research.results_world import result
    for batch in itertools.count():
        results = [
            result(f"u{place % 20}", metric, 1, f"{batch}-{place}", covariate=batch)
            for place, metric in enumerate(["cost", "success", "latency", "rating", "clicks"] * 20)
        ]
        outcome = record_results(experiment="prompt", results=results)
        print(len(outcome.accepted) + len(outcome.duplicates), flush=True)
"""


def test_eight_processes_at_once(live_database: str) -> None:
    row = make_experiment()
    expose(row, [f"u{number}" for number in range(10)])
    expose(row, [f"u{number}" for number in range(10, 20)], "treatment")
    counts = [tuple(map(int, line.split())) for line in run_children(EIGHT, 8, live_database)]
    assert sum(accepted for accepted, _ in counts) == 8 * 100 + 200 == ResultEvent.objects.count()
    assert sum(duplicates for _, duplicates in counts) == 7 * 200
    found = check_results(experiment="prompt")
    assert [str(each) for each in found.listed] == []
    assert found.results == 1000
    cost = next(each for each in experiment_results("prompt").metrics if each.metric.key == "clicks")
    assert [arm.n for arm in cost.arms] == [10, 10]


def test_a_process_that_is_killed_leaves_whole_batches(live_database: str) -> None:
    row = make_experiment()
    expose(row, [f"u{number}" for number in range(20)])
    for killed in range(1, 5):
        child = start_child(FOREVER, killed, database=live_database)
        assert child.stdout is not None
        for _ in range(killed):
            assert child.stdout.readline() == "100\n"
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=PATIENCE)
        assert child.returncode == -signal.SIGKILL
        recorded = ResultEvent.objects.count()
        assert recorded >= 100 * killed
        # What a killed connection of PostgreSQL was about to commit may still be committed.
        assert recorded % 100 == 0
        found = check_results(experiment="prompt")
        assert [str(each) for each in found.listed] == []
    assert UnitMetric.objects.count() == 20 * 1
    assert ArmSums.objects.filter(metric__key="rating").exists()
