"""Costs and people for tests of pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission

from agent_factory_site.common.models import User
from financial.domain.cost_input import CostInput, UsageInput
from financial.services.record_costs import record_costs

PASSWORD = "a long password of tests"  # noqa: S105


def moment(text: str) -> datetime:
    """A UTC time: ``2026-11-02`` or ``2026-11-02T10:11``."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def staff(*scopes: str, username: str = "ada", password: str | None = None, **fields: Any) -> User:
    """Somebody who may sign in and holds ``scopes``; a superuser with ``is_superuser=True``."""
    # Hashing takes longer than most tests: a password is for those who type it.
    user = User.objects.create_user(username, f"{username}@example.com", password, is_staff=True, **fields)
    codenames = [scope.replace(":", "_") for scope in scopes]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


_number = 0


def cost(at: str | datetime, **changes: Any) -> CostInput:
    """A cost of 0.0051 USD: 400 fresh and 800 cached input tokens and 310 output tokens of gpt-4o."""
    global _number
    _number += 1
    fields: dict[str, Any] = {
        "source": "gateway",
        "event_id": f"call-{_number}",
        "occurred_at": at if isinstance(at, datetime) else moment(at),
        "entity_type": "agent",
        "entity_id": "support-bot",
        "cost_type": "llm",
        "provider": "openai",
        "model": "gpt-4o",
        "usage": UsageInput(input_tokens=1200, cache_read_tokens=800, output_tokens=310),
        **changes,
    }
    if "amount" in changes:
        fields.update({name: changes.get(name) for name in ("provider", "model", "usage")})
        fields.setdefault("currency", "USD")
    return CostInput(**fields)


def record(*costs: CostInput) -> list[UUID]:
    """Record costs, all of which are accepted; their ids in the order given."""
    outcome = record_costs(costs=list(costs))
    assert not outcome.rejected, outcome.rejected
    return [outcome.accepted[index].id for index in range(len(costs))]
