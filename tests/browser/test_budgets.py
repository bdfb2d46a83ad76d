"""Budgets in a real browser: set, looked at, raised by a second person; holds released."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.money import NANO
from financial.models import Budget, BudgetOverride, BudgetPeriod, Hold
from financial.services.budget_overrides import request_override
from financial.services.budgets import create_budget
from financial.services.holds import HoldRequest, place_hold
from tests.admin_data import cost, record, staff

from .conftest import Desk

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

SignIn = Callable[..., Desk]


def act(desk: Desk, name: str) -> None:
    """Press a button of the head of a page, which a phone keeps in a menu."""
    if desk.phone:
        desk.page.locator("a", has_text="more_horiz").click()
    desk.page.get_by_role("link", name=re.compile(rf"\b{name}$")).click()


def set_budget(**changes: object) -> Budget:
    values: dict[str, object] = {
        "name": "Support bots", "entity_type": "agent", "entity_id": "support-bot", "limit": "100.00",
        "currency": "USD", "period": "year", "enforcement": "hard", "thresholds": [0.5, 0.8, 1.0],
    } | changes  # fmt: skip
    return create_budget(**values)  # type: ignore[arg-type]


def place(amount: int) -> Hold:
    request = HoldRequest(
        owner="user:77",
        entity=("agent", "support-bot"),
        amount=amount * NANO,
        currency="USD",
        cost_type="llm",
    )
    return place_hold(request=request).hold


def chart(page: Page) -> str:
    """What the burn-up that is to be seen says."""
    expect(page.locator("#burn-up svg:visible")).to_have_count(1)
    return page.locator("#burn-up svg:visible").text_content() or ""


def test_a_budget_is_set_changed_and_archived(signed_in: SignIn) -> None:
    record(cost(timezone.now(), amount="4", cost_type="tool"))
    desk = signed_in("financial:write")
    page = desk.open("/admin/financial/budget/")
    act(desk, "Set a budget")
    page.locator("[name=name]").fill("Support bots")
    page.locator("[name=entity_type]").fill("agent")
    page.locator("[name=entity_id]").fill("support-bot")
    page.locator("[name=limit]").fill("-5")
    page.get_by_role("button", name="Set the budget").click()
    expect(page.get_by_text("Must not be negative.")).to_be_visible()
    expect(page.locator("[name=entity_id]")).to_have_value("support-bot")
    page.locator("[name=limit]").fill("5.00")
    page.get_by_role("button", name="Set the budget").click()
    expect(page.get_by_text("$4.00 of $5.00 is spent or held")).to_be_visible()
    expect(page.locator(".af-badge-warn", has_text="warning").first).to_be_visible()
    act(desk, "Change")
    page.locator("[name=limit]").fill("3.50")
    page.locator("[name=enforcement]").select_option("hard")
    page.get_by_role("button", name="Change the budget").click()
    expect(page.get_by_text("$4.00 is spent of $3.50. Every hold is refused until")).to_be_visible()
    expect(page.locator("#overruns")).to_contain_text("limit lowered")
    act(desk, "Archive")
    page.get_by_role("button", name="Archive it").click()
    expect(page.get_by_text("The budget is archived.")).to_be_visible()
    expect(page.locator(".af-panel").first).to_contain_text("closed")
    desk.open("/admin/financial/budget/")
    expect(page.locator("tr.data-row")).to_have_count(0)


def test_the_burn_up_is_seen_and_read(signed_in: SignIn) -> None:
    now = timezone.now()
    record(*(cost(now - timedelta(days=number), amount="1", cost_type="tool") for number in range(40)))
    fleet = set_budget(name="Fleet", entity_type="*", entity_id="*", limit="5000.00")
    budget = set_budget(parent=fleet.pk, period="rolling:30d", limit="40.00")
    place(3)
    desk = signed_in("financial:read")
    # Light on the desktop, dark on the phone.
    desk.page.emulate_media(color_scheme="dark" if desk.phone else "light")
    page = desk.open(f"/admin/financial/budget/{budget.pk}/change/")
    said = chart(page)
    for words in ("Settled", "$30.00", "Held", "$3.00", "Hard limit $40.00", "80% $32.00"):
        assert words in said
    page.get_by_text("As a table").click()
    expect(page.locator("#burn-up tbody tr")).to_have_count(30)
    expect(page.locator("#burn-up tbody tr").last).to_contain_text("so far")
    page.get_by_role("link", name="What counts into this budget").click()
    expect(page.locator("#total-amount")).to_have_text("$30.00")
    page.go_back()
    page.locator("#family").get_by_role("link", name="Fleet").click()
    assert "Expected" in chart(page)
    expect(page.locator("#burn-up")).to_contain_text("Expected at the end of the period: $")
    expect(page.locator("#family tbody tr")).to_have_count(2)


def test_a_second_person_raises_the_limit(signed_in: SignIn) -> None:
    budget = set_budget(limit="10.00")
    with acting(Actor.user(staff("financial:write", username="grace").pk)):
        override = request_override(
            budget_id=budget.pk,
            amount="5.00",
            until=timezone.now() + timedelta(days=2),
            reason="Black Friday",
        )
    desk = signed_in("financial:admin")
    page = desk.open(f"/admin/financial/budget/{budget.pk}/change/")
    expect(page.locator("#overrides tbody tr")).to_contain_text("user grace")
    page.locator("#overrides").get_by_role("link", name="Approve").click()
    page.get_by_role("button", name="Approve it").click()
    expect(page.get_by_text("The override is approved: the limit is raised.")).to_be_visible()
    expect(page.locator(".af-budget-numbers div").first).to_contain_text("$15.00")
    override.refresh_from_db()
    assert override.approved_by is not None
    act(desk, "Ask for more")
    page.locator("[name=amount]").fill("1")
    page.locator("[name=until]").fill("2090-01-01T00:00")
    page.locator("[name=reason]").fill("More still")
    page.get_by_role("button", name="Ask for it").click()
    expect(page.get_by_text("another person has to approve it")).to_be_visible()
    own = page.locator("#overrides tbody tr", has_text="More still")
    expect(own).to_contain_text("another person than you")
    own.get_by_role("link", name="Withdraw").click()
    page.get_by_role("button", name="Withdraw it").click()
    expect(page.get_by_text("The override is withdrawn.")).to_be_visible()
    assert BudgetOverride.objects.exclude(pk=override.pk).get().ended_at is not None
    desk.open("/admin/financial/budgetoverride/")
    expect(page.locator("tr.data-row")).to_have_count(2)


def test_a_hold_that_nobody_ends_is_released(signed_in: SignIn) -> None:
    set_budget(limit="10.00")
    place(4)
    desk = signed_in("financial:admin")
    page = desk.open("/admin/financial/hold/")
    page.locator("tr.data-row a").first.click()
    expect(page.get_by_text("$4.00 set aside")).to_be_visible()
    act(desk, "Release")
    page.get_by_role("button", name="Release it").click()
    expect(page.get_by_text("The hold is released.")).to_be_visible()
    assert BudgetPeriod.objects.get().held == 0
    desk.open("/admin/financial/hold/")
    expect(page.locator("tr.data-row")).to_have_count(0)
    desk.open("/admin/financial/hold/?state=released")
    expect(page.locator("tr.data-row")).to_have_count(1)
    expect(page).to_have_url(re.compile("state=released"))
