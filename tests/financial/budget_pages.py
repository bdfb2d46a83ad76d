"""Budgets, holds and their pages as the tests make, reach and read them."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from django.test import Client
from django.utils import timezone

from agent_factory_site.common.money import NANO
from financial.models import Budget, BudgetOverride, Hold
from financial.services.budgets import create_budget
from financial.services.holds import HoldRequest, place_hold
from tests.admin_data import cost, record

BUDGETS = "/admin/financial/budget/"
OVERRIDES = "/admin/financial/budgetoverride/"
HOLDS = "/admin/financial/hold/"
CONFIRMED = {"_form_submitted": "on"}
MORE = {"amount": "5.00", "until": "2030-01-01T00:00", "reason": "Black Friday"}


def budget(**changes: Any) -> Budget:
    values: dict[str, Any] = {
        "name": "Support bots", "entity_type": "agent", "entity_id": "support-bot", "limit": "10.00",
        "currency": "USD", "period": "month", "enforcement": "hard",
    } | changes  # fmt: skip
    return create_budget(**values)


def spend(amount: str, **changes: Any) -> None:
    record(cost(timezone.now(), amount=amount, **{"cost_type": "tool", "provider": "tavily"} | changes))


def hold(amount: str, owner: str = "system:tests", entity: str = "support-bot") -> Hold:
    units, _, rest = amount.partition(".")
    nano = int(units) * NANO + int(f"{rest:0<9}")
    request = HoldRequest(
        owner=owner, entity=("agent", entity), amount=nano, currency="USD", cost_type="llm", provider="openai",
        model="gpt-4o",
    )  # fmt: skip
    return place_hold(request=request).hold


def page_of(row: Budget | BudgetOverride | Hold) -> str:
    return f"/admin/financial/{row._meta.model_name}/{row.pk}/change/"


def html_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return unescape(response.content.decode())


def words_of(html: str) -> str:
    """What a page says, without its markup."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).replace("\N{NARROW NO-BREAK SPACE}", " ").split())
