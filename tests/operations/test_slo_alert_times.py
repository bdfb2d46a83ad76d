"""When alerts held: as evaluations wrote it down, in the page, the history and reports, and in the demo."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.periods import Interval
from agent_factory_site.demo.alert_past import tell_past_alerts
from operations.slo.models import Slo, SloCondition, SloConditionChange, SloSeries, bucket_number
from operations.slo.selectors import alert_times as alert_times_module
from operations.slo.selectors.alert_times import alert_times
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.record_samples import record_samples
from operations.slo.services.slos import change_slo, create_slo

from .slo_setup import make_slo, recent_hour, sample
from .test_health_admin import signed_in, text_of
from .test_slo_api import Api

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
FIRED = timezone.now().replace(minute=7, second=12, microsecond=0) - 5 * HOUR
OVER = FIRED + timedelta(minutes=4, seconds=31)
WHOLE = Interval(FIRED - HOUR, FIRED + 4 * HOUR)


def burned(group_by: tuple[str, ...] = ()) -> Slo:
    """An SLO that burned from ``FIRED`` to ``OVER``."""
    slo = create_slo(
        body={
            "key": "slo", "name": "Answers", "sli": {"key": "answers", "kind": "ratio"}, "target": 0.99,
            "window": {"rolling": "30d"}, "group_by": list(group_by),
        }
    )  # fmt: skip
    count("bad", FIRED - 10 * SECOND, 0, 1000, agent="a")
    evaluate_slos(at=FIRED)
    evaluate_slos(at=FIRED + 30 * SECOND)
    count("much", OVER - SECOND, 10**6, 10**6, agent="a")
    evaluate_slos(at=OVER)
    return slo


def count(event: str, at: datetime, good: int, total: int, **labels: str) -> None:
    outcome = record_samples(sli="answers", samples=[sample(event, at, good, total, labels=labels)])
    assert not outcome.rejected


def told(slo: Slo, within: Interval = WHOLE, **labels: str) -> list[tuple[object, ...]]:
    found = alert_times(slo, labels, within)
    assert not found.left_out
    return [(one.rule, one.state, one.start, one.end) for one in found.times]


THREE = [
    ("1h_5m", "firing", FIRED, OVER),
    ("3d_6h", "held", FIRED, OVER),
    ("6h_30m", "held", FIRED, OVER),
]


def test_they_are_what_evaluations_found_to_the_second() -> None:
    slo = burned()
    assert told(slo) == THREE
    assert told(slo, Interval(FIRED - HOUR, FIRED)) == []
    assert told(slo, Interval(OVER, OVER + HOUR)) == [], "over when the time began"
    # Begun before the time that is asked about, and still so at its end.
    inside = Interval(FIRED + MINUTE, OVER - MINUTE)
    assert told(slo, inside) == [(rule, state, start, None) for rule, state, start, _ in THREE]


def test_one_that_takes_over_ends_as_held_and_begins_as_firing() -> None:
    slo = make_slo()
    rows = [
        ("a", "", "firing", 0), ("b", "", "held", 0), ("a", "firing", "ok", 9), ("b", "held", "firing", 9),
        ("b", "firing", "unknown", 14), ("b", "unknown", "firing", 15),
    ]  # fmt: skip
    series = SloSeries.objects.create(
        objective=slo.objectives.get(), labels_hash=alert_times_module.labels_hash(())
    )
    for rule, before, state, minute in rows:
        SloConditionChange.objects.create(
            slo=slo, series=series, rule=rule, severity="page", before=before, state=state,
            at=FIRED + minute * MINUTE,
        )  # fmt: skip
    at = [FIRED + minute * MINUTE for minute in (0, 9, 14, 15)]
    assert told(slo) == [
        ("a", "firing", at[0], at[1]),
        ("b", "held", at[0], at[1]),
        ("b", "firing", at[1], at[2]),
        ("b", "firing", at[3], None),
    ]


def test_groups_have_their_own_and_replaced_objectives_are_told_too() -> None:
    slo = burned(group_by=("agent",))
    assert told(slo, agent="a") == THREE
    assert told(slo, agent="b") == []
    change_slo(slo="slo", changes={"group_by": ["agent", "tool"]})
    slo.refresh_from_db()
    assert slo.objectives.count() == 2
    assert told(slo) == THREE


def test_too_many_are_cut_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alert_times_module, "MOST_CHANGES", 3)
    slo = burned()
    found = alert_times(slo, {}, WHOLE)
    assert found.left_out
    assert {one.state for one in found.times} <= {"firing", "held"}


def test_queries_do_not_grow(django_assert_max_num_queries: object) -> None:
    slo = burned()
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured:
            told(slo)
        counts.append(len(captured))
        series = SloSeries.objects.get(objective__slo=slo, labels={})
        for number in range(50):
            for before, state, more in (("ok", "firing", 0), ("firing", "ok", 20)):
                SloConditionChange.objects.create(
                    slo=slo, series=series, rule=f"r{number % 4}", severity="page", before=before, state=state,
                    at=OVER + number * MINUTE + more * SECOND,
                )  # fmt: skip
    assert counts == [3, 3]


def test_the_page_and_the_history_tell_them(client: Client) -> None:
    slo = burned()
    start, end = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (WHOLE.start, WHOLE.end))
    found = Api("operations:read")("GET", f"slos/slo/history?start={start}&end={end}&step=5m").json()
    times = {"from": f"{FIRED:%Y-%m-%dT%H:%M:%SZ}", "until": f"{OVER:%Y-%m-%dT%H:%M:%SZ}"}
    assert found["alerts"] == [
        {"rule": "1h_5m", "severity": "page", "state": "firing", **times},
        {"rule": "3d_6h", "severity": "ticket", "state": "held", **times},
        {"rule": "6h_30m", "severity": "page", "state": "held", **times},
    ]
    assert found["alerts_left_out"] is False
    signed_in(client, "operations:read")
    answer = client.get(f"/admin/operations/slo/{slo.pk}/change/")
    words = f"{FIRED:%Y-%m-%d %H:%M:%S} {OVER:%Y-%m-%d %H:%M:%S} 4 min 31 s"
    assert text_of(answer).count(words) == 3
    title = f"{FIRED:%Y-%m-%d %H:%M:%S} to {OVER:%Y-%m-%d %H:%M:%S} UTC"
    assert answer.content.decode().count(title) >= 6, "in the lane, at both widths"


def test_the_demo_tells_what_evaluations_of_each_minute_would_have_found() -> None:
    slo = make_slo(group_by=["agent"])
    Slo.objects.filter(pk=slo.pk).update(burn_alerts="default", target=Decimal("0.99"))
    slo.refresh_from_db()
    hour = recent_hour(12)
    for minute in range(0, 240):
        bad = 40 <= minute < 70
        for agent in ("a0", "a1"):
            good = 0 if bad and agent == "a0" else 100
            count(f"{minute}-{agent}", hour + minute * MINUTE, good, 100, agent=agent)
    for minute in range(0, 300):
        evaluate_slos(at=hour + minute * MINUTE + MINUTE / 2)
    names = ("series", "rule", "severity", "before", "state", "at")
    right = sorted(SloConditionChange.objects.values_list(*names), key=str)
    now = set(SloCondition.objects.values_list("series", "rule", "state", "since"))
    assert {state for *_, state, _ in right} >= {"firing", "held", "ok"}
    other = _without_changes(slo)
    tell_past_alerts(other, bucket_number(hour, "minute") + 300)
    mine = {row.pk: row.labels for row in SloSeries.objects.filter(objective__slo=slo)}
    theirs = {row.pk: row.labels for row in SloSeries.objects.filter(objective__slo=other)}

    def named(rows: object, labels: dict[int, dict[str, str]]) -> list[tuple[object, ...]]:
        return sorted(((str(labels[row[0]]), *row[1:]) for row in rows if row[0] in labels), key=str)  # type: ignore[attr-defined]

    assert named(SloConditionChange.objects.values_list(*names), theirs) == named(right, mine)
    found = SloCondition.objects.filter(slo=other).values_list("series", "rule", "state", "since")
    assert named(found, theirs) == named(now, mine)


def _without_changes(slo: Slo) -> Slo:
    """Another SLO of the same indicator: its samples are counted for it from the start."""
    return create_slo(
        body={
            "key": "other", "name": "Other", "sli": slo.sli.key, "target": 0.99, "window": {"rolling": "30d"},
            "group_by": ["agent"],
        }
    )  # fmt: skip
