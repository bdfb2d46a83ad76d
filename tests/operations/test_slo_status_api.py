"""``status``, ``groups``, ``history`` and ``prometheus-rules`` of an SLO over HTTP."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.operations.test_slo_api import SLO, Api

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(second=0, microsecond=0)


@pytest.fixture
def api() -> Api:
    """Makes an SLO with groups and a little data."""
    found = Api("operations:write")
    found.made("slos", {**SLO, "key": "slo", "group_by": ["agent"]})
    samples = [
        {
            "event_id": agent, "timestamp": (NOW - timedelta(minutes=2)).isoformat(), "good": good, "total": 1000,
            "labels": {"agent": agent},
        }
        for agent, good in (("writer", 999), ("reader", 980))
    ]  # fmt: skip
    assert found("POST", "slis/answers/samples", samples).json()["accepted"] == 2
    return found


def problem(answer: Any) -> tuple[int, list[tuple[str, str]]]:
    body = answer.json()
    return answer.status_code, [(one["parameter"], one["code"]) for one in body.get("errors", [])]


def test_a_status_has_the_fields_that_were_promised(api: Api) -> None:
    at = NOW.isoformat().replace("+00:00", "Z")
    found = api("GET", f"slos/slo/status?at={at}").json()
    assert (found["sli"], found["target"], found["good"], found["total"]) == (0.9895, 0.999, 1979, 2000)
    assert found["budget"] == {
        "total": 2, "spent": 21, "left": -19, "left_ratio": -9.5, "minutes_left": -410.4, "minutes": 43.2,
        "adjusted": 0, "unit": "events",
    }  # fmt: skip
    assert found["burn_rates"] == dict.fromkeys(("5m", "30m", "1h", "2h", "6h", "1d", "3d"), 10.5)
    assert (found["coverage"], found["exhausts_at"], found["outlook"]) == (1 / 43_200, None, "exhausted")
    assert [(one["rule"], one["state"]) for one in found["alerts"]] == [
        ("1h_5m", "ok"), ("6h_30m", "firing"), ("3d_6h", "held"),
    ]  # fmt: skip
    assert found["window"]["end"] == (NOW + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    assert "1,979 of 2,000 good; budget 2, 21 used." in found["text"]


def test_a_status_takes_seven_statements_however_many_slos_groups_and_objectives_there_are(api: Api) -> None:
    path = "slos/slo/status"
    # The first use of a key is noted.
    assert api("GET", path).status_code == 200
    for number in range(3):
        api.made("slos", {**SLO, "key": f"other-{number}", "sli": "answers"})
    samples = [
        {
            "event_id": f"more-{number}", "timestamp": (NOW - timedelta(hours=number)).isoformat(), "good": 1,
            "total": 1, "labels": {"agent": f"agent-{number}"},
        }
        for number in range(30)
    ]  # fmt: skip
    assert api("POST", "slis/answers/samples", samples).json()["accepted"] == 30
    with CaptureQueriesContext(connection) as read:
        assert api("GET", path).json()["total"] == 2030
    asked = [re.findall(r'FROM "?(\w+)', query["sql"])[0] for query in read]
    assert asked == [
        "common_apikey", "operations_slo", "operations_sloseries", "operations_budgetadjustment",
        "operations_maintenancewindow", "operations_slocondition", "operations_slominute",
    ]  # fmt: skip


def test_a_group_is_named_by_its_labels(api: Api) -> None:
    found = api("GET", 'slos/slo/status?labels={"agent":"writer"}').json()
    assert (found["good"], found["total"], found["state"]) == (999, 1000, "met")
    listed = api("GET", "slos/slo/groups?limit=1").json()
    assert (listed["count"], [one["labels"] for one in listed["groups"]]) == (2, [{"agent": "reader"}])


def test_no_data_is_null(api: Api) -> None:
    api.made("slos", {**SLO, "key": "empty", "sli": {"key": "nothing", "kind": "ratio"}})
    found = api("GET", "slos/empty/status").json()
    assert (found["sli"], found["state"], found["reason"]) == (None, "no_data", "no_data")
    assert (found["budget"]["left"], found["budget"]["left_ratio"]) == (None, None)
    assert set(found["burn_rates"].values()) == {None}
    assert {one["state"] for one in found["alerts"]} == {"unknown"}


def test_a_history_has_steps(api: Api) -> None:
    found = api("GET", "slos/slo/history").json()
    assert (found["step"], found["target_text"]) == ("5m", "99.9 %")
    known = [one for one in found["points"] if one["total"]]
    assert [(one["good"], one["total"], one["burn_rate"], one["budget_left"]) for one in known] == [
        (1979, 2000, 10.5, -19)
    ]
    assert found["points"][0]["sli"] is None


def test_rules_for_prometheus_are_a_file(api: Api) -> None:
    answer = api("GET", "slos/slo/prometheus-rules")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/yaml; charset=utf-8")
    assert b'agent_factory_sli_good_total{slo=\\"slo\\"}' in answer.content


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("status?labels=agent", ("labels", "labels")),
        ('status?labels={"agent":1}', ("labels", "labels")),
        ('status?labels={"team":"a"}', ("labels", "unknown_group")),
        ("status?view=both", ("view", "invalid_choice")),
        ("status?at=yesterday", ("at", "invalid")),
        ("status?when=now", ("when", "unknown_parameter")),
        ("groups?limit=0", ("limit", "min_value")),
        ("history?step=1x", ("step", "bad_duration")),
        ("history?step=1m", ("step", "too_many")),
        ("history?start=2099-01-01T00:00:00Z&end=2099-01-02T00:00:00Z", ("start", "out_of_range")),
    ],
)
def test_what_is_wrong_is_named(api: Api, query: str, named: tuple[str, str]) -> None:
    assert problem(api("GET", f"slos/slo/{query}")) == (400, [named])


@pytest.mark.parametrize("path", ["status", "groups", "history", "prometheus-rules"])
def test_it_takes_a_key_that_may_read_and_an_slo_that_is_there(api: Api, path: str) -> None:
    assert api("GET", f"slos/nothing/{path}").status_code == 404
    assert Api("financial:read")("GET", f"slos/slo/{path}").status_code == 403
    assert Api("operations:read")("GET", f"slos/slo/{path}").status_code == 200


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "9999-12-31T23:59:59Z"]
)
def test_times_that_windows_cannot_reach_around_are_refused(api: Api, at: str) -> None:
    for query in (f"status?at={at}", f"groups?at={at}", f"history?start={at}", f"history?end={at}"):
        answer = api("GET", f"slos/slo/{query}")
        assert answer.status_code == 400, query
        assert "Is between the years 2000 and 2099." in answer.json()["detail"]
    bodies: dict[str, dict[str, Any]] = {
        "reports": {"period": "month"},
        "adjustments": {"events": 1, "reason": "a drill"},
        "annotations": {"text": "a drill"},
    }
    for path, body in bodies.items():
        answer = api("POST", f"slos/slo/{path}", {**body, "at": at})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/at"), path
    kept = [api("GET", f"slos/slo/{path}").json()["results"] for path in bodies]
    assert kept == [[], [], []]
