"""Service levels in a real browser: promised, looked at, annotated, put into maintenance, archived."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from operations.slo.models import MaintenanceWindow, Slo
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.record_samples import record_samples
from operations.slo.services.slis import create_sli
from tests.operations.slo_setup import sample

from .conftest import Desk
from .test_budgets import act

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

SignIn = Callable[..., Desk]


def measure() -> None:
    """An hour of requests, of which every tenth failed."""
    create_sli(body={"key": "requests", "name": "Requests", "kind": "ratio"})
    now = timezone.now()
    events = [
        sample(f"r{minute}", now - timedelta(minutes=minute), 90, 100, labels={"agent": f"a{minute % 2}"})
        for minute in range(60)
    ]
    assert len(record_samples(sli="requests", samples=events).accepted) == 60


def test_an_objective_is_made_looked_at_and_archived(signed_in: SignIn) -> None:
    measure()
    desk = signed_in("operations:write")
    # Light on the desktop, dark on the phone.
    desk.page.emulate_media(color_scheme="dark" if desk.phone else "light")
    page = desk.open("/admin/operations/slo/")
    act(desk, "New SLO")
    meaning = page.locator("[data-af-preview]")
    expect(meaning).to_contain_text("43.2 bad minutes are allowed")
    page.locator("[name=key]").fill("answers")
    page.locator("[name=name]").fill("Answers <b>come</b>")
    page.locator("[name=sli]").select_option("requests")
    page.locator("[name=group_by]").fill("agent")
    page.locator("[name=target]").fill("100")
    expect(meaning).to_contain_text("A target of 1 leaves no error budget")
    page.get_by_role("button", name="Make the SLO").click()
    expect(page.locator(".errors", has=page.locator("[name=target]"))).to_contain_text(
        "leaves no error budget"
    )
    page.locator("[name=target]").fill("95")
    expect(meaning).to_contain_text("2,160 bad minutes are allowed")
    page.get_by_role("button", name="Make the SLO").click()
    expect(
        page.get_by_text("Missed: 90 %, objective 95 %. 5,400 of 6,000 good; budget 300, 600 used.")
    ).to_be_visible()
    evaluate_slos()
    slo = Slo.objects.get()
    desk.open(f"/admin/operations/slo/{slo.pk}/change/")
    for panel in ("#burn-down", "#level", "#heat"):
        expect(page.locator(f"{panel} svg:visible")).to_have_count(1)
    page.locator("#groups").get_by_role("link", name="agent=a1").click()
    expect(page.get_by_text("2,700 of 3,000 good")).to_be_visible()
    page.get_by_role("link", name="← All events").click()
    page.get_by_role("link", name="Everything").click()
    expect(page.locator("nav a.af-on", has_text="Everything")).to_be_visible()
    act(desk, "Annotate")
    page.locator("[name=text]").fill("Deployed <v2>")
    page.get_by_role("button", name="Write it").click()
    expect(page.locator("#remarks")).to_contain_text("Deployed <v2>")
    act(desk, "Adjust the budget")
    page.locator("[name=events]").fill("400")
    page.locator("[name=reason]").fill("The network was to blame")
    page.get_by_role("button", name="Adjust it").click()
    expect(page.get_by_text("Met: 90 %, objective 95 %.")).to_be_visible()
    expect(page.locator("#remarks")).to_contain_text("400 events given back")
    act(desk, "Archive")
    page.locator("[name=reason]").fill("Replaced")
    page.get_by_role("button", name="Archive it").click()
    expect(page.locator("#remarks")).to_contain_text("Archived: Replaced")
    desk.open("/admin/operations/slo/")
    expect(page.locator("tr.data-row")).to_have_count(0)


def test_a_window_shows_its_next_occurrences_while_it_is_typed(signed_in: SignIn) -> None:
    desk = signed_in("operations:write")
    page = desk.open("/admin/operations/maintenancewindow/new/")
    told = page.locator("[data-af-preview-lines] li")
    expect(told).to_have_text(["Say when it begins and how long it lasts."])
    page.locator("[name=name]").fill("Upgrade")
    page.locator("[name=starts_at]").fill("2030-03-03 02:30")
    page.locator("[name=timezone]").fill("Europe/Berlin")
    page.locator("[name=duration]").fill("90m")
    page.locator("[name=repeats]").select_option("monthly_day")
    expect(told).to_have_text(
        [f"Sun 2030-{day} 02:30 – 04:00" for day in ("03-03", "04-07", "05-05", "06-02", "07-07")]
    )
    page.locator("[name=repeats]").select_option("custom")
    page.locator("[name=rrule]").fill("FREQ=SECONDLY")
    expect(page.locator(".af-preview-wrong")).to_contain_text("by the hour at most")
    page.locator("[name=rrule]").fill("FREQ=WEEKLY;COUNT=2")
    expect(told).to_have_count(2)
    # The switch lies over its box.
    page.locator("[name=all_slos]").check(force=True)
    page.get_by_role("button", name="Make the window").click()
    expect(page.locator("#coming li")).to_have_text(
        ["Sun 2030-03-03 02:30 – 04:00", "Sun 2030-03-10 02:30 – 04:00"]
    )
    assert MaintenanceWindow.objects.get().all_slos
