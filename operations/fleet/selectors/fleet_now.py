"""How the whole fleet does at the moment: runs of the last day, and agents that were stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Count, Q, Sum

from operations.fleet.models import Agent, Run, RunHour

from .agent_figures import RunSums

HOURS: Final = 24
STOPPED_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class FleetNow:
    """``runs`` began in the last 24 hours, the present one included; ``failing`` are the agents with most failures.

    ``running`` counts runs without an end, whenever they began.
    """

    runs: RunSums
    running: int
    active: int
    paused: int
    killed: int
    stopped: list[Agent]
    failing: list[tuple[Agent, RunSums]]


def fleet_now(now: datetime) -> FleetNow:
    """The fleet at ``now``; five statements, however many agents and runs there are."""
    last = int(now.timestamp()) // 3600
    names = RunSums.__slots__
    rows = (
        RunHour.objects.filter(bucket__gt=last - HOURS, bucket__lte=last)
        .order_by()
        .values_list("agent_id")
        .annotate(*(Sum(name) for name in names))
    )
    sums = {agent: RunSums(*map(int, values)) for agent, *values in rows}
    total = RunSums(*(sum(getattr(one, name) for one in sums.values()) for name in names))
    bad = sorted(
        (agent for agent, one in sums.items() if one.failed + one.lost),
        key=lambda agent: (-(sums[agent].failed + sums[agent].lost), str(agent)),
    )[:STOPPED_SHOWN]
    agents = Agent.objects.in_bulk(bad)
    states = Agent.objects.filter(archived_at=None).aggregate(
        **{state: Count("pk", filter=Q(state=state)) for state in Agent.State.values}
    )
    stopped = Agent.objects.filter(archived_at=None).exclude(state=Agent.State.ACTIVE)
    return FleetNow(
        runs=total,
        running=Run.objects.filter(status=Run.Status.RUNNING).count(),
        active=states["active"],
        paused=states["paused"],
        killed=states["killed"],
        stopped=list(stopped.order_by("-state_since", "key")[:STOPPED_SHOWN]),
        failing=[(agents[agent], sums[agent]) for agent in bad if agent in agents],
    )
