"""Agents: registered on sight and not without end, claimed, switched, renamed, merged and archived."""

from __future__ import annotations

import pytest

from agent_factory_site.common.models import AuditEvent, Team
from financial.models import CostEvent
from operations.fleet.models import Agent, AgentAlias, Tool
from operations.fleet.services.agents import find_agents, register_agents, register_tools
from tests.operations.health_setup import ROOT as CHECKS

from .fleet_world import Api, charge, paid, run_of, span_run, tell

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api() -> Api:
    return Api("ingest", "operations:read", "operations:write", "operations:admin")


def test_agents_and_tools_are_registered_on_sight_up_to_a_limit(settings):
    settings.AGENT_LIMIT = settings.TOOL_LIMIT = 2
    known = register_agents(names=["a", " a ", "<script>alert(1)</script>"], seen_by="otlp")
    assert (known.agents["a"], known.refused) == (known.agents[" a "], set())
    more = register_agents(names=["a", "b", "c"], seen_by="otlp")
    assert more.refused == {"b", "c"}
    assert {name: one.key for name, one in more.agents.items()} == {"a": "a", "b": "(other)", "c": "(other)"}
    again = register_agents(names=["b", "d", ""], seen_by="otlp")
    assert {one.key for one in again.agents.values()} == {"(other)"}
    assert sorted(Agent.objects.values_list("key", flat=True)) == [
        "(other)",
        "<script>alert(1)</script>",
        "a",
    ]
    assert set(register_tools(names=["x", "y", "z", ""])) == {"x", "y"}
    assert Tool.objects.count() == 2
    registered = AuditEvent.objects.filter(action="register", target_type="operations.Agent")
    assert [len(event.changes["agents"]) for event in registered.order_by("id")] == [2, 1]


def test_names_are_cleaned_and_never_empty():
    agents = register_agents(names=["\0\n", "x" * 300, "a\tb", "__proto__"], seen_by="api").agents
    assert {one.key for one in agents.values()} == {"(unnamed)", "x" * 255, "a b", "__proto__"}


def test_a_renamed_agent_keeps_its_entity_and_its_old_name(api):
    tell(span_run(agent="old"))
    charge("r", "1", agent="old")
    assert api.post("/agents/old/rename", {"key": "new"}).json()["key"] == "new"
    tell(span_run("second", agent="new", trace_id=b"\1" * 16))
    charge("s", "2", event_id="c-2", agent="new")
    agent = Agent.objects.get()
    assert (agent.key, agent.entity.key) == ("new", "old")
    assert find_agents(["old", "new"])["old"] == find_agents(["new"])["new"]
    shown = api.get("/agents/old").json()
    assert (shown["names"], shown["last_30_days"]["runs"], shown["last_30_days"]["spend"]) == (
        ["new", "old"],
        2,
        "3.00",
    )
    run_id = api.post("/runs", {"agent": "new"}).json()["run_id"]
    api.post(f"/runs/{run_id}/finish", {"status": "ok", "usage": paid("4")})
    assert CostEvent.objects.latest("recorded_at").entity.key == "old"
    tell(span_run("third", agent="taken", trace_id=b"\2" * 16))
    assert api.post("/agents/new/rename", {"key": "taken"}).json()["code"] == "key_taken"
    assert api.post("/agents/new/rename", {"key": " x"}).status_code == 400


def test_a_merged_agent_leads_to_the_other_with_its_history(api):
    tell(span_run("one", agent="left"), span_run("two", agent="right", trace_id=b"\1" * 16, status="failed"))
    charge("one", "1", agent="left")
    charge("two", "2", event_id="c-2", agent="right")
    assert Api("operations:write").post("/agents/left/merge", {"into": "right"}).status_code == 403
    merged = api.post("/agents/left/merge", {"into": "right"})
    assert (merged.status_code, merged.json()["key"]) == (200, "right")
    tell(span_run("three", agent="left", trace_id=b"\2" * 16))
    shown = api.get("/agents/left").json()
    assert (shown["key"], shown["names"]) == ("right", ["left", "right"])
    totals = shown["last_30_days"]
    assert (totals["runs"], totals["failed"], totals["spend"], totals["success"]) == (3, 1, "3.00", 2 / 3)
    assert totals["latency_p50"] == pytest.approx(2, rel=0.01)
    assert {one["run_id"] for one in api.get("/runs?agent=left").json()["results"]} == {"one", "two", "three"}
    assert run_of("one").agent.key == "left"
    gone = Agent.objects.get(key="left")
    assert (gone.merged_into.key, gone.archived_at is None) == ("right", False)
    assert api.post(f"/agents/{gone.pk}/restore").json()["code"] == "merged"
    assert api.post(f"/agents/{gone.pk}/merge", {"into": "right"}).json()["code"] == "archived"
    assert AgentAlias.objects.filter(agent__key="right").count() == 2


def test_an_agent_is_claimed_with_its_version(api):
    Team.objects.create(key="support", name="Support")
    tell(span_run())
    first = api.get("/agents/bot")
    assert api.patch("/agents/bot", {"owner": "support"}).status_code == 428
    claimed = api.patch("/agents/bot", {"owner": "support", "name": "The Bot"}, **{"If-Match": first["ETag"]})
    assert (claimed.json()["owner"], claimed.json()["name"]) == ("support", "The Bot")
    assert api.patch("/agents/bot", {"owner": None}, **{"If-Match": first["ETag"]}).status_code == 412
    wrong = api.patch("/agents/bot", {"owner": "nobody"}, **{"If-Match": claimed["ETag"]})
    assert [one["code"] for one in wrong.json()["errors"]] == ["unknown_team"]
    assert [one["key"] for one in api.get("/agents?owner=support").json()["results"]] == ["bot"]
    assert api.get("/agents?owner=-").json()["results"] == []


def test_archived_agents_are_listed_apart(api):
    tell(span_run())
    api.post("/agents/bot/archive")
    assert api.get("/agents").json()["results"] == []
    assert [one["key"] for one in api.get("/agents?archived=true").json()["results"]] == ["bot"]
    api.post("/agents/bot/restore")
    assert len(api.get("/agents").json()["results"]) == 1
    assert api.get("/agents/nobody").status_code == 404


def test_an_agent_shows_its_health(api):
    tell(span_run())
    made = api.client.post(
        CHECKS,
        {"key": "bot-beat", "kind": "heartbeat", "entity_type": "agent", "entity_id": "bot"},
        content_type="application/json",
        headers=api.headers,
    )
    assert made.status_code == 201, made.content
    assert api.get("/agents/bot").json()["health"] == [{"key": "bot-beat", "state": "unknown", "since": None}]


def test_an_agent_whose_name_has_slashes_is_reached_by_it(api):
    assert api.post("/runs", {"agent": "team/bot"}).status_code == 201
    assert api.post("/agents/team/bot/pause", {"reason": "too dear"}).json()["state"] == "paused"
    assert api.get("/agents/team%2Fbot").json()["key"] == "team/bot"
    assert api.post("/runs", {"agent": "team/bot"}).status_code == 423
    assert api.post("/agents/team%2Fbot/resume", {}).json()["state"] == "active"
