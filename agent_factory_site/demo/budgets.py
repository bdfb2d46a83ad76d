"""The demo's budgets: one of each kind, one of them spent, and calls that hold money at the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.utils import timezone

from agent_factory_site.common.errors import PaymentRequired
from agent_factory_site.common.money import NANO
from financial.models import Budget, BudgetOverride, Hold
from financial.selectors.budgets import list_budgets
from financial.services.budget_overrides import request_override
from financial.services.budgets import create_budget
from financial.services.holds import HoldRequest, place_hold

OWNER: Final = "command:seed_demo"
HOLDS_LAST: Final = 86_400
"""Seconds; what is held in a demo has expired by the next day."""


@dataclass(frozen=True, slots=True)
class DemoBudget:
    """A budget; ``parent`` is the name of one before it."""

    name: str
    entity: tuple[str, str]
    limit: str
    period: str
    enforcement: str = "soft"
    thresholds: Sequence[Decimal] = (Decimal("0.8"), Decimal(1))
    parent: str = ""
    zone: str = "UTC"
    rollover: str = "none"
    filters: Mapping[str, object] = field(default_factory=dict)


_HALF, _MOST, _ALL = Decimal("0.5"), Decimal("0.8"), Decimal(1)

BUDGETS: Final = (
    DemoBudget("The whole fleet", ("*", "*"), "2200.00", "month", thresholds=(_HALF, _MOST, _ALL)),
    DemoBudget(
        "Customer care", ("team", "customer-care"), "700.00", "month", "hard", parent="The whole fleet"
    ),
    DemoBudget(
        "Support bot",
        ("agent", "support-bot"),
        "600.00",
        "month",
        "hard",
        parent="Customer care",
        rollover="all",
    ),
    # The day on which it repeated itself without an end lies within the window.
    DemoBudget(
        "Research assistant, 30 days", ("agent", "research-assistant"), "700.00", "rolling:30d", "hard"
    ),
    DemoBudget("Each agent, a day", ("agent", "*"), "20.00", "day", zone="Europe/Berlin"),
    DemoBudget(
        "Code reviews by model",
        ("agent", "code-reviewer"),
        "250.00",
        "rolling:30d",
        filters={"cost_type": ["llm"], "tags": {"env": "prod"}},
    ),
)

HOLDS: Final = (
    ("support-bot", "customer-care", "openai", "gpt-5.2", "0.35"),
    ("support-bot", "customer-care", "openai", "gpt-5-mini", "0.08"),
    ("onboarding-guide", "customer-care", "openai", "gpt-5.4-mini", "0.12"),
    ("checkout-bot", "commerce", "openai", "gpt-4o", "0.06"),
)
"""Agent, team, provider, model, and how many units of the base currency it holds."""


def seed_budgets() -> int:
    """Set the budgets that are missing, with a request for more and today's holds; how many were set."""
    known: dict[str, Budget] = {row.name: row for row in list_budgets(archived=True)}
    added = 0
    for wanted in BUDGETS:
        if wanted.name not in known:
            known[wanted.name] = _create(wanted, known)
            added += 1
    _ask_for_more(known["Research assistant, 30 days"])
    _place_holds()
    return added


def _create(wanted: DemoBudget, known: Mapping[str, Budget]) -> Budget:
    return create_budget(
        name=wanted.name,
        entity_type=wanted.entity[0],
        entity_id=wanted.entity[1],
        limit=wanted.limit,
        currency=settings.BASE_CURRENCY,
        period=wanted.period,
        timezone=wanted.zone,
        enforcement=wanted.enforcement,
        thresholds=wanted.thresholds,
        rollover=wanted.rollover,
        filters=wanted.filters,
        parent=known[wanted.parent].pk if wanted.parent else None,
    )


def _ask_for_more(budget: Budget) -> None:
    if budget.archived_at is None and not BudgetOverride.objects.filter(budget=budget).exists():
        request_override(
            budget_id=budget.pk,
            amount="300.00",
            until=timezone.now() + timedelta(days=14),
            reason="Finish the market study; the loop of calls is mended.",
        )


def _place_holds() -> None:
    if Hold.objects.filter(owner=OWNER, state=Hold.State.HELD, expires_at__gt=timezone.now()).exists():
        return
    for agent, team, provider, model, amount in HOLDS:
        request = HoldRequest(
            owner=OWNER,
            entity=("agent", agent),
            entities={"team": team},
            amount=int(Decimal(amount) * NANO),
            currency=settings.BASE_CURRENCY,
            cost_type="llm",
            provider=provider,
            model=model,
            tags={"env": "prod"},
            expires_in=HOLDS_LAST,
        )
        try:
            place_hold(request=request)
        except PaymentRequired:
            # Somebody has lowered a limit: as good a demonstration.
            continue
