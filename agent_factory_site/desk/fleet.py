"""Agents and their runs on the landing page."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from operations.fleet.admin.cells import runs_url, state_badge, success
from operations.fleet.models import Agent
from operations.fleet.selectors.fleet_now import fleet_now


def fleet_context(request: HttpRequest) -> dict[str, Any] | None:
    """How the fleet does; None for whoever may not see agents."""
    if not admin.site.get_model_admin(Agent).has_view_permission(request):
        return None
    now = timezone.now()
    fleet = fleet_now(now)
    bad = fleet.runs.failed + fleet.runs.lost
    yesterday = (now - timedelta(days=1)).astimezone(UTC).date()
    agents = reverse("admin:operations_agent_changelist")
    return {
        "fleet": fleet,
        "bad": bad,
        "bad_url": runs_url(status="bad", from_=yesterday),
        "runs_url": runs_url(from_=yesterday),
        "running_url": runs_url(status="running"),
        "agents_url": agents,
        "paused_url": f"{agents}?state=paused",
        "killed_url": f"{agents}?state=killed",
        "success": success(fleet.runs),
        "stopped": [{"agent": one, "url": _page(one), "state": state_badge(one)} for one in fleet.stopped],
        "failing": [
            {
                "agent": one,
                "url": f"{_page(one)}?runs=failed#runs",
                "bad": sums.failed + sums.lost,
                "judged": sums.judged,
                "success": success(sums),
            }
            for one, sums in fleet.failing
        ],
    }


def _page(agent: Agent) -> str:
    return reverse("admin:operations_agent_change", args=[agent.pk])
