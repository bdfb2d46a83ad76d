"""Deciding what comes of an experiment: over HTTP and on its page, with the verdict of then kept beside it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from agent_factory_site.common.models import AuditEvent, OutboxMessage
from agent_factory_site.common.outbox import subscribe, unsubscribe
from research.domain.decision import decision_words
from research.events import ExperimentStateChanged
from research.models import Experiment
from research.selectors.experiments import get_experiment
from research.services.lifecycle import archive_experiment, pause_experiment, stop_arm, stop_experiment
from tests.admin_data import staff
from tests.research.experiment_calls import Api
from tests.research.experiment_setup import draft, running
from tests.research.results_world import make_experiment
from tests.research.test_analysis_results import drawn, fill, people

pytestmark = pytest.mark.django_db

SHIP = {"outcome": "ship", "variant": "treatment", "reason": "It is better."}


@pytest.fixture
def told() -> Iterator[None]:
    """Somebody wants to know of states; messages are kept for who does."""
    subscribe(ExperimentStateChanged, "tests.states", lambda event: None)
    yield
    unsubscribe("tests.states")


def messages() -> list[tuple[str, str]]:
    rows = OutboxMessage.objects.filter(topic="research.ExperimentStateChanged").order_by("id")
    return [(row.payload["state"], row.payload["reason"]) for row in rows]


def decide(body: Any, key: str = "prompt-v2") -> Any:
    return Api("research:write")("POST", f"/{key}/decide", body)


def pointers(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return [(one["pointer"], one["code"]) for one in response.json()["errors"]]


def events() -> list[dict[str, Any]]:
    return list(AuditEvent.objects.filter(action="decide").order_by("at").values_list("changes", flat=True))


def test_decisions_are_written_in_the_same_words() -> None:
    assert decision_words("ship", "b", "a") == "ship b"
    assert decision_words("roll_back", None, "a") == "keep a"
    assert decision_words("inconclusive", None, "a") == "inconclusive"


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("paused", [False, True])
def test_one_that_runs_is_stopped_with_its_decision(paused: bool) -> None:
    row = running()
    if paused:
        pause_experiment(experiment=row.pk)
    version = get_experiment(row.pk).version
    answer = decide(SHIP).json()
    assert (answer["state"], answer["decision"], answer["reason"]) == (
        "stopped",
        "ship treatment",
        "It is better.",
    )
    stored = Experiment.objects.get()
    assert stored.stopped_at is not None
    assert stored.version == version + 1
    assert not stored.phases.filter(ended_at=None).exists()
    assert not stored.running_periods.filter(ended_at=None).exists()
    assert events() == [{"decision": "ship treatment", "outcome": "ship", "verdict": "not_started"}]
    assert messages()[-1] == ("stopped", "It is better.")


@pytest.mark.usefixtures("told")
def test_one_that_has_ended_is_decided_anew_and_told_to_nobody() -> None:
    row = running()
    ended = stop_experiment(experiment=row.pk, decision="later", reason="Out of budget.").stopped_at
    before = messages()
    assert before[-1] == ("stopped", "Out of budget.")
    assert decide({"outcome": "roll_back", "reason": "Worse."}).json()["decision"] == "keep control"
    assert decide({"outcome": "inconclusive", "reason": "Who knows."}).json()["decision"] == "inconclusive"
    stored = Experiment.objects.get()
    assert (stored.state, stored.stopped_at, stored.reason) == ("stopped", ended, "Who knows.")
    assert messages() == before
    assert [event["outcome"] for event in events()] == ["roll_back", "inconclusive"]


REFUSED: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"outcome": "ship", "reason": "x"}, [("/variant", "required")]),
    ({**SHIP, "variant": "third"}, [("/variant", "unknown_variant")]),
    ({**SHIP, "variant": "control"}, [("/variant", "baseline")]),
    ({"outcome": "roll_back", "variant": "treatment", "reason": "x"}, [("/variant", "not_shipped")]),
    ({"outcome": "keep", "reason": "x"}, [("/outcome", "invalid_choice")]),
    ({**SHIP, "reason": ""}, [("/reason", "blank")]),
    ({"outcome": "inconclusive"}, [("/reason", "required")]),
]


@pytest.mark.parametrize(("body", "expected"), REFUSED)
def test_what_is_refused_changes_nothing(body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    running()
    assert pointers(decide(body)) == expected
    assert (Experiment.objects.get().state, events()) == ("running", [])


def test_states_and_arms_that_cannot_be_decided() -> None:
    row = draft("sketch")
    assert decide(SHIP, "sketch").json()["code"] == "invalid_state"
    archive_experiment(experiment=row.pk)
    assert decide(SHIP, "sketch").json()["code"] == "invalid_state"
    stop_arm(experiment=running().pk, variant="treatment", reason="Rude.")
    assert decide(SHIP).json()["code"] == "arm_stopped"
    assert decide(SHIP, "nothing").status_code == 404
    assert Api("research:read")("POST", "/prompt-v2/decide", SHIP).status_code == 403
    assert events() == []


def test_a_decision_against_the_verdict_can_be_seen() -> None:
    row = make_experiment(metrics=[{"key": "rating", "kind": "mean", "role": "primary"}])
    people(row, 200)
    fill(row, "rating", drawn(200))
    decide({"outcome": "roll_back", "reason": "The provider ends it."}, "prompt")
    assert events() == [{"decision": "keep control", "outcome": "roll_back", "verdict": "ship"}]


def test_a_key_too_long_for_a_decision_is_refused() -> None:
    name = "t" * 100
    running(arms=(("control", 0.5, {}), (name, 0.5, {})))
    assert pointers(decide({**SHIP, "variant": name})) == [("/variant", "too_long")]
    assert Experiment.objects.get().state == "running"


def test_a_start_and_a_resumption_keep_their_reason() -> None:
    draft()
    api = Api("research:write")
    assert (
        api("POST", "/prompt-v2/start", {"reason": "Before the sale."}).json()["reason"] == "Before the sale."
    )
    api("POST", "/prompt-v2/pause", {"reason": "An outage."})
    assert api("POST", "/prompt-v2/resume", {"reason": "It is over."}).json()["reason"] == "It is over."


def step(client: Client, row: Experiment, **fields: str) -> Any:
    path = f"/admin/research/experiment/{row.pk}/decide/"
    return client.post(path, {"_form_submitted": "on", **fields})


def test_the_page_decides_with_a_reason(client: Client) -> None:
    client.force_login(staff("research:read", "research:write"))
    row = running(arms=(("control", 0.4, {}), ("treatment", 0.3, {}), ("third", 0.3, {})))
    stop_arm(experiment=row.pk, variant="third", reason="Rude.")
    step(client, row, outcome="ship:third", reason="Why not.")
    step(client, row, outcome="ship:treatment", reason="")
    assert Experiment.objects.get().state == "running"
    step(client, row, outcome="ship:treatment", reason="It is better.")
    stored = Experiment.objects.get()
    assert (stored.state, stored.decision, stored.reason) == ("stopped", "ship treatment", "It is better.")


def test_who_may_only_read_decides_nothing(client: Client) -> None:
    client.force_login(staff("research:read"))
    row = running()
    assert step(client, row, outcome="inconclusive", reason="x").status_code == 403
    assert Experiment.objects.get().state == "running"
