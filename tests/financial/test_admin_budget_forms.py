"""Forms of budgets and their overrides: what they store and refuse, and who may use them."""

from __future__ import annotations

from datetime import UTC, datetime
from html import unescape
from typing import Any

import pytest
from django.test import Client

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent, User
from agent_factory_site.common.money import NANO
from financial.models import Budget, BudgetOverride, BudgetPeriod, Hold
from financial.services.budget_overrides import approve_override, request_override
from financial.services.budgets import change_budget
from tests.admin_data import staff

from .budget_pages import (
    BUDGETS,
    CONFIRMED,
    HOLDS,
    MORE,
    OVERRIDES,
    budget,
    hold,
    html_of,
    page_of,
    spend,
    words_of,
)

pytestmark = pytest.mark.django_db

FORM = {
    "name": "Support bots", "entity_type": "agent", "entity_id": "support-bot", "limit": "10.00", "currency": "USD",
    "period": "month", "timezone": "UTC", "enforcement": "hard", "thresholds": "50, 80 %, 100", "rollover": "none",
}  # fmt: skip


# --- Forms --------------------------------------------------------------------------------------


def test_a_budget_is_set_by_its_form(writer: Client) -> None:
    spend("1.50")
    form = FORM | {
        "period": "rolling", "rolling_days": "30", "provider": "tavily, openai", "tags": "", "cost_type": ["tool"],
    }  # fmt: skip
    response = writer.post(f"{BUDGETS}new/", form)
    row = Budget.objects.get()
    assert (response.status_code, response["Location"]) == (302, page_of(row))
    assert (row.limit, row.period, row.enforcement, row.thresholds) == (
        10 * NANO,
        "rolling:30d",
        "hard",
        [0.5, 0.8, 1],
    )
    assert row.filters == {"cost_type": ["tool"], "provider": ["openai", "tavily"]}
    assert BudgetPeriod.objects.get().settled == 1_500_000_000
    made = AuditEvent.objects.get(target_type="financial.Budget", target_id=str(row.pk))
    assert (made.action, made.actor_kind) == ("create", "user")


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"name": ""}, "name", "This field is required."),
        ({"limit": "-1"}, "limit", "Must not be negative."),
        ({"limit": "1e3"}, "limit", None),
        ({"limit": "2000000000"}, "limit", "At most 1000000000."),
        ({"entity_id": ""}, "entity_id", "Is needed."),
        ({"thresholds": "80, 50"}, "thresholds", "Must be above the one before it."),
        ({"thresholds": "lots"}, "thresholds", "lots is not a number: write per cents such as 80, 100."),
        ({"period": "rolling"}, "period", None),
        ({"period": "rolling", "rolling_days": "400"}, "period", None),
        ({"timezone": "Mars/Olympus"}, "timezone", "Is not an IANA time zone."),
        ({"rollover": "capped"}, "rollover_cap", "Says how much rolls over at most."),
        ({"rollover_cap": "3"}, "rollover_cap", "Goes with the rollover capped alone."),
        ({"ends_on": "2020-01-01"}, "ends_on", "Lies in the past."),
        ({"starts_on": "soon"}, "starts_on", "Enter a valid date."),
        ({"tags": "env"}, "tags", "env is no tag: write name=value, one a line."),
        ({"cost_type": ["gold"]}, "cost_type", None),
    ],
)
def test_what_is_wrong_stands_beside_its_field(
    writer: Client, changes: dict[str, Any], field: str, sentence: str | None
) -> None:
    response = writer.post(f"{BUDGETS}new/", FORM | changes)
    errors = response.context["form"].errors
    assert list(errors) == [field]
    if sentence is not None:
        assert errors[field] == [sentence]
    assert errors[field][0] in unescape(response.content.decode())
    assert not Budget.objects.exists()


def test_a_child_above_its_parent_is_refused_beside_the_limit(writer: Client) -> None:
    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="5.00")
    response = writer.post(f"{BUDGETS}new/", FORM | {"parent": str(fleet.pk)})
    assert response.context["form"].errors["limit"] == ["Is more than the limit of its parent."]
    response = writer.post(f"{BUDGETS}new/", FORM | {"parent": str(fleet.pk), "limit": "5"})
    assert response.status_code == 302
    assert Budget.objects.get(name="Support bots").parent == fleet


def test_a_budget_is_changed_and_keeps_what_was_not_touched(writer: Client) -> None:
    row = budget(rollover="capped", rollover_cap="2.00", thresholds=[0.125, 1.0])
    form = writer.get(f"{BUDGETS}{row.pk}/edit/").context["form"]
    shown = {name: str(form.initial[name]) for name in form.fields}
    assert shown == {
        "name": "Support bots", "limit": "10.00", "enforcement": "hard", "thresholds": "12.5, 100",
        "rollover": "capped", "rollover_cap": "2.00", "ends_on": "",
    }  # fmt: skip
    # Somebody else changes the name while the form is open.
    change_budget(budget_id=row.pk, name="Bots of support")
    response = writer.post(f"{BUDGETS}{row.pk}/edit/", shown | {"name": "Bots of support", "limit": "4.00"})
    assert (response.status_code, response["Location"]) == (302, page_of(row))
    row.refresh_from_db()
    assert (row.name, row.limit, row.rollover_cap, row.thresholds) == (
        "Bots of support",
        4 * NANO,
        2 * NANO,
        [0.125, 1],
    )
    assert BudgetPeriod.objects.get().limit == 4 * NANO
    response = writer.post(
        f"{BUDGETS}{row.pk}/edit/", shown | {"name": row.name, "limit": "x", "rollover": "none"}
    )
    assert set(response.context["form"].errors) == {"limit", "rollover_cap"}
    row.refresh_from_db()
    assert (row.limit, row.rollover) == (4 * NANO, "capped")


def test_a_budget_is_archived_after_a_question(writer: Client) -> None:
    row = budget()
    assert "Archive this budget?" in html_of(writer, f"{BUDGETS}{row.pk}/archive/")
    row.refresh_from_db()
    assert row.archived_at is None
    response = writer.post(f"{BUDGETS}{row.pk}/archive/", CONFIRMED)
    assert response["HX-Redirect"] == page_of(row)
    row.refresh_from_db()
    assert row.archived_at is not None


# --- Two people ---------------------------------------------------------------------------------


def test_what_one_asks_for_another_approves(client: Client, keeper: Client) -> None:
    asks = staff("financial:admin", username="ada")
    client.force_login(asks)
    row = budget()
    response = client.post(f"{BUDGETS}{row.pk}/more/", MORE)
    assert (response.status_code, response["Location"]) == (302, page_of(row))
    override = BudgetOverride.objects.get()
    assert (override.amount, override.requested_by, override.approved_at) == (5 * NANO, asks, None)
    approve = f"{OVERRIDES}{override.pk}/approve/"
    own = html_of(client, page_of(row))
    assert "another person than you" in own
    assert approve not in own
    # Whoever asked is told so by the service, also past the page.
    refused = client.post(approve, CONFIRMED)
    assert refused["HX-Redirect"] == page_of(row)
    assert "Another person than the one who asked has to approve it." in html_of(client, page_of(row))
    override.refresh_from_db()
    assert (override.approved_at, BudgetPeriod.objects.get().raised) == (None, 0)
    assert approve in html_of(keeper, page_of(row))
    keeper.post(approve, CONFIRMED)
    override.refresh_from_db()
    assert override.approved_by == User.objects.get(username="bob")
    period = BudgetPeriod.objects.get()
    assert (period.raised, period.limit) == (5 * NANO, 15 * NANO)
    words = words_of(html_of(keeper, page_of(row)))
    assert "$5.00 approved 2030-01-01 00:00 Black Friday user ada bob Withdraw" in words
    assert "$5.00 more for Support bots approved" in words_of(html_of(keeper, page_of(override)))
    client.post(f"{OVERRIDES}{override.pk}/withdraw/", CONFIRMED)
    period.refresh_from_db()
    assert (period.raised, period.limit) == (0, 10 * NANO)


def test_overrides_that_wait_are_found(keeper: Client) -> None:
    row = budget()
    until = datetime(2030, 1, 1, tzinfo=UTC)
    with acting(Actor.user(staff(username="ada").pk)):
        waiting = request_override(budget_id=row.pk, amount="1.00", until=until, reason="A")
        approved = request_override(budget_id=row.pk, amount="2.00", until=until, reason="B")
    with acting(Actor.user(User.objects.get(username="bob").pk)):
        approve_override(override_id=approved.pk)
    for query, shown in (
        ("", {waiting, approved}),
        ("?state=open", {waiting}),
        ("?state=approved", {approved}),
    ):
        html = html_of(keeper, OVERRIDES + query)
        assert {each for each in (waiting, approved) if f"{each.pk}/change/" in html} == shown
    assert "user ada" in html_of(keeper, OVERRIDES)


def test_bad_requests_for_more_store_nothing(writer: Client) -> None:
    one = budget()
    each = budget(name="Each", entity_type="user", entity_id="*")
    for row, changes, field in (
        (one, {"amount": "0"}, "amount"),
        (one, {"until": "2020-01-01T00:00"}, "until"),
        (one, {"until": ""}, "until"),
        (one, {"reason": ""}, "reason"),
        (each, {"entity_id": "nobody"}, "entity_id"),
    ):
        response = writer.post(f"{BUDGETS}{row.pk}/more/", MORE | changes)
        assert list(response.context["form"].errors) == [field]
    assert not BudgetOverride.objects.exists()


# --- Who may ------------------------------------------------------------------------------------


def test_those_who_may_only_read_change_nothing(reader: Client) -> None:
    row = budget()
    until = datetime(2030, 1, 1, tzinfo=UTC)
    override = request_override(budget_id=row.pk, amount="1.00", until=until, reason="A")
    held = hold("1.00")
    before = list(Budget.objects.values()), list(BudgetOverride.objects.values()), list(Hold.objects.values())
    for path, form in (
        (f"{BUDGETS}new/", FORM), (f"{BUDGETS}{row.pk}/edit/", FORM), (f"{BUDGETS}{row.pk}/more/", MORE),
        (f"{BUDGETS}{row.pk}/archive/", CONFIRMED), (f"{OVERRIDES}{override.pk}/approve/", CONFIRMED),
        (f"{OVERRIDES}{override.pk}/withdraw/", CONFIRMED), (f"{HOLDS}{held.pk}/release/", CONFIRMED),
        (f"{BUDGETS}add/", FORM), (f"{BUDGETS}{row.pk}/delete/", {}), (page_of(row), {"name": "x"}),
    ):  # fmt: skip
        assert reader.post(path, form).status_code == 403, path
    after = list(Budget.objects.values()), list(BudgetOverride.objects.values()), list(Hold.objects.values())
    assert after == before
    html = html_of(reader, page_of(row))
    assert "/edit/" not in html
    assert "/withdraw/" not in html
    assert "/new/" not in html_of(reader, BUDGETS)


def test_whoever_may_write_cannot_approve(writer: Client) -> None:
    row = budget()
    override = request_override(
        budget_id=row.pk, amount="1.00", until=datetime(2030, 1, 1, tzinfo=UTC), reason="A"
    )
    assert writer.post(f"{OVERRIDES}{override.pk}/approve/", CONFIRMED).status_code == 403
    assert "/approve/" not in html_of(writer, page_of(row))
    override.refresh_from_db()
    assert override.approved_at is None


def test_strangers_to_money_see_nothing(client: Client) -> None:
    row = budget()
    client.force_login(staff("common:read"))
    for path in (BUDGETS, page_of(row), f"{BUDGETS}new/", OVERRIDES, HOLDS):
        assert client.get(path).status_code == 403, path
