"""All that the page of one agent shows beside its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Avg, Count, DurationField, ExpressionWrapper, F, Max, Q

from financial.models import Budget
from financial.selectors.budgets import BudgetStatus, budget_status, budget_statuses
from operations.fleet.models import Agent, Run, RunVariant, Step
from operations.health.models import HealthCheck
from operations.slo.models import Slo
from research.models import Experiment

from .families import Family

RECENT: Final = 200
"""How many of an agent's latest runs tell which models, tools and experiments it works with."""
RUNS_SHOWN: Final = 15
ROWS_SHOWN: Final = 20
EACH_SHOWN: Final = 5
FAILED: Final = (Run.Status.FAILED, Run.Status.LOST)


@dataclass(frozen=True, slots=True)
class Used:
    """A model or a tool: how often the latest runs called it, how often that failed, how long it took."""

    provider: str
    name: str
    calls: int
    failed: int
    took: timedelta | None
    last: datetime


@dataclass(frozen=True, slots=True)
class ArmRuns:
    """How the latest runs of one arm of an experiment ended."""

    variant: str
    runs: int
    judged: int
    succeeded: int


@dataclass(frozen=True, slots=True)
class RunExperiment:
    """An experiment that the latest runs took part in; ``experiment`` is None where none is known by its key."""

    key: str
    experiment: Experiment | None
    arms: tuple[ArmRuns, ...]


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """An agent's surroundings; ``recent`` is how many runs ``models``, ``tools`` and ``experiments`` are of."""

    budgets: list[tuple[Budget, BudgetStatus]]
    slos: list[Slo]
    checks: list[HealthCheck]
    recent: int
    models: list[Used]
    tools: list[Used]
    experiments: list[RunExperiment]
    runs: list[Run]
    merged: list[Agent]


def agent_facts(agent: Agent, family: Family, *, failed_runs: bool = False) -> AgentFacts:
    """What surrounds ``agent``; its latest runs, or those that failed. A fixed number of statements."""
    recent = list(
        Run.objects.filter(agent__in=family.agents)
        .order_by("-started_at", "-id")
        .values_list("pk", flat=True)[:RECENT]
    )
    runs = Run.objects.filter(agent__in=family.agents).select_related("agent", "user")
    if failed_runs:
        runs = runs.filter(status__in=FAILED)
    return AgentFacts(
        budgets=_budgets(agent, family),
        slos=_slos(family),
        checks=list(
            HealthCheck.objects.filter(entity__in=family.entities, archived_at=None).order_by("state", "key")[
                :ROWS_SHOWN
            ]
        ),
        recent=len(recent),
        models=_models(recent),
        tools=_tools(recent),
        experiments=_experiments(recent),
        runs=list(runs.order_by("-started_at", "-id")[:RUNS_SHOWN]),
        merged=list(
            Agent.objects.filter(pk__in=family.agents).exclude(pk=agent.pk).order_by("key")[:ROWS_SHOWN]
        ),
    )


def _budgets(agent: Agent, family: Family) -> list[tuple[Budget, BudgetStatus]]:
    """Its own budgets, its owner's, those of each agent, and those of the fleet."""
    whose = Q(entity__in=family.entities) | Q(entity_type="*") | Q(entity=None, entity_type="agent")
    if agent.owner is not None:
        whose |= Q(entity__type="team", entity__key=agent.owner.key)
    rows = list(
        Budget.objects.filter(whose, archived_at=None)
        .select_related("entity", "parent")
        .order_by("-id")[:ROWS_SHOWN]
    )
    found = budget_statuses([row for row in rows if row.entity_id])
    each = [row for row in rows if not row.entity_id][:EACH_SHOWN]
    found |= {row.pk: budget_status(row.pk, entity_id=agent.entity.key) for row in each}
    order = {"agent": 0, "team": 1}
    listed = [(row, found[row.pk]) for row in rows if row.pk in found]
    return sorted(listed, key=lambda item: (order.get(item[0].entity_type, 2), item[0].name))


def _slos(family: Family) -> list[Slo]:
    about = Q(owner__in=family.entities) | Q(sli__source="runs", sli__source_filter__agent__in=family.names)
    return list(
        Slo.objects.filter(about, archived_at=None).select_related("sli").order_by("key")[:ROWS_SHOWN]
    )


_TOOK: Final = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())


def _models(recent: Sequence[UUID]) -> list[Used]:
    kinds = (Step.Kind.INFERENCE, Step.Kind.EMBEDDING)
    rows = (
        Step.objects.filter(run__in=recent, counted=True, kind__in=kinds)
        .order_by()
        .values_list("provider", "model")
        .annotate(
            calls=Count("id"), bad=Count("id", filter=Q(failed=True)), took=Avg(_TOOK), last=Max("started_at")
        )
        .order_by("-calls", "provider", "model")[:ROWS_SHOWN]
    )
    return [Used(*row) for row in rows]


def _tools(recent: Sequence[UUID]) -> list[Used]:
    rows = (
        Step.objects.filter(run__in=recent, counted=True, kind=Step.Kind.TOOL)
        .order_by()
        .values_list("tool__key", "tool__name")
        .annotate(
            calls=Count("id"), bad=Count("id", filter=Q(failed=True)), took=Avg(_TOOK), last=Max("started_at")
        )
        .order_by("-calls", "tool__key")[:ROWS_SHOWN]
    )
    return [Used("", name or key or "", *rest) for key, name, *rest in rows]


def _experiments(recent: Sequence[UUID]) -> list[RunExperiment]:
    ended = ~Q(run__status__in=[Run.Status.RUNNING, Run.Status.CANCELLED])
    rows = (
        RunVariant.objects.filter(run__in=recent)
        .order_by()
        .values_list("experiment", "variant")
        .annotate(
            runs=Count("run_id"),
            judged=Count("run_id", filter=ended),
            good=Count("run_id", filter=Q(run__status=Run.Status.OK)),
        )
        .order_by("experiment", "variant")[:100]
    )
    arms: dict[str, list[ArmRuns]] = {}
    for key, variant, runs, judged, good in rows:
        arms.setdefault(key, []).append(ArmRuns(variant, runs, judged, good))
    known = {row.key: row for row in Experiment.objects.filter(key__in=list(arms))}
    return [RunExperiment(key, known.get(key), tuple(found)) for key, found in arms.items()]
