"""Everything on the page of one budget, read with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.http import urlencode

from agent_factory_site.common.admin.actors import actor_words
from agent_factory_site.common.forecasting import NoForecast
from agent_factory_site.common.selectors.audit_events import find_audit_events
from financial.domain.budget_input import FLEET_TYPE
from financial.domain.budget_rules import BudgetRule
from financial.models import Budget, BudgetOverride, Hold
from financial.selectors.budget_burn_up import budget_burn_up
from financial.selectors.budget_forecast import budget_forecast
from financial.selectors.budget_holds import open_holds_of
from financial.selectors.budget_index import rule_of
from financial.selectors.budgets import (
    PeriodStatus,
    budget_crossings,
    budget_entities,
    budget_overrides,
    budget_overruns,
    budget_periods,
    budget_status,
    budget_statuses,
    period_statuses,
)
from financial.selectors.holds import held_parts

from .budget_cells import forecast_words, override_badge, override_state, percent, state_words, used_bar
from .budget_chart import burn_up_picture
from .budget_forms import percent_text
from .cost_filters import COST_TYPES

SHOWN: Final = 10
"""Rows of each list on the page."""
ENTITIES_SHOWN: Final = 25


def budget_page(
    budget: Budget, *, now: datetime, person: int | None, entity_id: str | None, cursor: str | None
) -> dict[str, Any]:
    """The context of the page; ``entity_id`` picks one allowance, ``cursor`` a page of them.

    ``person`` is who looks: nobody approves what they asked for themselves. Raises ``NotFound`` for an
    unknown entity, ``Invalid`` for a cursor that leads nowhere.
    """
    status = budget_status(budget.pk, entity_id=entity_id, now=now)
    rule = rule_of(budget)
    picked = entity_id if budget.entity_id is None else None
    context: dict[str, Any] = {
        "budget": budget,
        "status": status,
        "period": status.period,
        "words": state_words(status, now),
        "picked": picked,
        "filters": filter_words(budget),
        "thresholds": [percent_text(share) for share in budget.thresholds],
        "family": _family(budget, now),
        "overrides": _overrides(budget, now, person),
        "crossings": list(budget_crossings(budget, entity_id=picked)[:SHOWN]),
        "overruns": list(budget_overruns(budget, entity_id=picked)[:SHOWN]),
        "holds": _holds(open_holds_of(budget, entity_id=picked), budget),
        "holds_query": urlencode({"budget": str(budget.pk)}),
        "changes": find_audit_events(target_type="financial.Budget", target_id=str(budget.pk)).order_by(
            "-at", "-id"
        )[:SHOWN],
    }
    if status.period is not None:
        forecast = budget_forecast(budget, entity_id=picked, now=now)
        burn = budget_burn_up(rule, status.period, now)
        context |= {
            "numbers": status.period,
            "used": percent(status.period.utilisation),
            "used_bar": used_bar(status.period),
            "forecast": None if isinstance(forecast, NoForecast) else forecast,
            "forecast_words": forecast_words(forecast, budget, status.period.limit),
            "burn": None
            if isinstance(burn, str)
            else burn_up_picture(rule, status.period, burn, forecast, now),
            "no_burn": burn if isinstance(burn, str) else "",
            "history": period_statuses(
                budget, list(budget_periods(budget, entity_id=picked)[: SHOWN + 1])[:SHOWN], now=now
            ),
            "ledger": ledger_link(budget, rule, status.period),
            "ledger_more": ledger_more(budget),
        }
    else:
        page = budget_entities(budget, cursor=cursor, limit=ENTITIES_SHOWN, now=now)
        context |= {
            "entities": [(row, used_bar(row), _query(entity=row.entity_id)) for row in page.entities],
            "newer": _query(cursor=page.previous) if page.previous else "",
            "older": _query(cursor=page.next) if page.next else "",
        }
    return context


def _query(**values: str) -> str:
    return f"?{urlencode(values)}"


def filter_words(budget: Budget) -> list[tuple[str, str]]:
    """What counts, in words; nothing where everything does."""
    found = []
    for name, label in (("cost_type", "Cost type"), ("provider", "Provider"), ("model", "Model")):
        if wanted := budget.filters.get(name):
            words = [COST_TYPES.get(each, each) if name == "cost_type" else each for each in wanted]
            found.append((label, " or ".join(words)))
    found += [("Tag", f"{key}={value}") for key, value in budget.filters.get("tags", {}).items()]
    return found


def ledger_link(budget: Budget, rule: BudgetRule, period: PeriodStatus) -> str:
    """The list of costs with what its filters can say of the budget, over the UTC days of the period."""
    start = max(period.start, rule.counts_from)
    query: dict[str, str] = {}
    if start.year > 1:
        query["from"] = start.astimezone(UTC).date().isoformat()
    ends = [end for end in (period.end, rule.counts_until) if end is not None]
    if ends:
        query["to"] = (min(ends).astimezone(UTC) - timedelta(microseconds=1)).date().isoformat()
    if period.entity_type != FLEET_TYPE:
        query["entity"] = f"{period.entity_type}/{period.entity_id}"
    for name in ("cost_type", "provider", "model"):
        if len(wanted := budget.filters.get(name, [])) == 1:
            query[name] = wanted[0]
    if len(tags := budget.filters.get("tags", {})) == 1:
        query["tag"] = "=".join(next(iter(tags.items())))
    return f"{reverse('admin:financial_costevent_changelist')}?{urlencode(query)}"


def ledger_more(budget: Budget) -> str:
    """What the list of costs shows otherwise than the budget counts it; empty where they are the same."""
    several = [name for name in ("cost_type", "provider", "model") if len(budget.filters.get(name, [])) > 1]
    if len(budget.filters.get("tags", {})) > 1:
        several.append("tag")
    words = []
    if several:
        words.append(
            f"The list does not filter by more than one {' or '.join(each.replace('_', ' ') for each in several)}."
        )
    if budget.timezone != "UTC":
        words.append(f"Its days are UTC, the budget's are {budget.timezone}.")
    return " ".join(words)


def _family(budget: Budget, now: datetime) -> list[dict[str, Any]]:
    """The budgets above, this one, and those right below, with how they stand."""
    above: list[Budget] = []
    parent = budget.parent
    while parent is not None:
        above.insert(0, parent)
        parent = parent.parent
    children = list(
        Budget.objects.filter(parent=budget, archived_at=None)
        .select_related("entity", "parent")
        .order_by("name", "id")
    )
    if not above and not children:
        return []
    statuses = budget_statuses([*above, budget, *children], now=now)
    lines = [(row, depth) for depth, row in enumerate(above)]
    lines += [(budget, len(above)), *((row, len(above) + 1) for row in children)]
    return [
        {
            "budget": row,
            "depth": depth,
            "status": statuses[row.pk],
            "bar": used_bar(period) if (period := statuses[row.pk].period) is not None else "",
            "here": row.pk == budget.pk,
        }
        for row, depth in lines
    ]


def _overrides(budget: Budget, now: datetime, person: int | None) -> list[dict[str, Any]]:
    rows = list(budget_overrides(budget)[:SHOWN])
    asked = people_who_asked(rows)
    return [
        {
            "row": row,
            "state": override_state(row, now),
            "badge": override_badge(row, now),
            "asked": asked[row.pk],
            "own": row.requested_by_id is not None and row.requested_by_id == person,
        }
        for row in rows
    ]


def people_who_asked(rows: Sequence[BudgetOverride]) -> dict[UUID, str]:
    """Who asked for each override: the person, or the actor where it was none."""
    words = actor_words({row.pk: row.requested_as for row in rows})
    return {
        row.pk: words[row.pk]
        if row.requested_by is None or row.requested_as.startswith("user:")
        else f"user {row.requested_by.username}, by {words[row.pk]}"
        for row in rows
    }


def _holds(rows: QuerySet[Hold], budget: Budget) -> list[tuple[Hold, int]]:
    """The next holds to expire, with what each takes of this budget."""
    shown = list(rows[:SHOWN])
    parts = held_parts([row.pk for row in shown])
    return [(row, sum(part.amount for part in parts[row.pk] if part.budget == budget.pk)) for row in shown]
