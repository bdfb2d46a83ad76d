"""The steps of an experiment's life over HTTP, and which its state allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent_factory_site.common.models import AuditEvent, OutboxMessage
from agent_factory_site.common.outbox import subscribe, topic_of, unsubscribe
from research.events import ExperimentStateChanged
from tests.common.callers import make_user

from .experiment_calls import Api, body, conflict, errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db: None) -> Api:
    """Reads and writes experiments, and asks for assignments."""
    return Api("research:admin", "assign")


@pytest.fixture
def heard() -> Iterator[str]:
    """The topic of changes of state, which somebody listens to."""
    subscribe(ExperimentStateChanged, "tests", lambda event: None)
    yield topic_of(ExperimentStateChanged)
    unsubscribe("tests")


STEPS = {
    "start": (None, {"draft": "running"}),
    "pause": ({}, {"running": "paused"}),
    "resume": (None, {"paused": "running"}),
    "stop": ({"decision": "ship", "reason": "better"}, {"running": "stopped", "paused": "stopped"}),
    "archive": (None, {"draft": "archived", "stopped": "archived"}),
}
WAYS = {"draft": [], "running": ["start"], "paused": ["start", "pause"], "stopped": ["start", "stop"],
        "archived": ["archive"]}  # fmt: skip


@pytest.mark.parametrize("state", WAYS)
@pytest.mark.parametrize("verb", STEPS)
def test_each_step_leads_from_its_states_alone(api, heard, state, verb):
    api("POST", "", body())
    for step in WAYS[state]:
        assert api("POST", f"/prompt-v2/{step}", STEPS[step][0]).status_code == 200
    before = api("GET", "/prompt-v2").json()
    sent, leads = STEPS[verb]
    told = OutboxMessage.objects.count()
    response = api("POST", f"/prompt-v2/{verb}", sent)
    if state in leads:
        assert response.status_code == 200
        assert response.json()["state"] == leads[state]
        assert response.json() == api("GET", "/prompt-v2").json()
        message = OutboxMessage.objects.latest("id")
        assert (message.topic, message.payload["key"], message.payload["state"]) == (
            heard,
            "prompt-v2",
            leads[state],
        )
        last = AuditEvent.objects.filter(target_type="research.Experiment").latest("id")
        assert last.changes["state"] == [state, leads[state]]
    else:
        assert conflict(response) == "invalid_state"
        assert response.json()["state"] == state
        assert api("GET", "/prompt-v2").json() == before
        assert OutboxMessage.objects.count() == told


def test_stopping_says_what_was_decided_and_why(api):
    api("POST", "", body())
    api("POST", "/prompt-v2/start")
    assert errors(api("POST", "/prompt-v2/stop", {"decision": "ship"})) == [("/reason", "required")]
    stopped = api("POST", "/prompt-v2/stop", {"decision": "ship", "reason": "Better."}).json()
    assert (stopped["decision"], stopped["reason"], stopped["state"]) == ("ship", "Better.", "stopped")
    assert stopped["phases"][0]["ended_at"] == stopped["stopped_at"]


def test_a_start_says_what_is_missing(api):
    api("POST", "", body(coverage=0, variants=[{"key": "a", "weight": 1}, {"key": "b", "weight": 0}]))
    assert errors(api("POST", "/prompt-v2/start")) == [("/coverage", "required"), ("/variants", "required")]
    assert api("GET", "/prompt-v2").json()["state"] == "draft"


def test_another_person_approves_where_the_settings_ask_for_it(settings, db):
    settings.EXPERIMENTS_NEED_APPROVAL = True
    ada, bob = make_user("ada"), make_user("bob")
    writer, other = Api("research:write", owner=ada), Api("research:write", owner=bob)
    writer("POST", "", body())
    assert conflict(writer("POST", "/prompt-v2/start")) == "approval_required"
    for refused, code in ((writer("POST", "/prompt-v2/approve"), "same_person"),
                          (Api("research:write")("POST", "/prompt-v2/approve"), "no_person")):  # fmt: skip
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    assert other("POST", "/prompt-v2/approve").json()["approved_at"] is not None
    # A change after the approval is not what was approved.
    assert writer.patch("/prompt-v2", {"coverage": 0.5}).json()["approved_at"] is None
    assert conflict(writer("POST", "/prompt-v2/start")) == "approval_required"
    assert other("POST", "/prompt-v2/approve").status_code == 200
    assert conflict(other("POST", "/prompt-v2/approve")) == "approved"
    assert writer("POST", "/prompt-v2/start").status_code == 200
