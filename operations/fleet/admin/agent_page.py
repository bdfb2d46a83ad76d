"""The page of one agent: its numbers, its charts, and what surrounds it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.urls import reverse
from django.utils.safestring import SafeString

from agent_factory_site.common.charts import (
    THEMED,
    Palette,
    Series,
    Slot,
    bar_chart,
    count_format,
    money_format,
)
from agent_factory_site.common.selectors.audit_events import find_audit_events
from financial.admin.budget_cells import period_words, state_words, used_bar, whose
from financial.selectors.entity_spend import day_number, series_by_day
from operations.fleet.models import Agent
from operations.fleet.selectors.agent_figures import AgentFigures, RunSums, agent_figures, runs_by_day, window
from operations.fleet.selectors.agent_page import ArmRuns, RunExperiment, Used, agent_facts
from research.admin.experiment_words import state_badge as experiment_badge

from .cells import change, costs_url, health_badge, runs_url, seconds, span, spend, state_badge, success
from .run_rows import run_row

CHANGES_SHOWN: Final = 20
OUTCOMES: Final = Palette(
    (
        "var(--af-series-2, #0d9488)",
        "var(--af-bad, #b91c1c)",
        "var(--af-series-3, #d97706)",
        THEMED.series[0],
    ),
    THEMED.other,
    THEMED.ground,
)
"""Colours that say how runs ended: those that failed are red."""
HALF: Final = 520.0
"""The width of half a page, in pixels."""
COST_TYPES: Final = {"llm": "LLM"}


def agent_page(agent: Agent, *, now: datetime, failed_runs: bool, may_see_money: bool) -> dict[str, Any]:
    """The context of the page; a fixed number of statements."""
    figures = agent_figures([agent], now=now)[agent.pk]
    facts = agent_facts(agent, figures.family, failed_runs=failed_runs)
    first, last = window(now)
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return {
        "agent": agent,
        "figures": figures,
        "tiles": _tiles(agent, figures, first, last),
        "state": state_badge(agent),
        "health": health_badge(figures.health, figures.failing_checks),
        "charts": _charts(agent, figures, days, today=now.astimezone(UTC).date()),
        "budgets": [
            {
                "budget": budget,
                "url": reverse("admin:financial_budget_change", args=[budget.pk])
                + ("" if budget.entity_id else f"?entity={agent.entity.key}"),
                "whose": whose(budget),
                "period": period_words(budget),
                "state": status.state,
                "bar": used_bar(status.period) if status.period is not None else "",
                "words": state_words(status, now),
            }
            for budget, status in facts.budgets
        ]
        if may_see_money
        else None,
        "slos": [{"slo": slo, "url": _url("operations_slo_change", slo)} for slo in facts.slos],
        "checks": facts.checks,
        "recent": facts.recent,
        "models": [_used(row) for row in facts.models],
        "tools": [_used(row) for row in facts.tools],
        "experiments": [_experiment(row) for row in facts.experiments],
        "runs": [run_row(run) for run in facts.runs],
        "failed_runs": failed_runs,
        "runs_url": runs_url(agent=agent.key, status="bad" if failed_runs else ""),
        "names": [name for name in figures.family.names if name != agent.key],
        "merged": facts.merged,
        "changes": find_audit_events(target_type="operations.Agent", target_id=str(agent.pk)).order_by(
            "-at", "-id"
        )[:CHANGES_SHOWN],
        "may_see_money": may_see_money,
        "currency": settings.BASE_CURRENCY,
    }


def _url(name: str, row: Any) -> str:
    """The page of a row, where there is a screen for it."""
    return reverse(f"admin:{name}", args=[row.pk]) if admin.site.is_registered(type(row)) else ""


def _tiles(agent: Agent, figures: AgentFigures, first: date, last: date) -> list[dict[str, Any]]:
    runs = figures.runs
    bad = runs.failed + runs.lost
    return [
        {
            "label": "Spend, 30 days",
            "number": spend(figures.amount, figures.events, figures.unpriced),
            "url": costs_url(entity=f"agent/{agent.entity.key}", from_=first, to=last),
            "foot": change(figures.amount, figures.before),
            "words": "to the 30 days before" if figures.before > 0 else "none in the 30 days before",
            "money": True,
        },
        {
            "label": "Success",
            "number": success(runs),
            "url": runs_url(agent=agent.key, status="bad"),
            "words": f"{bad:,} of {runs.judged:,} runs failed or were lost"
            if runs.judged
            else "no run has ended",
            "warn": bool(runs.judged) and bad * 20 > runs.judged,
        },
        {
            "label": "Latency, p95",
            "number": seconds(figures.p95),
            "foot": "",
            "median": seconds(figures.p50),
        },
        {
            "label": "Runs",
            "number": f"{runs.started:,}",
            "url": runs_url(agent=agent.key),
            "words": _run_words(runs),
        },
    ]


def _run_words(runs: RunSums) -> str:
    if not runs.started:
        return "in 30 days"
    return f"{runs.calls / runs.started:.1f} model calls and {runs.tool_calls / runs.started:.1f} tool calls each"


def _charts(agent: Agent, figures: AgentFigures, days: list[date], *, today: date) -> dict[str, SafeString]:
    numbers = [day_number(day) for day in days]
    spent = series_by_day(figures.family.entities, first=days[0], last=days[-1])
    series = [
        Series(_series_name(row), [by_day.get(number, 0) for number in numbers])
        for row, by_day in sorted(spent.items(), key=lambda item: -sum(item[1].values()))
        if any(by_day.values())
    ]
    by_day = runs_by_day(figures.family.agents, first=days[0], last=days[-1])
    sums = [by_day.get(number, RunSums()) for number in numbers]
    outcomes = [
        Series("succeeded", [one.succeeded for one in sums]),
        Series("failed or lost", [one.failed + one.lost for one in sums]),
        Series("cancelled", [one.cancelled for one in sums]),
        Series("running", [one.started - one.ended for one in sums]),
    ]

    def slots(link: str) -> list[Slot]:
        return [
            Slot(
                f"{day:%b} {day.day}",
                day.isoformat(),
                link=costs_url(entity=f"agent/{agent.entity.key}", from_=day, to=day)
                if link == "costs"
                else runs_url(agent=agent.key, from_=day, to=day),
                partial=day == today,
            )
            for day in days
        ]

    return {
        "spend": bar_chart(
            title="Spend by day",
            slots=slots("costs"),
            series=series,
            style=money_format(settings.BASE_CURRENCY),
            empty="It spent nothing in these 30 days.",
            width=HALF,
            height=230,
        ),
        "runs": bar_chart(
            title="Runs by day",
            slots=slots("runs"),
            series=outcomes if any(one.started for one in sums) else [],
            style=count_format(),
            palette=OUTCOMES,
            empty="No runs in these 30 days.",
            width=HALF,
            height=230,
        ),
    }


def _series_name(row: tuple[str, str, str]) -> str:
    kind, provider, model = row
    return model or (
        f"{COST_TYPES.get(kind, kind.capitalize())}, {provider}" if provider else kind.capitalize()
    )


def _used(row: Used) -> dict[str, Any]:
    return {"row": row, "took": span(row.took)}


def _experiment(row: RunExperiment) -> dict[str, Any]:
    def arm(one: ArmRuns) -> dict[str, Any]:
        return {
            "arm": one,
            "success": success(RunSums(ended=one.judged, failed=one.judged - one.succeeded)),
            "url": runs_url(variant=f"{row.key}={one.variant}"),
        }

    known = row.experiment
    return {
        "key": row.key,
        "url": _url("research_experiment_change", known) if known is not None else "",
        "state": experiment_badge(known) if known is not None else "",
        "arms": [arm(one) for one in row.arms],
    }
