"""The steps of an experiment's life on its page, and who may take them."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent, User
from research.models import Experiment, Override
from research.services.lifecycle import pause_experiment
from research.services.overrides import put_override
from tests.admin_data import staff

from .experiment_pages import LIST, do, page_of, snapshot, step_of, text_of, words_of
from .experiment_setup import draft, running
from .results_world import make_experiment

pytestmark = pytest.mark.django_db


@pytest.fixture
def writer(client: Client) -> Client:
    client.force_login(staff("research:read", "research:write"))
    return client


def test_from_start_to_archive_with_reasons(writer: Client) -> None:
    experiment = draft()

    def state() -> tuple[str, str, str]:
        row = Experiment.objects.get()
        return str(row.state), row.decision, row.reason

    response = do(writer, experiment, "start", reason="Begin before the sale")
    assert response["HX-Redirect"] == page_of(experiment)
    assert state() == ("running", "", "Begin before the sale")
    do(writer, experiment, "pause", reason="An incident")
    assert state() == ("paused", "", "An incident")
    assert "An incident" in words_of(writer, page_of(experiment))
    do(writer, experiment, "resume", reason="")
    assert state() == ("running", "", "")
    do(writer, experiment, "stop", decision="ship treatment", reason="It wins")
    assert state() == ("stopped", "ship treatment", "It wins")
    do(writer, experiment, "archive")
    assert state() == ("archived", "ship treatment", "It wins")
    person = User.objects.get(username="ada")
    ours = AuditEvent.objects.filter(target_type="research.Experiment", actor_id=str(person.pk))
    assert ours.filter(action="update").count() >= 5


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "", "reason": "It wins"},
        {"decision": "ship", "reason": ""},
        {"decision": " ", "reason": " "},
    ],
)
def test_nothing_stops_without_decision_and_reason(writer: Client, fields: dict[str, str]) -> None:
    experiment = running()
    before = snapshot()
    assert "This field is required" in text_of(do(writer, experiment, "stop", **fields))
    assert snapshot() == before


def test_a_step_that_the_state_does_not_allow_changes_nothing(writer: Client) -> None:
    experiment = running()
    before = snapshot()
    for step in ("start", "resume", "archive"):
        assert do(writer, experiment, step, reason="x").status_code == 403, step
    assert snapshot() == before


def test_what_a_service_refuses_is_told_on_the_page(writer: Client) -> None:
    experiment = draft(coverage=0)
    do(writer, experiment, "start", reason="")
    assert "Is 0: nobody would take part." in words_of(writer, page_of(experiment))
    assert Experiment.objects.get().state == "draft"


def test_an_arm_is_stopped_with_its_reason(writer: Client) -> None:
    experiment = running()
    before = snapshot()
    assert "Select a valid choice" in text_of(do(writer, experiment, "arm", variant="control", reason="x"))
    assert snapshot() == before
    do(writer, experiment, "arm", variant="treatment", reason="It answers in Latin")
    words = words_of(writer, page_of(experiment))
    assert "stopped" in words
    assert "It answers in Latin" in words
    assert experiment.variants.get(key="treatment").stopped_at is not None


def test_overrides_are_set_and_removed(writer: Client) -> None:
    experiment = draft()
    do(writer, experiment, "override", unit="qa-1", variant="treatment")
    assert Override.objects.get().variant.key == "treatment"
    assert "qa-1 treatment" in words_of(writer, page_of(experiment))
    do(writer, experiment, "drop_override", unit="qa-1")
    assert not Override.objects.exists()


def test_another_person_approves(client: Client, settings: Any) -> None:
    settings.EXPERIMENTS_NEED_APPROVAL = True
    ada = staff("research:read", "research:write")
    with acting(Actor.user(ada.pk)):
        experiment = draft()
    client.force_login(ada)
    do(client, experiment, "start", reason="")
    do(client, experiment, "approve")
    words = words_of(client, page_of(experiment))
    assert "Another person has to approve it before it starts." in words
    assert "Another person than the one who wrote it has to approve it." in words
    assert Experiment.objects.get().state == "draft"
    client.force_login(staff("research:read", "research:write", username="eve"))
    do(client, experiment, "approve")
    assert "Approved by eve." in words_of(client, page_of(experiment))
    do(client, experiment, "start", reason="")
    assert Experiment.objects.get().state == "running"


STEPS = ("edit", "start", "pause", "resume", "stop", "arm", "override", "drop_override", "archive", "approve")


def test_readers_look_and_change_nothing(client: Client, settings: Any) -> None:
    settings.EXPERIMENTS_NEED_APPROVAL = True
    experiments = [draft("a"), make_experiment("b"), make_experiment("c")]
    pause_experiment(experiment="c")
    put_override(experiment="c", unit="qa-1", variant="control")
    client.force_login(staff("research:read"))
    before = snapshot()
    said = {"reason": "x", "decision": "x", "variant": "treatment", "unit": "qa-1", "key": "z"}
    for experiment in experiments:
        words = words_of(client, page_of(experiment))
        assert not any(word in words for word in ("Override a unit", "Start Change", "Archive"))
        for step in STEPS:
            assert do(client, experiment, step, **said).status_code == 403, step
            assert client.get(step_of(experiment, step)).status_code == 403, step
    assert client.post(f"{LIST}new/", said).status_code == 403
    assert client.post("/admin/research/exclusiongroup/new/", {"key": "z"}).status_code == 403
    assert client.post("/admin/research/holdout/", {"share": "0.5", "salt": "s"}).status_code == 403
    assert snapshot() == before


@pytest.mark.parametrize("scopes", [(), ("financial:admin",), ("research:nothing",)])
def test_others_find_nothing(client: Client, scopes: tuple[str, ...]) -> None:
    experiment = running()
    client.force_login(staff(*scopes))
    for path in (LIST, page_of(experiment), "/admin/research/exclusiongroup/", "/admin/research/holdout/"):
        assert client.get(path).status_code == 403, path
    before = snapshot()
    for step in STEPS:
        assert do(client, experiment, step, reason="x", decision="x").status_code == 403
    assert snapshot() == before
    client.logout()
    assert client.get(page_of(experiment)).status_code == 302
