"""Agents: found by any of their names, listed, and summed up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from agent_factory_site.common.errors import NotFound
from financial.selectors.breakdown import cost_breakdown
from operations.fleet.models import Agent, AgentAlias, Run, RunDay, RunLatency, RunVariant
from operations.health.models import HealthCheck
from operations.slo.domain.histogram import Histogram

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
DAYS: Final = 30


def get_agent(agent: str | UUID) -> Agent:
    """The agent of an id, or the one to which a name leads; raises :class:`NotFound`."""
    found: Agent | None = None
    if not isinstance(agent, UUID):
        alias = AgentAlias.objects.select_related("agent__owner").filter(key=agent).first()
        found = alias.agent if alias is not None else None
        try:
            agent = UUID(agent) if found is None else agent
        except ValueError:
            raise NotFound("not_found", "There is no such agent.") from None
    if found is None:
        found = Agent.objects.select_related("owner").filter(pk=agent).first()
    if found is None:
        raise NotFound("not_found", "There is no such agent.")
    return found


def list_agents(
    *, state: str | None = None, owner: str | None = None, archived: bool = False, q: str | None = None
) -> QuerySet[Agent]:
    """Agents; without ``archived`` those in use. ``owner`` is a team's key, or ``-`` for those of nobody."""
    rows: QuerySet[Agent] = Agent.objects.select_related("owner", "merged_into").filter(
        archived_at__isnull=not archived
    )
    if state is not None:
        rows = rows.filter(state=state)
    if owner is not None:
        rows = rows.filter(owner__isnull=True) if owner == "-" else rows.filter(owner__key=owner)
    if q:
        rows = rows.filter(Q(key__icontains=q) | Q(name__icontains=q))
    return rows


def agent_names(agent: Agent) -> list[AgentAlias]:
    """Every name that leads to an agent, with the entities on which its costs may have been booked."""
    return list(AgentAlias.objects.select_related("entity").filter(agent=agent).order_by("key"))


def agent_family(agent: Agent) -> list[UUID]:
    """An agent and those that were merged into it: whose runs are shown as its."""
    return [agent.pk, *Agent.objects.filter(merged_into=agent).order_by("pk").values_list("pk", flat=True)]


@dataclass(frozen=True, slots=True)
class AgentTotals:
    """An agent's days ``[start, end)``. ``spend`` in nano-units of the base currency, latencies in seconds.

    ``success`` is the share of runs that went well among those that ended and were not cancelled; None where
    there were none, as latencies are.
    """

    start: datetime
    end: datetime
    spend: int
    unpriced: int
    runs: int
    ended: int
    failed: int
    lost: int
    cancelled: int
    success: float | None
    latency_mean: float | None
    latency_p50: float | None
    latency_p95: float | None
    calls: int
    failed_calls: int
    tool_calls: int


_SUMS: Final = (
    "started", "ended", "failed", "lost", "cancelled", "timed", "latency", "calls", "failed_calls", "tool_calls",
)  # fmt: skip


def agent_totals(agent: Agent, days: int = DAYS, now: datetime | None = None) -> AgentTotals:
    """How an agent did in the last ``days`` UTC days, today included; the same few statements at any size."""
    today = ((now or timezone.now()) - _EPOCH).days
    first = today - days + 1
    family = agent_family(agent)
    sums: dict[str, Any] = RunDay.objects.filter(
        agent__in=family, bucket__gte=first, bucket__lte=today
    ).aggregate(**{name: Sum(name, default=0) for name in _SUMS})
    ranges = (
        RunLatency.objects.filter(agent__in=family, tier=86_400, bucket__gte=first, bucket__lte=today)
        .values_list("range")
        .annotate(Sum("runs"))
    )
    histogram = Histogram({number: int(runs) for number, runs in ranges if runs})
    start, end = _EPOCH + timedelta(days=first), _EPOCH + timedelta(days=today + 1)
    spend = unpriced = 0
    for alias in agent_names(agent):
        total = cost_breakdown(
            entity=(alias.entity.type, alias.entity.key), start=start, end=end, zone=UTC
        ).total
        spend, unpriced = spend + total.amount, unpriced + total.unpriced
    judged = sums["ended"] - sums["cancelled"]
    return AgentTotals(
        start=start,
        end=end,
        spend=spend,
        unpriced=unpriced,
        runs=int(sums["started"]),
        ended=int(sums["ended"]),
        failed=int(sums["failed"]),
        lost=int(sums["lost"]),
        cancelled=int(sums["cancelled"]),
        success=float((judged - sums["failed"] - sums["lost"]) / judged) if judged else None,
        latency_mean=float(sums["latency"]) / 1e6 / float(sums["timed"]) if sums["timed"] else None,
        latency_p50=histogram.quantile(0.5),
        latency_p95=histogram.quantile(0.95),
        calls=int(sums["calls"]),
        failed_calls=int(sums["failed_calls"]),
        tool_calls=int(sums["tool_calls"]),
    )


def agent_health(agent: Agent) -> list[HealthCheck]:
    """The health checks of an agent, under any of its names."""
    entities = AgentAlias.objects.filter(agent=agent).values("entity")
    return list(HealthCheck.objects.filter(entity__in=entities, archived_at__isnull=True).order_by("key"))


def agent_experiments(agent: Agent, latest: int = 1000) -> list[tuple[str, str, int]]:
    """Experiments and variants among an agent's ``latest`` runs, with how many of them carried each."""
    runs = (
        Run.objects.filter(agent__in=agent_family(agent)).order_by("-started_at", "-id").values("pk")[:latest]
    )
    ids = list(runs.values_list("pk", flat=True))
    counts: dict[tuple[str, str], int] = {}
    rows = RunVariant.objects.filter(run__in=ids)
    for experiment, variant in rows.values_list("experiment", "variant"):
        counts[experiment, variant] = counts.get((experiment, variant), 0) + 1
    return [(*place, runs_) for place, runs_ in sorted(counts.items())]
