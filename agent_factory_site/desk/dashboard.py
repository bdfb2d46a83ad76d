"""The landing page: the admin's index."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from agent_factory_site.common.charts import Series, Slot, bar_chart, money_format
from agent_factory_site.common.display import change_text, money_exact, share_text
from financial.admin.budget_cells import state_words, used_bar
from financial.admin.cost_filters import COST_TYPES
from financial.admin.imports import import_progress
from financial.models import CostEvent, CostImport

from .experiments import experiments_context
from .fleet import fleet_context
from .overview import BUDGETS_SHOWN, STACKS, Overview, Period, Row, Stack, read_overview
from .service_levels import service_levels_context

DEFAULT_STACK = "cost_type"
MOVING = (CostImport.State.QUEUED, CostImport.State.RUNNING)


def dashboard_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds ``desk`` to the index page's context: what whoever asks may see."""
    # Not "opts" and its like, which the theme takes for its own.
    context["desk"] = {
        **_desk(request),
        "experiments": experiments_context(request),
        "levels": service_levels_context(request),
        "fleet": fleet_context(request),
    }
    return context


def _desk(request: HttpRequest) -> dict[str, Any]:
    registry = admin.site
    if not registry.get_model_admin(CostEvent).has_view_permission(request):
        return {"state": "closed"}
    asked = request.GET.get("by", DEFAULT_STACK)
    stack_by = asked if asked in STACKS else DEFAULT_STACK
    entity_type = request.GET.get("top", "agent")
    overview = read_overview(now=timezone.now(), stack_by=stack_by, entity_type=entity_type)
    if overview.recorded_at is None:
        return {"state": "empty", "host": request.build_absolute_uri("/").rstrip("/"), "now": overview.now}
    return {
        "state": "open",
        "overview": overview,
        "currency": settings.BASE_CURRENCY,
        "tiles": _tiles(overview),
        "stacks": [
            {
                "label": label,
                "query": "?" + urlencode({"by": name, "top": overview.entity_type}),
                "active": name == stack_by,
            }
            for name, label in STACKS.items()
        ],
        "chart": _chart(overview, stack_by, width=960, height=260),
        "narrow_chart": _chart(overview, stack_by, width=340, height=280),
        "window_query": _costs(overview.window.period),
        "models": [_model_row(row, overview) for row in overview.models],
        "entity_tabs": [
            {
                "label": kind,
                "query": "?" + urlencode({"by": stack_by, "top": kind}),
                "active": kind == overview.entity_type,
            }
            for kind in overview.entity_types
        ],
        "entities": [_entity_row(row, overview) for row in overview.entities],
        "budgets": [
            {
                "budget": status.budget,
                "url": reverse("admin:financial_budget_change", args=[status.budget.pk]),
                "state": status.state,
                "bar": used_bar(status.period) if status.period is not None else "",
                "total": status.total,
                "words": state_words(status, overview.now),
            }
            for status in overview.budgets[:BUDGETS_SHOWN]
        ],
        "more_budgets": max(0, len(overview.budgets) - BUDGETS_SHOWN),
        "imports": [
            {
                "item": item,
                "url": reverse("admin:financial_costimport_change", args=[item.pk]),
                "progress": import_progress(item) if item.state in MOVING else "",
            }
            for item in overview.imports
        ],
    }


def _costs(period: Period | None = None, **filters: str) -> str:
    """The list of costs behind a number."""
    query = dict(filters)
    if period is not None:
        query |= {"from": period.first.isoformat(), "to": period.last.isoformat()}
    return f"{reverse('admin:financial_costevent_changelist')}?{urlencode(query)}"


def _tiles(overview: Overview) -> list[dict[str, Any]]:
    month, last = overview.month, overview.last_month
    same_day = _same_day(overview)
    return [
        {
            "label": "Today",
            "amount": overview.today.amount,
            "url": _costs(overview.today.period),
            "words": "yesterday",
            "before_words": "after",
            "other": overview.yesterday.amount,
            "other_url": _costs(overview.yesterday.period),
        },
        {
            "label": f"{month.period.first:%B} so far",
            "amount": month.amount,
            "url": _costs(month.period),
            "change": change_text(month.amount, overview.last_month_to_date),
            "up": month.amount > overview.last_month_to_date,
            "words": f"by {same_day.day} {same_day:%B}",
            "before_words": "on",
            "other": overview.last_month_to_date,
            "other_url": _costs(Period(last.period.first, same_day)),
        },
        {
            "label": f"{last.period.first:%B}",
            "amount": last.amount,
            "url": _costs(last.period),
            "words": "events",
            "count": last.events,
        },
    ]


def _same_day(overview: Overview) -> date:
    """The day of last month that is as far into it as today is into this one."""
    last = overview.last_month.period
    elapsed = overview.month.period.last - overview.month.period.first
    return min(last.first + elapsed, last.last)


def _chart(overview: Overview, stack_by: str, *, width: float, height: float) -> SafeString:
    return bar_chart(
        title=f"Spend by day, by {STACKS[stack_by].lower()}",
        slots=[
            Slot(f"{day:%b} {day.day}", name=day.isoformat(), link=_costs(Period(day, day)))
            for day in overview.days
        ],
        series=[Series(_name(stack, stack_by), stack.amounts) for stack in overview.stacks],
        style=money_format(settings.BASE_CURRENCY),
        empty="Nothing was spent in these 30 days.",
        width=width,
        height=height,
    )


def _name(stack: Stack, stack_by: str) -> str:
    if stack_by == "cost_type":
        return COST_TYPES.get(stack.name, stack.name)
    return stack.name or f"no {stack_by}"


def _model_row(row: Row, overview: Overview) -> dict[str, Any]:
    largest = max((other.amount for other in overview.models), default=0)
    return {
        "row": row,
        "url": _costs(overview.window.period, model=row.name, provider=row.provider),
        "share": "" if row.unpriced >= row.events else share_text(row.amount, overview.window.amount),
        "width": _width(row.amount, largest),
    }


def _entity_row(row: Row, overview: Overview) -> dict[str, Any]:
    largest = max((other.amount for other in overview.entities), default=0)
    return {
        "row": row,
        "url": _costs(overview.window.period, entity=f"{row.provider}/{row.name}"),
        "change": change_text(row.amount, row.before or 0),
        "up": row.before is not None and row.amount > row.before,
        "before": money_exact(row.before or 0, settings.BASE_CURRENCY),
        "width": _width(row.amount, largest),
    }


def _width(amount: int, largest: int) -> int:
    """A bar's length in hundredths of the longest; a pixel for what is there at all."""
    return max(1, amount * 100 // largest) if largest > 0 and amount > 0 else 0
