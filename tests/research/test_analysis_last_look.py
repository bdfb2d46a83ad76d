"""The verdict once no look will follow: after the last one, after the end, and after arms were stopped."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from research.models import Experiment, Look, Phase, RunningPeriod, Variant
from research.selectors.analysis import analysed_results
from research.selectors.running import running_experiments
from research.services.analyse import analyse_due
from research.services.decide import decide_experiment
from research.services.lifecycle import stop_experiment
from tests.admin_data import staff
from tests.research.experiment_calls import Api
from tests.research.results_world import START, make_experiment
from tests.research.test_admin_experiment_results import section
from tests.research.test_analysis_results import drawn, fill, people
from tests.research.test_analysis_snapshots import GUARD, add, grouped

pytestmark = pytest.mark.django_db

RATING: dict[str, Any] = {"key": "rating", "kind": "mean", "role": "primary", "mde": 1.0}
ALIKE = {"control": [1.0, 5.0] * 200, "treatment": [1.0, 5.1] * 200}


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(staff("research:read"))
    return client


def answer(query: str = "") -> dict[str, Any]:
    found: dict[str, Any] = Api("research:read")("GET", f"/prompt/results{query}").json()
    return found


def verdict(query: str = "") -> dict[str, Any]:
    """That of the JSON; the CSV has the same."""
    found: dict[str, Any] = answer(query)["verdict"]
    separator = "&" if query else "?"
    file = Api("research:read")("GET", f"/prompt/results{query}{separator}format=csv").content.decode()
    assert {line["verdict"] for line in csv.DictReader(io.StringIO(file))} == {found["code"]}
    return found


def looked(*metrics: dict[str, Any], minimum_days: float = 0) -> Experiment:
    """An experiment by looks."""
    row = make_experiment(metrics=[RATING, *metrics])
    Experiment.objects.filter(pk=row.pk).update(
        analysis={
            "engine": "group_sequential",
            "planned_looks": 4,
            "spending": "obrien_fleming",
            "min_runtime_days": minimum_days,
        }
    )
    return row


def ran(row: Experiment, days: float) -> None:
    """It has run ``days`` until now, which leaves time for a slow machine: 3.0 is what is less than 3.05."""
    began = timezone.now() - timedelta(days=days)
    Phase.objects.filter(experiment=row).update(started_at=min(began, START))
    RunningPeriod.objects.filter(experiment=row).update(started_at=began)


@pytest.mark.parametrize("end", ["stop", "decide"])
def test_what_ended_between_looks_is_no_longer_told_to_run(reader: Client, end: str) -> None:
    row = grouped()
    add(row, 0, 30, ALIKE)
    analyse_due()
    assert verdict()["text"].startswith(
        "Keep running: treatment has not been shown to be better on rating; about"
    )
    if end == "stop":
        stop_experiment(experiment=row.pk, decision="undecided", reason="Out of time.")
    else:
        decide_experiment(experiment=row.pk, outcome="inconclusive", reason="Out of time.")
    analyse_due()
    # Without a unit more there is nothing for another look to see.
    assert [look.final for look in Look.objects.all()] == [False]
    assert answer()["looks"]["next"] is None
    found = verdict()
    assert found["code"] == "keep_running"
    assert found["text"].startswith(
        "It ended with this open: treatment has not been shown to be better on rating; it would have taken about "
    )
    assert verdict("?alpha=0.01")["text"].startswith("It ended with this open: ")
    words = section(reader, row, "verdict")
    assert words.startswith("Verdict Left open ")
    assert "It ended with this open: treatment has not been shown to be better on rating" in words
    assert f"it would have taken about {found['more_units']:,} more units of all arms" in words
    assert "Keep running" not in words
    looks = section(reader, row, "looks")
    assert looks.startswith("Looks 1 of 4 planned ")
    assert "next due" not in looks
    assert "to come" not in looks


def test_a_guardrail_left_open_by_the_last_look_decides(reader: Client) -> None:
    row = looked(GUARD)
    people(row, 400)
    fill(row, "rating", drawn(400))
    fill(row, "error", {"control": [1] * 6, "treatment": [1] * 20})
    analyse_due()
    assert Look.objects.get().final
    assert answer()["guardrails"][0]["state"] == "open"
    found = verdict()
    assert (found["code"], found["text"]) == (
        "roll_back",
        "Stay with control: treatment has not been shown to keep the guardrail error by the last look.",
    )
    assert verdict("?alpha=0.04")["text"] == found["text"]
    words = section(reader, row, "verdict")
    assert found["text"] in words
    assert "What would change it: only a check of health that fails, as the last look was taken." in words


def test_the_minimum_runtime_goes_on_after_the_last_look(reader: Client) -> None:
    row = looked(minimum_days=7)
    people(row, 400)
    fill(row, "rating", drawn(400))
    ran(row, 3)
    analyse_due()
    assert Look.objects.get().final
    found = verdict()
    assert (found["code"], found["text"], found["days"]) == (
        "keep_running",
        "Keep running: it has run 3.0 of at least 7 days; about 4 days.",
        4,
    )
    seen = answer()["metrics"]
    ran(row, 8)
    found = verdict()
    assert (found["code"], found["variant"]) == ("ship", "treatment")
    assert answer()["metrics"] == seen
    words = section(reader, row, "verdict")
    assert words.startswith("Verdict Ship treatment ")
    assert section(reader, row, "looks").endswith("Results are those of the last look and stay so.")
    assert (
        "What would change it: treatment being stopped, as it is when it breaches a guardrail, "
        "or a check of health that fails." in words
    )


def test_the_minimum_runtime_that_an_experiment_did_not_reach_is_said(reader: Client) -> None:
    row = looked(minimum_days=7)
    people(row, 400)
    fill(row, "rating", drawn(400))
    ran(row, 3)
    analyse_due()
    stop_experiment(experiment=row.pk, decision="undecided", reason="Out of time.")
    assert verdict()["text"] == (
        "It ended with this open: it ran 3.0 of at least 7 days; it would have taken about 4 more days."
    )
    words = section(reader, row, "verdict")
    assert "It ended with this open: it ran 3.0 of at least 7 days" in words
    assert "it would have taken about 4 more days" in words


@pytest.mark.parametrize("units", [30, 400])
def test_an_arm_that_was_stopped_after_a_look_is_not_waited_for_and_not_shipped(
    reader: Client, units: int
) -> None:
    row = looked()
    people(row, units)
    fill(row, "rating", {arm: mine[:units] for arm, mine in (ALIKE if units == 30 else drawn(400)).items()})
    analyse_due()
    assert verdict()["code"] == ("keep_running" if units == 30 else "ship")
    seen = answer()["metrics"]
    Variant.objects.filter(experiment=row, key="treatment").update(stopped_at=timezone.now())
    found = verdict()
    assert (found["code"], found["text"]) == (
        "roll_back",
        "Stay with control: every other arm was stopped (treatment).",
    )
    assert answer()["metrics"] == seen


def test_a_breach_is_not_undone_by_the_primary_metric(reader: Client) -> None:
    row = make_experiment(metrics=[RATING, GUARD])
    people(row, 300)
    fill(row, "rating", drawn(300))
    fill(row, "error", {"control": [1] * 6, "treatment": [1] * 150})
    assert verdict()["text"] == "Stay with control: treatment breaches the guardrail error."
    words = "What would change it: nothing any more, as every other arm was stopped or breaches a guardrail."
    assert words in section(reader, row, "verdict")
    analyse_due()
    assert Variant.objects.get(key="treatment").stopped_at is not None
    words = "What would change it: nothing any more, as every other arm was stopped."
    assert words in section(reader, row, "verdict")


def test_the_landing_page_says_what_the_last_look_said() -> None:
    row = looked(GUARD)
    people(row, 400)
    fill(row, "rating", drawn(400))
    fill(row, "error", {"control": [1] * 6, "treatment": [1] * 6})
    for _ in range(2):
        analyse_due()
        assert verdict()["code"] == "ship"
        assert [one.verdict for one in running_experiments(5)] == ["ship"]
    Variant.objects.filter(experiment=row, key="treatment").update(stopped_at=timezone.now())
    analyse_due()
    assert [one.verdict for one in running_experiments(5)] == ["roll_back"] == [verdict()["code"]]
    assert Look.objects.count() == 1


def test_what_a_look_saw_is_read_only_where_its_verdict_may_not_hold() -> None:
    row = looked()
    people(row, 400)
    fill(row, "rating", drawn(400))
    analyse_due()

    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            analysed_results("prompt")
        return len(captured)

    before = statements()
    Variant.objects.filter(experiment=row, key="treatment").update(stopped_at=timezone.now())
    assert statements() == before + 1
