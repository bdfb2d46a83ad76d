"""The newest runs, for a page that keeps itself up."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from django.urls import reverse

from agent_factory_site.common.display import compact_number, duration_text, money_exact, money_text
from operations.fleet.models import AgentAlias, Run

from .cells import STATUS_BADGES

SHOWN: Final = 50
EVERY_SECONDS: Final = 2
"""How often a page asks at most; it waits longer after an error, and asks nothing while nobody looks."""
STATUSES: Final = (("running", "Running"), ("bad", "Failed or lost"))


@dataclass(frozen=True, slots=True)
class LiveRuns:
    """Rows in the words of the page, and a tag that differs when any of them does."""

    rows: list[dict[str, Any]]
    etag: str


def live_runs(*, agent: str = "", status: str = "") -> LiveRuns:
    """The newest runs, of one agent or all; two statements, however many runs there are."""
    runs = Run.objects.select_related("agent")
    if agent:
        runs = runs.filter(agent__in=AgentAlias.objects.filter(key=agent).values("agent"))
    if status == "bad":
        runs = runs.filter(status__in=[Run.Status.FAILED, Run.Status.LOST])
    elif status in Run.Status.values:
        runs = runs.filter(status=status)
    rows = [_row(run) for run in runs.order_by("-started_at", "-id")[:SHOWN]]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:32]
    return LiveRuns(rows, f'"{digest}"')


def _row(run: Run) -> dict[str, Any]:
    if run.unpriced and not run.cost:
        cost, exact = "unpriced", "No price was known: its cost is unknown, not zero."
    elif not run.costs:
        cost, exact = "–", "Nothing was charged for it."
    else:
        cost = money_text(run.cost, settings.BASE_CURRENCY) + ("+?" if run.unpriced else "")
        exact = money_exact(run.cost, settings.BASE_CURRENCY)
    return {
        "id": str(run.pk),
        "url": reverse("admin:operations_run_change", args=[run.pk]),
        "started": f"{run.started_at:%m-%d %H:%M:%S}",
        "started_full": f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "agent": str(run.agent),
        "agent_url": reverse("admin:operations_agent_change", args=[run.agent_id]),
        "status": str(run.status),
        "badge": STATUS_BADGES.get(str(run.status), ""),
        "error": run.error_type,
        "took": "" if run.latency is None else duration_text(run.latency),
        "steps": run.steps,
        "tokens": compact_number(run.input_tokens + run.output_tokens),
        "cost": cost,
        "cost_exact": exact,
    }
