"""How agents do: what they spend, how their runs end and how long they take, whether they are healthy."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Sum

from financial.selectors.entity_spend import DAY, DaySpend, day_number, spend_by_day
from operations.fleet.models import Agent, RunDay, RunLatency
from operations.health.models import HealthCheck
from operations.slo.domain.histogram import Histogram

from .families import Family, families

WINDOW: Final = 30
"""Days, today included, UTC."""
_WORST: Final = ("failing", "unknown", "passing")


@dataclass(frozen=True, slots=True)
class RunSums:
    """Runs that began in some days, by how they ended."""

    started: int = 0
    ended: int = 0
    failed: int = 0
    cancelled: int = 0
    lost: int = 0
    tool_calls: int = 0
    calls: int = 0

    @property
    def judged(self) -> int:
        """Those that succeeded or failed: a cancelled run did neither."""
        return self.ended - self.cancelled

    @property
    def succeeded(self) -> int:
        return self.judged - self.failed - self.lost

    @property
    def success(self) -> float | None:
        """The share of judged runs that succeeded; None where there are none."""
        return self.succeeded / self.judged if self.judged > 0 else None


@dataclass(frozen=True, slots=True)
class AgentFigures:
    """An agent over the last 30 days. Amounts are nano-units of the base currency, latencies seconds.

    ``daily`` is the spend by day, the oldest first; ``before`` what the 30 days before them came to. ``health`` is
    the worst state of the checks on it, empty without any.
    """

    family: Family
    amount: int
    events: int
    unpriced: int
    before: int
    daily: tuple[int, ...]
    runs: RunSums
    p50: float | None
    p95: float | None
    health: str
    failing_checks: int


def window(now: datetime) -> tuple[date, date]:
    """The first and the last day of the window."""
    today = now.astimezone(UTC).date()
    return today - timedelta(days=WINDOW - 1), today


def agent_figures(agents: Collection[Agent], *, now: datetime) -> dict[UUID, AgentFigures]:
    """The figures of each agent, what was merged into it included; six statements however many they are."""
    if not agents:
        return {}
    found = families(agents)
    first, last = window(now)
    entities = {entity for family in found.values() for entity in family.entities}
    members = {member for family in found.values() for member in family.agents}
    spend = spend_by_day(entities, first=first - timedelta(days=WINDOW), last=last)
    runs = run_sums(members, first=first, last=last)
    latencies = latency_histograms(members, first=first, last=last)
    health = _health(entities)
    return {
        pk: _figures(family, spend, runs, latencies, health, day_number(first))
        for pk, family in found.items()
    }


def _figures(
    family: Family,
    spend: Mapping[int, Mapping[int, DaySpend]],
    runs: Mapping[UUID, RunSums],
    latencies: Mapping[UUID, Histogram],
    health: Mapping[int, list[str]],
    first: int,
) -> AgentFigures:
    days = [0] * WINDOW
    before = events = unpriced = 0
    for entity in family.entities:
        for number, day in spend.get(entity, {}).items():
            if number < first:
                before += day.amount
                continue
            days[number - first] += day.amount
            events += day.events
            unpriced += day.unpriced
    histogram = Histogram()
    for agent in family.agents:
        histogram += latencies.get(agent, Histogram())
    states = [state for entity in family.entities for state in health.get(entity, [])]
    return AgentFigures(
        family=family,
        amount=sum(days),
        events=events,
        unpriced=unpriced,
        before=before,
        daily=tuple(days),
        runs=total_runs([runs[agent] for agent in family.agents if agent in runs]),
        p50=histogram.quantile(0.5),
        p95=histogram.quantile(0.95),
        health=next((state for state in _WORST if state in states), ""),
        failing_checks=states.count("failing"),
    )


def total_runs(sums: Collection[RunSums]) -> RunSums:
    """All of them together."""
    return RunSums(*(sum(getattr(one, name) for one in sums) for name in RunSums.__slots__))


def run_sums(agents: Collection[UUID], *, first: date, last: date) -> dict[UUID, RunSums]:
    """The runs of each agent that began between two UTC days; one statement."""
    names = RunSums.__slots__
    rows = (
        RunDay.objects.filter(
            agent__in=list(agents), bucket__gte=day_number(first), bucket__lte=day_number(last)
        )
        .order_by()
        .values_list("agent_id")
        .annotate(*(Sum(name) for name in names))
    )
    return {agent: RunSums(*map(int, sums)) for agent, *sums in rows}


def runs_by_day(agents: Collection[UUID], *, first: date, last: date) -> dict[int, RunSums]:
    """The runs of some agents together, by number of the UTC day on which they began; one statement."""
    rows = (
        RunDay.objects.filter(
            agent__in=list(agents), bucket__gte=day_number(first), bucket__lte=day_number(last)
        )
        .order_by()
        .values_list("bucket")
        .annotate(*(Sum(name) for name in RunSums.__slots__))
    )
    return {bucket: RunSums(*map(int, sums)) for bucket, *sums in rows}


def latency_histograms(agents: Collection[UUID], *, first: date, last: date) -> dict[UUID, Histogram]:
    """How long the runs of each agent took that began between two UTC days; one statement."""
    rows = (
        RunLatency.objects.filter(
            agent__in=list(agents), tier=DAY, bucket__gte=day_number(first), bucket__lte=day_number(last)
        )
        .order_by()
        .values_list("agent_id", "range")
        .annotate(Sum("runs"))
    )
    counts: dict[UUID, dict[int, int]] = {}
    for agent, number, runs in rows:
        if runs > 0:
            counts.setdefault(agent, {})[number] = int(runs)
    return {agent: Histogram(ranges) for agent, ranges in counts.items()}


def _health(entities: Collection[int]) -> dict[int, list[str]]:
    rows = HealthCheck.objects.filter(entity__in=list(entities), archived_at=None, paused_at=None)
    found: dict[int, list[str]] = {}
    for entity, state in rows.order_by().values_list("entity_id", "state"):
        found.setdefault(entity, []).append(state)
    return found
