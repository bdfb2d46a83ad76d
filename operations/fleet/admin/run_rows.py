"""A run as a line of a list, wherever runs are listed."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from operations.fleet.models import Run

from .cells import run_cost, status_badge, took


def run_row(run: Run) -> dict[str, Any]:
    """What ``operations/run_table.html`` shows of a run whose agent was fetched along."""
    return {
        "run": run,
        "url": reverse("admin:operations_run_change", args=[run.pk]),
        "agent_url": reverse("admin:operations_agent_change", args=[run.agent_id]),
        "status": status_badge(run),
        "cost": run_cost(run),
        "took": took(run.latency),
    }
