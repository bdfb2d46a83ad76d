"""Agents and runs in a real browser: the switch, the timeline, and the page that keeps itself up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from operations.fleet.models import Agent, run_key
from tests.operations.fleet_world import now_micros, span_run, tell

from .conftest import Desk

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

EVIL = "<img src=x onerror=alert(1)>"


def run(run_id: str, agent: str, **changes: object) -> None:
    start = now_micros(30)
    trace = hashlib.sha256(run_id.encode()).digest()[:16]
    tell(span_run(run_id, agent, trace_id=trace, start=start, end=start + 9, last=start + 9, **changes))


def test_an_agent_is_paused_from_the_list(signed_in: Callable[..., Desk]) -> None:
    run("r-1", EVIL)
    desk = signed_in("operations:write")
    page = desk.open("/admin/operations/agent/")
    expect(page.get_by_text(EVIL).first).to_be_visible()
    page.get_by_role("link", name="Pause").click()
    dialog = page.locator("#dialog")
    dialog.locator("[name=reason]").fill("It repeats itself.")
    dialog.get_by_role("button", name="Pause it").click()
    expect(page.get_by_text("Reason: It repeats itself.")).to_be_visible()
    assert Agent.objects.get().state == "paused"


def test_live_runs_follow(signed_in: Callable[..., Desk]) -> None:
    run("r-1", "bot")
    desk = signed_in("operations:read")
    page = desk.open("/admin/operations/run/live/")
    rows = page.locator("[data-af-live] tbody tr")
    expect(rows).to_have_count(1)
    expect(page.locator("[data-af-live-state]")).to_have_text("live")
    run("r-2", EVIL, status="failed", error_type=EVIL)
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text(EVIL)
    page.get_by_role("button", name="Hold").click()
    expect(page.locator("[data-af-live-state]")).to_have_text("held")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("[data-af-live-state]")).to_have_text("live")
    rows.first.locator("th a").click()
    expect(page).to_have_url(f"{desk.url}/admin/operations/run/{run_key('r-2')}/change/")
