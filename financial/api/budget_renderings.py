"""How budgets look in JSON: money as strings, shares as numbers, times in UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agent_factory_site.common.forecasting import NoForecast
from agent_factory_site.common.money import format_amount
from financial.models import Budget, BudgetCrossing, BudgetOverride, BudgetOverrun
from financial.selectors.budget_forecast import BudgetForecast
from financial.selectors.budgets import AllowancesStatus, BudgetStatus, PeriodStatus

from .renderings import instant


def _moment(at: datetime | None) -> str | None:
    return None if at is None else instant(at)


def listed_budget(status: BudgetStatus) -> dict[str, Any]:
    """A budget and its present period."""
    budget = status.budget
    if status.period is not None:
        standing = _standing(status.period)
    else:
        assert status.total is not None
        standing = _together(budget, status.total)
    filters = {"cost_type": [], "provider": [], "model": [], "tags": {}} | budget.filters
    return {
        "id": str(budget.pk),
        "name": budget.name,
        "entity_type": budget.entity_type,
        "entity_id": status.period.entity_id if status.period is not None else "*",
        "state": status.state,
        **standing,
        "base_limit": format_amount(budget.limit),
        "currency": budget.currency,
        "recurrence": budget.period,
        "timezone": budget.timezone,
        "enforcement": budget.enforcement,
        "thresholds": budget.thresholds,
        "rollover": budget.rollover,
        "rollover_cap": None if budget.rollover_cap is None else format_amount(budget.rollover_cap),
        "filters": filters,
        "parent": None if budget.parent_id is None else str(budget.parent_id),
        "starts_on": None if budget.starts_on is None else budget.starts_on.isoformat(),
        "ends_on": None if budget.ends_on is None else budget.ends_on.isoformat(),
        "created_at": instant(budget.created_at),
        "archived_at": _moment(budget.archived_at),
    }


def forecast(found: BudgetForecast | NoForecast) -> dict[str, Any]:
    """Where the present period is heading, or why that cannot be told."""
    if isinstance(found, NoForecast):
        return {"forecast": None, "no_forecast": found.reason}
    values = {
        name: format_amount(getattr(found, name)) for name in ("expected", "low", "high", "low_80", "high_80")
    }
    return {"forecast": {**values, "exhausts_at": _moment(found.exhausts_at)}, "no_forecast": None}


def allowance(period: PeriodStatus) -> dict[str, Any]:
    """One entity's allowance in one period."""
    return {"entity_id": period.entity_id, **_standing(period)}


def _standing(period: PeriodStatus) -> dict[str, Any]:
    return {
        "state": period.state,
        "period": {"key": period.key, "start": instant(period.start), "end": _moment(period.end)},
        "limit": format_amount(period.limit),
        "carried": format_amount(period.carried),
        "raised": format_amount(period.raised),
        "settled": format_amount(period.settled),
        "provisional": format_amount(period.provisional),
        "held": format_amount(period.held),
        "remaining": format_amount(period.remaining),
        "utilisation": period.utilisation,
        "burn_rate": period.burn_rate,
        "thresholds_crossed": [float(each) for each in period.thresholds_crossed],
        "overrun": format_amount(period.overrun),
    }


def _together(budget: Budget, total: AllowancesStatus) -> dict[str, Any]:
    return {
        "period": {"key": total.key, "start": instant(total.start), "end": _moment(total.end)},
        "limit": format_amount(budget.limit),
        "carried": None,
        "raised": None,
        "settled": format_amount(total.settled),
        "provisional": format_amount(total.provisional),
        "held": format_amount(total.held),
        "remaining": None,
        "utilisation": None,
        "burn_rate": None,
        "thresholds_crossed": [],
        "overrun": format_amount(total.overrun),
    }


def overrun(row: BudgetOverrun, currency: str) -> dict[str, Any]:
    """Money spent beyond a limit, and its cause."""
    return {
        "id": str(row.pk),
        "at": instant(row.at),
        "entity_id": row.period.entity.key,
        "period": row.period.key,
        "amount": format_amount(row.amount),
        "currency": currency,
        "cause": row.cause,
        "event": None if row.event is None else str(row.event),
        "hold": None if row.hold is None else str(row.hold),
    }


def crossing(row: BudgetCrossing, currency: str) -> dict[str, Any]:
    """The moment at which a threshold was reached."""
    return {
        "id": str(row.pk),
        "at": instant(row.at),
        "entity_id": row.period.entity.key,
        "period": row.period.key,
        "threshold": float(row.threshold),
        "used": format_amount(row.used),
        "limit": format_amount(row.limit),
        "currency": currency,
    }


def override(row: BudgetOverride, budget: Budget, now: datetime) -> dict[str, Any]:
    """More money until a moment, and how far that is."""
    return {
        "id": str(row.pk),
        "budget": str(row.budget_id),
        "state": _override_state(row, now),
        "entity_id": None if row.entity is None else row.entity.key,
        "amount": format_amount(row.amount),
        "currency": budget.currency,
        "until": instant(row.until),
        "reason": row.reason,
        "requested_by": row.requested_by_id,
        "requested_as": row.requested_as,
        "requested_at": instant(row.requested_at),
        "approved_by": row.approved_by_id,
        "approved_at": _moment(row.approved_at),
        "ended_at": _moment(row.ended_at),
    }


def _override_state(row: BudgetOverride, now: datetime) -> str:
    over = row.ended_at is not None or row.until <= now
    if row.approved_at is not None:
        return "ended" if over else "approved"
    if row.ended_at is not None:
        return "withdrawn"
    return "expired" if over else "requested"
