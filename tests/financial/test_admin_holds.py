"""The pages of holds: what they show, and who may release them."""

from __future__ import annotations

import pytest
from django.test import Client

from agent_factory_site.common.money import NANO
from financial.models import BudgetPeriod, CostEvent
from financial.services.hold_settling import Settling, settle_hold

from .budget_pages import CONFIRMED, HOLDS, budget, hold, html_of, page_of, words_of

pytestmark = pytest.mark.django_db


def test_holds_are_listed_filtered_and_shown(reader: Client) -> None:
    row = budget()
    other = budget(name="Other", entity_id="other")
    mine, theirs, done = hold("1.00"), hold("2.00", owner="user:7", entity="other"), hold("0.5")
    settled = settle_hold(hold_id=done.pk, owner=None, settling=Settling(amount="0.25", currency="USD"))
    for query, shown in (
        ("", {mine, theirs}),
        ("?state=settled", {done}),
        ("?state=all", {mine, theirs, done}),
        ("?owner=user:7", {theirs}),
        ("?entity=agent/other", {theirs}),
        ("?entity=agent/unknown", set()),
        ("?entity=agent", set()),
        (f"?budget={row.pk}", {mine}),
        (f"?budget={other.pk}&state=all", {theirs}),
        ("?budget=nonsense", set()),
    ):
        html = html_of(reader, HOLDS + query)
        assert {each for each in (mine, theirs, done) if f"{HOLDS}{each.pk}/change/" in html} == shown, query
    words = words_of(html_of(reader, page_of(done)))
    assert "$0.50 set aside settled" in words
    assert settled.recorded is not None
    assert f"/admin/financial/costevent/{CostEvent.objects.get().pk}/change/" in html_of(
        reader, page_of(done)
    )
    html = html_of(reader, page_of(mine))
    assert "Takes of" in html
    assert "/release/" not in html
    assert "settle/" not in html


def test_whoever_keeps_the_money_releases_the_hold_of_another(writer: Client, keeper: Client) -> None:
    budget()
    row = hold("4.00", owner="user:7")
    assert writer.post(f"{HOLDS}{row.pk}/release/", CONFIRMED).status_code == 403
    assert BudgetPeriod.objects.get().held == 4 * NANO
    assert "Release this hold?" in html_of(keeper, f"{HOLDS}{row.pk}/release/")
    assert BudgetPeriod.objects.get().held == 4 * NANO
    response = keeper.post(f"{HOLDS}{row.pk}/release/", CONFIRMED)
    assert response["HX-Redirect"] == page_of(row)
    row.refresh_from_db()
    assert (row.state, BudgetPeriod.objects.get().held) == ("released", 0)
    assert keeper.post(f"{HOLDS}{row.pk}/release/", CONFIRMED).status_code == 403
