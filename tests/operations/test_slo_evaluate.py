"""Evaluating burn conditions: detection to the evaluation, each change told once, whoever is killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from agent_factory_site.common import outbox
from agent_factory_site.common.models import OutboxMessage
from operations.slo.domain.sample_input import SampleInput
from operations.slo.events import BurnConditionChanged
from operations.slo.models import Slo, SloCondition
from operations.slo.selectors.status import slo_status
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.record_samples import record_samples
from operations.slo.services.slos import archive_slo, change_slo, create_slo
from tests.children import run_children, start_child
from tests.operations.slo_setup import sample
from tests.processes import PATIENCE

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
EVALUATION = 30
START = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=2)


@pytest.fixture
def heard() -> Iterator[list[BurnConditionChanged]]:
    """Somebody wants to know; what the outbox holds is read by ``told``."""
    outbox.subscribe(BurnConditionChanged, "tests.slo", lambda event: None)
    yield []
    outbox.unsubscribe("tests.slo")


def told() -> list[tuple[str, str, str]]:
    """Rule, state before and after of each event, in order."""
    rows = OutboxMessage.objects.filter(topic="operations.slo.BurnConditionChanged").order_by("id")
    return [(row.payload["rule"], row.payload["before"], row.payload["state"]) for row in rows]


def states(**more: Any) -> dict[str, str]:
    return dict(SloCondition.objects.filter(**more).order_by("rule").values_list("rule", "state"))


def made(key: str = "slo", **fields: Any) -> Slo:
    body = {"key": key, "sli": {"key": key, "kind": "ratio"}, "target": 0.999, "window": {"rolling": "30d"}}
    return create_slo(body={**body, **fields})


def recorded(*samples: SampleInput, sli: str = "slo") -> None:
    assert record_samples(sli=sli, samples=list(samples)).rejected == {}


def traffic(start: datetime, end: datetime, bad: int = 0, of: int = 100) -> None:
    """Even traffic in steps of ten seconds, ``bad`` of ``of`` failing."""
    steps = int((end - start) / (10 * SECOND))
    moments = (start + n * 10 * SECOND for n in range(steps))
    recorded(*(sample(at.isoformat(), at, of - bad, of) for at in moments))


def quiet_hours(hours: int) -> None:
    """Good traffic up to ``START``, by minutes."""
    moments = (START - n * MINUTE for n in range(1, hours * 60 + 1))
    recorded(*(sample(at.isoformat(), at, 600, 600) for at in moments))


def first_evaluation(rule: str, state: str, begin: datetime, bad: int, until: int) -> int:
    """Seconds of traffic from ``begin`` until an evaluation, one each 30 s, finds the rule in ``state``."""
    evaluations = range(17, until, EVALUATION)
    upto = begin
    for second in evaluations:
        now = begin + second * SECOND
        traffic(upto, upto + (now - upto) // (10 * SECOND) * 10 * SECOND, bad)
        upto += (now - upto) // (10 * SECOND) * 10 * SECOND
        evaluate_slos(at=now)
        if states().get(rule) == state:
            return second
    pytest.fail(f"{rule} is not {state} within {until} s: {states()}")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("bad", "rule", "theory", "hours"),
    [(100, "1h_5m", 51.8, 2), (100, "6h_30m", 129.6, 7), (10, "1h_5m", 518.4, 2), (5, "1h_5m", 1036.8, 2)],
)
def test_an_outage_is_found_within_theory_a_bucket_and_an_evaluation(
    bad: int, rule: str, theory: float, hours: int
) -> None:
    made(burn_alerts=[{"long": "1h", "factor": 14.4}] if rule == "1h_5m" else [{"long": "6h", "factor": 6}])
    quiet_hours(hours)
    evaluate_slos(at=START)
    assert states() == {rule: "ok"}
    found = first_evaluation(rule, "firing", START, bad, int(theory) + 600)
    assert found <= theory + 60 + EVALUATION
    assert found >= theory - 60, "no earlier than the errors that are needed, give or take the running minute"


@pytest.mark.django_db
def test_the_end_of_an_outage_is_found_too() -> None:
    made()
    quiet_hours(2)
    traffic(START, START + 60 * MINUTE, 100)
    end = START + 60 * MINUTE
    evaluate_slos(at=end)
    assert states() == {"1h_5m": "firing", "6h_30m": "held", "3d_6h": "held"}
    assert first_evaluation("1h_5m", "ok", end, 0, 900) <= 295.7 + 60 + EVALUATION
    assert states()["6h_30m"] == "firing", "what was held takes over"


@pytest.mark.django_db
def test_what_stays_within_the_budget_pages_nobody() -> None:
    """A month's burn rate of 1, five days of it through the database."""
    made()
    begin = START - timedelta(days=5)
    recorded(*(sample(f"{n}", begin + n * MINUTE, 999, 1000) for n in range(5 * 1440)))
    for hour in range(1, 5 * 24, 3):
        evaluate_slos(at=begin + timedelta(hours=hour))
        assert set(states().values()) == {"ok"}


@pytest.mark.django_db
def test_a_change_is_told_once_and_what_stays_is_not_written(heard: list[Any]) -> None:
    made()
    recorded(sample("a", START, 0, 100))
    now = START + MINUTE
    assert evaluate_slos(at=now).changed == 3
    first = [("1h_5m", "", "firing"), ("6h_30m", "", "held"), ("3d_6h", "", "held")]
    assert sorted(told()) == sorted(first)
    assert evaluate_slos(at=now + 30 * SECOND).changed == 0
    assert len(told()) == 3
    assert set(SloCondition.objects.values_list("since", "evaluated_at")) == {(now, now)}
    payload = OutboxMessage.objects.get(payload__rule="1h_5m").payload
    assert (payload["key"], payload["severity"], payload["long_burn"], payload["factor"]) == (
        "slo",
        "page",
        1000,
        14.4,
    )
    assert payload["text"].startswith(
        "Firing: the budget burns more than 14.4 times as fast as it may, over 1h and over 5m"
    )


@pytest.mark.django_db
def test_data_that_stays_away_ends_no_alert_and_begins_none(heard: list[Any]) -> None:
    slo = made()
    recorded(sample("a", START, 0, 100))
    evaluate_slos(at=START + MINUTE)
    later = START + timedelta(minutes=10)
    assert evaluate_slos(at=later).changed == 0
    (condition, *_) = slo_status(slo, at=later).conditions
    assert (condition.state, condition.note) == ("firing", "stale")
    made("other")
    recorded(sample("a", START - timedelta(days=4)), sli="other")
    evaluate_slos(at=later)
    assert set(states(slo__key="other").values()) == {"unknown"}


@pytest.mark.django_db
def test_groups_have_conditions_of_their_own_where_they_burn() -> None:
    made(group_by=["agent"])
    recorded(*(sample(f"{n}", START, 100 if n else 0, 100, labels={"agent": f"a{n}"}) for n in range(200)))
    evaluate_slos(at=START + MINUTE)
    burning = SloCondition.objects.filter(state__in=["firing", "held"])
    assert {row.series.labels.get("agent") for row in burning if row.series.labels} == {"a0"}
    assert states(series__labels={"agent": "a0"}) == {"1h_5m": "firing", "6h_30m": "held", "3d_6h": "held"}
    assert states(series__labels={}) == {"1h_5m": "ok", "6h_30m": "ok", "3d_6h": "firing"}
    assert SloCondition.objects.count() == 6, "groups that never burned have no rows"


@pytest.mark.django_db
def test_what_is_archived_or_redefined_burns_no_more(heard: list[Any]) -> None:
    made()
    recorded(sample("a", START, 0, 100))
    evaluate_slos(at=START + MINUTE)
    change_slo(slo="slo", changes={"burn_alerts": [{"long": "1h", "factor": 10}]})
    evaluate_slos(at=START + 2 * MINUTE)
    assert states() == {"1h_5m": "firing", "6h_30m": "ok", "3d_6h": "ok"}
    archive_slo(slo="slo")
    evaluate_slos(at=START + 3 * MINUTE)
    assert set(states().values()) == {"ok"}
    assert told()[-1] == ("1h_5m", "firing", "ok")


@pytest.mark.django_db
def test_min_traffic_keeps_a_few_failures_quiet() -> None:
    made(min_traffic=50)
    recorded(sample("a", START, 0, 49))
    evaluate_slos(at=START + MINUTE)
    assert set(states().values()) == {"ok"}
    recorded(sample("b", START, 0, 1))
    evaluate_slos(at=START + MINUTE)
    assert states()["1h_5m"] == "firing"


@pytest.mark.django_db
def test_an_older_evaluation_that_comes_late_changes_nothing() -> None:
    made()
    recorded(sample("a", START, 0, 100))
    evaluate_slos(at=START + 2 * MINUTE)
    assert evaluate_slos(at=START - MINUTE).changed == 0
    assert states()["1h_5m"] == "firing"


CHILD = """
    from agent_factory_site.common import outbox
    from operations.slo.events import BurnConditionChanged
    from operations.slo.services import evaluate
    from datetime import datetime
    outbox.subscribe(BurnConditionChanged, "tests.slo", lambda event: None)
    print(evaluate.evaluate_slos(at=datetime.fromisoformat({at!r})).changed)
"""


@pytest.fixture
def many(live_database: str) -> str:
    """Sixty SLOs that burn, on a database that other processes see."""
    for number in range(60):
        made(f"slo-{number}")
        recorded(sample("a", START, 0, 100), sli=f"slo-{number}")
    return live_database


@pytest.mark.django_db(transaction=True)
def test_evaluations_at_once_tell_each_change_once(many: str, heard: list[Any]) -> None:
    outputs = run_children(CHILD.format(at=(START + MINUTE).isoformat()), 4, many)
    assert sum(int(out) for out in outputs) == 180
    assert len(told()) == 180
    assert OutboxMessage.objects.count() == 180


@pytest.mark.django_db(transaction=True)
def test_an_evaluation_that_is_killed_is_finished_by_the_next(many: str, heard: list[Any]) -> None:
    code = """
        from agent_factory_site.common import outbox
        from operations.slo.events import BurnConditionChanged
        from operations.slo.services import evaluate
        from datetime import datetime
        outbox.subscribe(BurnConditionChanged, "tests.slo", lambda event: None)
        evaluate.AT_ONCE = 50
        write, publish_all = evaluate._write_batch, evaluate.publish_all
        batches = []
        def counted(batch, at):
            batches.append(batch)
            return write(batch, at)
        def dying(events):
            publish_all(events)
            if len(batches) == 2:
                print("half", flush=True)
                sys.stdin.read()
        evaluate._write_batch, evaluate.publish_all = counted, dying
        evaluate.evaluate_slos(at=datetime.fromisoformat(sys.argv[1]))
    """
    child = start_child(code, (START + MINUTE).isoformat(), database=many)
    assert child.stdout is not None
    assert child.stdout.readline() == "half\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=PATIENCE)
    assert (len(told()), SloCondition.objects.count()) == (50, 50)
    assert evaluate_slos(at=START + 2 * MINUTE).changed == 130
    assert len(told()) == 180
    assert sorted(rule for rule, _, state in told() if state == "firing") == ["1h_5m"] * 60
