"""The screens of agents: what they say, who may do what, and that their cost does not grow with the fleet."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent, Entity, Team
from financial.selectors.entity_spend import spend_by_day, unpriced_models
from operations.fleet.models import Agent
from operations.fleet.selectors.agent_figures import agent_figures
from operations.fleet.selectors.agents import agent_totals
from operations.fleet.selectors.fleet_now import fleet_now
from operations.fleet.services.agent_changes import merge_agents, rename_agent
from operations.fleet.services.switch import kill_agent, pause_agent
from operations.health.services.health_checks import create_health_check
from tests.admin_data import cost, record, staff
from tests.common.test_admin_pages import html_of
from tests.operations.fleet_world import span_run, tell

pytestmark = pytest.mark.django_db

LIST = "operations/agent/"
CONFIRMED = {"_form_submitted": "on"}
EVIL = "<script>alert('x')</script>"


def text_of(client: Client, path: str) -> str:
    html = re.sub(r"<(svg|script)\b.*?</\1>", " ", html_of(client, path), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)).replace("\N{NARROW NO-BREAK SPACE}", " ")


def page(agent: Agent) -> str:
    return f"{LIST}{agent.pk}/change/"


def runs(agent: str, *statuses: str, latency: int = 2_000_000) -> None:
    for number, status in enumerate(statuses):
        trace = hashlib.sha256(f"{agent}-{number}".encode()).digest()[:16]
        tell(
            span_run(
                f"{agent}-{number}", agent, status=status, trace_id=trace, latency=latency, error_type="Boom"
                if status == "failed" else ""
            )
        )  # fmt: skip


def agent(key: str) -> Agent:
    return Agent.objects.get(key=key)


def signed_in(client: Client, *scopes: str) -> Client:
    client.force_login(staff(*scopes, username="-".join(scopes) or "nobody"))
    return client


def test_the_list_says_how_each_agent_does(client: Client) -> None:
    runs("bot", "ok", "ok", "ok", "failed", "cancelled")
    now = timezone.now()
    record(
        cost(now, entity_id="bot", amount="12.50", cost_type="tool"),
        cost(now - timedelta(days=40), entity_id="bot", amount="10.00", cost_type="tool"),
    )
    text = text_of(signed_in(client, "operations:read"), LIST)
    assert "bot" in text
    assert "75.0 %" in text
    assert "$12.50" in text
    assert "+25.0 %" in text
    assert re.search(r"(1\.9\d|2(\.0\d)?) s p95", text), text
    assert "unknown" in text
    assert "/pause/" not in html_of(client, LIST), "a reader switches nothing"


def test_figures_are_those_of_the_api(client: Client) -> None:
    runs("bot", "ok", "failed", "cancelled")
    runs("old-bot", "ok", "ok", latency=9_000_000)
    now = timezone.now()
    record(cost(now, entity_id="bot", amount="2.00", cost_type="tool"),
           cost(now, entity_id="old-bot", amount="3.00", cost_type="tool"),
           cost(now, entity_id="old-bot", provider="house", model="nobody-knows"))  # fmt: skip
    merge_agents(agent="old-bot", into="bot")
    rename_agent(agent="bot", key="new-bot")
    row = agent("new-bot")
    mine, theirs = agent_figures([row], now=now)[row.pk], agent_totals(row, now=now)
    assert (mine.amount, mine.unpriced) == (theirs.spend, theirs.unpriced) == (5_000_000_000, 1)
    assert mine.runs.started == theirs.runs == 5
    assert mine.runs.success == theirs.success == 0.75
    assert (mine.p50, mine.p95) == (theirs.latency_p50, theirs.latency_p95)
    assert set(mine.family.names) == {"bot", "old-bot", "new-bot"}


def test_the_number_of_statements_does_not_grow_with_agents(client: Client) -> None:
    signed_in(client, "operations:write")

    def statements(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert client.get(f"/admin/{path}").status_code == 200
        return len(found)

    runs("bot-000", "ok", "failed")
    statements(LIST)
    one = statements(LIST)
    for number in range(1, 100):
        runs(f"bot-{number:03}", "ok")
    record(*(cost(timezone.now(), entity_id=f"bot-{number:03}") for number in range(100)))
    assert statements(LIST) == one
    home = statements("")
    for number in range(100, 110):
        runs(f"bot-{number:03}", "failed")
    assert statements("") == home


def test_statements_of_an_agents_page_do_not_grow_with_its_runs(client: Client) -> None:
    signed_in(client, "operations:read", "financial:read")
    runs("bot", "ok")
    path = f"/admin/{page(agent('bot'))}"
    client.get(path)
    with CaptureQueriesContext(connection) as few:
        client.get(path)
    runs("bot", *["ok", "failed"] * 20)
    record(*(cost(timezone.now(), entity_id="bot") for _ in range(20)))
    with CaptureQueriesContext(connection) as many:
        client.get(path)
    assert len(many) == len(few)


def test_names_with_scripts_in_them_stay_text(client: Client) -> None:
    runs(EVIL, "failed")
    row = agent(EVIL)
    pause_agent(agent=row.pk, reason=EVIL)
    client.force_login(staff(is_superuser=True))
    row.refresh_from_db()
    create_health_check(body={"key": "evil", "kind": "heartbeat", "entity_type": "agent", "entity_id": EVIL})
    for path in (LIST, page(row), f"{LIST}{row.pk}/edit/", f"{LIST}{row.pk}/rename/", "operations/run/", ""):
        html = html_of(client, path)
        assert "<script>alert" not in html, path
        assert not re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html), "an inline script"
    answer = client.get("/admin/operations/run/live/rows/")
    assert answer["Content-Type"] == "application/json"
    assert answer.json()["runs"][0]["agent"] == EVIL


def test_filters(client: Client) -> None:
    for name in ("calm", "stopped", "dead", "gone", "sick"):
        runs(name, "ok")
    pause_agent(agent="stopped", reason="r")
    kill_agent(agent="dead", reason="r")
    merge_agents(agent="gone", into="calm")
    Team.objects.create(key="care", name="Care")
    Agent.objects.filter(key="calm").update(owner=Team.objects.get())
    Agent.objects.filter(key="sick").update(
        last_seen_at=timezone.now() - timedelta(days=8), keep_content=True
    )
    check = create_health_check(
        body={"key": "c", "kind": "heartbeat", "entity_type": "agent", "entity_id": "sick"}
    )
    type(check).objects.filter(pk=check.pk).update(state="failing")
    signed_in(client, "operations:read")

    def shown(query: str) -> set[str]:
        html = html_of(client, f"{LIST}?{query}")
        return set(re.findall(r'af-clip" title="([^"]+)">', html))

    assert shown("") == {"calm", "stopped", "dead", "sick"}
    assert shown("state=paused") == {"stopped"}
    assert shown("state=killed") == {"dead"}
    assert shown("state=archived") == {"gone"}
    assert shown("owner=care") == {"calm"}
    assert shown("owner=-") == {"stopped", "dead", "sick"}
    assert shown("health=failing") == {"sick"}
    assert shown("health=none") == {"calm", "stopped", "dead"}
    assert shown("seen=silent") == {"sick"}
    assert shown("content=kept") == {"sick"}
    assert shown("q=gone") == {"calm"}, "found by the name of what was merged into it"


def test_pausing_resuming_and_killing_call_the_services(client: Client) -> None:
    runs("bot", "ok")
    row = agent("bot")
    signed_in(client, "operations:write")

    def act(deed: str, **fields: Any) -> Any:
        return client.post(f"/admin/{LIST}{row.pk}/{deed}/", {**fields, **CONFIRMED})

    assert "HX-Redirect" not in act("pause"), "without a reason"
    row.refresh_from_db()
    assert row.state == "active"
    assert act("pause", reason="It repeats itself.")["HX-Redirect"] == f"/admin/{page(row)}"
    row.refresh_from_db()
    assert (row.state, row.state_reason) == ("paused", "It repeats itself.")
    assert "It repeats itself." in text_of(client, page(row))
    event = AuditEvent.objects.filter(target_type="operations.Agent", action="update").latest("id")
    assert event.actor_kind == "user"
    act("kill", reason="Enough.")
    act("resume")
    row.refresh_from_db()
    assert (row.state, row.state_reason) == ("active", "")
    act("archive")
    row.refresh_from_db()
    assert row.archived_at is not None
    act("restore")
    row.refresh_from_db()
    assert row.archived_at is None


def test_claiming_and_changing(client: Client) -> None:
    runs("bot", "ok")
    Team.objects.create(key="care", name="Care")
    row = agent("bot")
    signed_in(client, "operations:write")
    answer = client.post(f"/admin/{LIST}{row.pk}/claim/", {"owner": "", "owner_note": ""})
    assert "This field is required" in answer.content.decode()
    answer = client.post(f"/admin/{LIST}{row.pk}/claim/", {"owner": "care", "owner_note": "ask Ada"})
    assert answer.status_code == 302
    text = text_of(client, page(row))
    assert "Owner Care , ask Ada" in text
    fields = {
        "name": "Bot",
        "owner": "care",
        "owner_note": "ask Ada",
        "costs_from": "api",
        "keep_content": "on",
    }
    answer = client.post(f"/admin/{LIST}{row.pk}/edit/", {**fields, "content_days": "0"})
    assert answer.status_code == 200
    answer = client.post(f"/admin/{LIST}{row.pk}/edit/", {**fields, "content_days": "7"})
    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.name, row.costs_from, row.keep_content, row.content_days) == ("Bot", "api", True, 7)
    assert "are kept, redacted, for 7 days" in text_of(client, page(row))


def test_renaming_and_merging(client: Client) -> None:
    runs("bot", "ok")
    runs("twin", "failed")
    row = agent("bot")
    signed_in(client, "operations:admin", "operations:write")
    answer = client.post(f"/admin/{LIST}{row.pk}/rename/", {"key": "twin"})
    assert "Another agent goes by this name" in answer.content.decode()
    client.post(f"/admin/{LIST}{row.pk}/rename/", {"key": "robot"})
    assert agent("robot").pk == row.pk
    answer = client.post(f"/admin/{LIST}{row.pk}/merge/", {"into": "nobody"})
    assert "There is no such agent" in answer.content.decode()
    answer = client.post(f"/admin/{LIST}{row.pk}/merge/", {"into": "twin"})
    assert answer["Location"] == f"/admin/{page(agent('twin'))}"
    text = text_of(client, page(agent("twin")))
    assert "1 of 2 runs failed or were lost" in text
    assert "50.0 %" in text
    assert "Merged into" in text_of(client, page(agent("robot")))


@pytest.mark.parametrize(
    ("scopes", "refused"),
    [
        (("operations:read",), ["claim", "edit", "rename", "merge", "pause", "resume", "kill", "archive"]),
        (("operations:write",), ["merge"]),
    ],
)
def test_a_denied_deed_changes_nothing(client: Client, scopes: tuple[str, ...], refused: list[str]) -> None:
    runs("bot", "ok")
    runs("other", "ok")
    before = list(Agent.objects.order_by("pk").values())
    signed_in(client, *scopes)
    for deed in refused:
        answer = client.post(
            f"/admin/{LIST}{agent('bot').pk}/{deed}/",
            {"reason": "r", "into": "other", "key": "k", "owner": "x"},
        )
        assert answer.status_code == 403, deed
    assert list(Agent.objects.order_by("pk").values()) == before


def test_without_a_right_there_is_no_screen(client: Client) -> None:
    runs("bot", "ok")
    signed_in(client, "financial:read")
    for path in (LIST, page(agent("bot")), f"{LIST}suggest/", "operations/run/", "operations/run/live/",
                 "operations/run/live/rows/", "operations/telemetrysource/"):  # fmt: skip
        assert client.get(f"/admin/{path}").status_code == 403, path
    assert client.get("/admin/operations/run/unpriced/").status_code == 200


def test_money_of_budgets_takes_its_own_scope(client: Client) -> None:
    runs("bot", "ok")
    assert "Budgets that apply" not in text_of(signed_in(client, "operations:read"), page(agent("bot")))
    signed_in(client, "operations:read", "financial:read")
    assert "Budgets that apply" in text_of(client, page(agent("bot")))


def test_names_are_suggested(client: Client) -> None:
    for name in ("bot-a", "bot-b", "other"):
        runs(name, "ok")
    signed_in(client, "operations:read")
    assert client.get(f"/admin/{LIST}suggest/?term=BOT").json() == {"results": ["bot-a", "bot-b"]}


def test_unpriced_models(client: Client) -> None:
    now = timezone.now()
    record(
        *(cost(now, entity_id="bot", provider="house", model="llama-x") for _ in range(3)),
        cost(now, entity_id="other", provider="house", model="llama-x"),
        cost(now - timedelta(days=60), entity_id="bot", provider="house", model="llama-old"),
        cost(now, entity_id="bot"),
    )
    today = now.astimezone(UTC).date()
    (found,) = unpriced_models(first=today - timedelta(days=29), last=today)
    assert (found.model, found.events, found.input_tokens, found.output_tokens) == ("llama-x", 4, 4800, 1240)
    assert found.agents == (("bot", 3), ("other", 1))
    signed_in(client, "operations:read", "financial:admin")
    html = html_of(client, "operations/run/unpriced/")
    assert "provider=house&amp;model=llama-x" in html
    assert "llama-old" not in html
    assert "llama-old" in html_of(client, "operations/run/unpriced/?days=90")
    assert "Set a price" not in html_of(signed_in(client, "operations:read"), "operations/run/unpriced/")


def test_spend_by_day_is_that_of_the_ledger() -> None:
    at = datetime(2026, 11, 2, 23, 59, tzinfo=UTC)
    record(
        cost(at, amount="1.00", cost_type="tool"),
        cost(at + timedelta(minutes=2), amount="2.00", cost_type="tool"),
    )
    number = Entity.objects.get(type="agent", key="support-bot").pk
    days = spend_by_day([number], first=at.date(), last=at.date() + timedelta(days=1))[number]
    assert [day.amount for _, day in sorted(days.items())] == [1_000_000_000, 2_000_000_000]


def test_the_landing_page_tells_of_stopped_agents_and_failing_runs(client: Client) -> None:
    runs("bot", "ok", "failed", "failed")
    runs("quiet", "ok")
    pause_agent(agent="quiet", reason="Being looked at.")
    now = fleet_now(timezone.now())
    assert (now.runs.started, now.runs.failed, now.active, now.paused, now.killed) == (4, 2, 1, 1, 0)
    assert [(one.key, sums.failed) for one, sums in now.failing] == [("bot", 2)]
    text = text_of(signed_in(client, "operations:read"), "")
    assert "Being looked at." in text
    assert "2 failed" in text
    assert "Being looked at." not in text_of(signed_in(client, "financial:read"), "")


def test_lists_behind_numbers_are_filtered(client: Client) -> None:
    runs("bot", "failed")
    html = html_of(signed_in(client, "operations:read"), page(agent("bot")))
    assert "/admin/operations/run/?agent=bot&amp;status=bad" in unquote(html)
