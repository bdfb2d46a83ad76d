"""Analyses by several processes at once, beside recorders, and by processes that are killed on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent, Job, OutboxMessage
from agent_factory_site.common.outbox import subscribe, unsubscribe
from agent_factory_site.common.services.jobs import run_job, sweep_jobs
from research.domain.statistics.moments import Moments
from research.events import ArmStopped
from research.models import Analysis, Experiment, Look, MetricShift, Variant
from research.selectors.experiments import get_experiment
from research.selectors.results import phase_data
from research.services import analyse
from research.services.analyse import analyse_due, analyse_experiment, request_analysis
from research.services.check_results import check_results
from research.services.overrides import put_override
from research.services.rebuild_results import recentre_sums
from research.services.record_results import record_results
from tests.processes import PATIENCE, Child, run_all, until_sessions_end

from .results_world import expose, make_experiment, result
from .test_analysis_results import MEAN, drawn, fill, people
from .test_analysis_snapshots import GUARD, add, grouped

ARMS = ("control", "treatment")
READING = "while units are read"


def _die(child: Child, statement: str, passed: int, work: Callable[[], object]) -> None:
    """Do ``work``, and die, as by ``kill -9``, right before the database is told a statement once more."""
    left = passed

    def reach() -> None:
        nonlocal left
        if not left:
            os.kill(os.getpid(), 9)
        left -= 1

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if statement in sql.replace('"', ""):
            reach()
        return execute(sql, params, many, context)

    with acting(Actor.system("tests")), connection.execute_wrapper(wrapper):
        if statement == READING:
            analyse_experiment(experiment="prompt", tick=reach)
        else:
            work()


def kill_before(statement: str, passed: int = 0, work: Callable[[], object] = analyse_due) -> None:
    child = Child(_die, statement, passed, work)
    child.process.join(PATIENCE)
    assert child.process.exitcode == -9, statement
    until_sessions_end(child.pid)


def faults() -> list[str]:
    return [str(each) for each in check_results(experiment="prompt").listed]


def due_look_off_centre() -> None:
    """A group sequential experiment with a look due, whose sums are around 0 and whose values lie at 1e6."""
    row = grouped()
    expose(row, ["first"])
    assert record_results(experiment=row.pk, results=[result("first", "rating", 0.0, "first")]).rejected == {}
    put_override(experiment=row.pk, unit="first", variant="control")
    add(row, 0, 30, {arm: mine + 1e6 for arm, mine in drawn(30).items()})


@pytest.mark.parametrize(
    ("statement", "passed", "rebuilt"),
    [
        ("FROM research_unitmetric", 0, 0),
        ("DELETE FROM research_armsums", 0, 0),
        ("INSERT INTO common_auditevent", 0, 0),
        (READING, 0, 1),
        (READING, 1, 1),
        ("INSERT INTO research_analysis", 0, 1),
        ("INSERT INTO research_look", 0, 1),
        ("INSERT INTO common_auditevent", 1, 1),
    ],
)
def test_a_kill_leaves_no_half_and_the_next_run_completes(
    live_database: str, statement: str, passed: int, rebuilt: int
) -> None:
    due_look_off_centre()
    assert set(MetricShift.objects.values_list("shift", flat=True)) == {0.0}
    kill_before(statement, passed)
    assert (Analysis.objects.count(), Look.objects.count()) == (0, 0)
    assert AuditEvent.objects.filter(action="analyse").count() == 0
    # Sums were taken anew wholly or not at all.
    assert AuditEvent.objects.filter(action="rebuild").count() == rebuilt
    assert {shift > 9e5 for shift in MetricShift.objects.values_list("shift", flat=True)} == {bool(rebuilt)}
    assert faults() == []
    assert analyse_due() == 1
    look = Look.objects.get()
    assert (look.analysis, look.number, look.final) == (Analysis.objects.get(), 1, False)
    assert AuditEvent.objects.filter(action="analyse").count() == 1
    assert AuditEvent.objects.filter(action="rebuild").count() == 1
    assert faults() == []


@pytest.fixture
def told_of() -> Iterator[None]:
    """Somebody who wants to hear of stopped arms, without whom no message is written."""
    subscribe(ArmStopped, "tests.arm_stopped", lambda event: None)
    yield
    unsubscribe("tests.arm_stopped")


@pytest.mark.usefixtures("told_of")
@pytest.mark.parametrize("statement", ["UPDATE research_variant", "INSERT INTO common_outboxmessage"])
def test_an_arm_whose_stopper_died_is_stopped_by_the_next_analysis(
    live_database: str, statement: str
) -> None:
    row = make_experiment(metrics=[*MEAN, GUARD], variants=["control", "good", "bad"])
    people(row, 300, ["control", "good", "bad"])
    fill(row, "error", {"control": [1] * 6, "good": [1] * 6, "bad": [1] * 150})
    told = OutboxMessage.objects.filter(topic="research.ArmStopped")
    kill_before(statement)
    # What was found is kept; of the stopping there is nothing.
    assert (Analysis.objects.count(), told.count()) == (1, 0)
    assert not Variant.objects.filter(stopped_at__isnull=False).exists()
    assert [analyse_due() for _ in range(2)] == [1, 1]
    assert [message.payload["variant"] for message in told] == ["bad"]
    assert list(Variant.objects.filter(stopped_at__isnull=False).values_list("key", flat=True)) == ["bad"]


def test_a_job_whose_worker_is_killed_is_done_by_the_next(
    live_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_experiment(metrics=MEAN)
    people(row, 20)
    monkeypatch.setattr(analyse, "AT_ONCE", 39)
    job = request_analysis(experiment=row.pk)
    assert isinstance(job, Job)
    kill_before("INSERT INTO research_analysis", work=lambda: run_job(job_id=job.pk))
    assert (Job.objects.get().state, Analysis.objects.count()) == ("running", 0)
    assert sweep_jobs(now=timezone.now() + timedelta(minutes=2)) == 1
    assert [run_job(job_id=job.pk) for _ in range(2)] == [True, False]
    done = Job.objects.get()
    assert (done.state, done.attempts) == ("succeeded", 2)
    assert done.result == {"analysis": str(Analysis.objects.get().pk)}


def _analyse(child: Child, times: int) -> None:
    for _ in range(times):
        analyse_experiment(experiment="prompt")


def test_processes_that_analyse_at_once_take_each_look_once(live_database: str) -> None:
    row = grouped()
    values = drawn(200, seed=11)
    for place, (start, stop) in enumerate([(0, 30), (30, 45), (45, 60), (60, 200)], start=1):
        add(row, start, stop, values)
        run_all(_analyse, [(2,)] * 5)
        looks = list(Look.objects.order_by("number"))
        assert [look.number for look in looks] == list(range(1, len(looks) + 1))
        assert Analysis.objects.count() == 10 * place
    shares = [look.fraction for look in looks]
    assert shares == sorted(set(shares))
    assert [look.planned for look in looks] == sorted({look.planned for look in looks})
    assert [look.final for look in looks] == [False] * (len(looks) - 1) + [True]
    assert len(looks) > 2
    told = AuditEvent.objects.filter(action="analyse").values_list("changes", flat=True)
    assert sorted(each["look"] for each in told if each["look"] is not None) == [
        look.number for look in looks
    ]


UNITS = [f"{arm}-{place}" for arm in ARMS for place in range(10)]


def _record(child: Child, number: int) -> str:
    for batch in range(8):
        clicks = [result(unit, "clicks", 1, f"{number}-{batch}-{unit}") for unit in UNITS]
        taps = [result(unit, "taps", 1, f"t-{number}-{batch}-{unit}") for unit in UNITS]
        ratings = [result(unit, "rating", 1e6 + batch, f"r-{number}-{batch}-{unit}") for unit in UNITS]
        outcome = record_results(experiment="prompt", results=clicks + ratings + taps)
        assert (len(outcome.accepted), outcome.rejected) == (60, {})
    return "recorded"


def _again(child: Child, work: Callable[[], object]) -> int:
    done = 0
    while not done or not child.spoken_to():
        work()
        done += 1
    return done


def totals(moments: list[Moments]) -> list[tuple[int, float]]:
    return [(one.n, one.n * one.x_shift + one.x_sum) for one in moments]


def test_results_recorded_meanwhile_are_neither_lost_nor_counted_twice(live_database: str) -> None:
    counts = [{"key": key, "kind": "count"} for key in ("clicks", "taps")]
    row = make_experiment(metrics=[*MEAN, *counts])
    people(row, 10)
    analysts = [
        Child(_again, lambda: analyse_experiment(experiment="prompt")),
        Child(_again, lambda: recentre_sums(experiment=row.pk)),
    ]
    assert run_all(_record, [(number,) for number in range(3)]) == ["recorded"] * 3
    for analyst in analysts:
        analyst.say("enough")
        assert analyst.result() > 0
    analyse_experiment(experiment="prompt")
    seen = []
    for made in Analysis.objects.order_by("as_of", "id"):
        clicks, taps = (
            [Moments(*made.inputs["metrics"][key][name]["moments"]) for name in ARMS]
            for key in ("clicks", "taps")
        )
        assert [one.n for one in clicks] == [10, 10]
        [(_, control), (_, treatment)] = totals(clicks)
        # Each batch is one click and one tap of every unit: whole batches, the same in both arms.
        assert control == pytest.approx(treatment, abs=1e-6)
        assert control == pytest.approx(10 * round(control / 10), abs=1e-6)
        assert totals(taps) == [(10, pytest.approx(each, abs=1e-6)) for _, each in totals(clicks)]
        seen.append(round(control / 10))
    assert seen == sorted(seen)
    assert seen[-1] == 24
    data = phase_data(get_experiment(row.pk))
    for metric in data.metrics:
        live = totals([data.moments[metric.pk, variant.pk] for variant in data.variants])
        arms = made.inputs["metrics"][metric.key]
        assert live == [
            (n, pytest.approx(total, rel=1e-12))
            for n, total in totals([Moments(*arms[name]["moments"]) for name in ARMS])
        ]
    assert faults() == []
    assert Experiment.objects.get().state == "running"
