"""Runs: listed, and one with the timeline of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.selectors.entities import find_entities
from financial.models import CostEvent, CostEventKey
from operations.fleet.models import COST_STEPS, Run, RunVariant, Step, run_key

from .agents import agent_family, get_agent
from .reported_costs import reported_difference
from .tree_costs import TreeCost, tree_cost

MAX_STEPS: Final = 2000
"""Steps of one run that are shown."""
_CHUNK: Final = 5000


def list_runs(
    *,
    agent: str | None = None,
    status: str | None = None,
    user: str | None = None,
    session: str | None = None,
    environment: str | None = None,
    experiment: str | None = None,
    variant: str | None = None,
    trace_id: UUID | None = None,
    under_reported: bool | None = None,
    unpriced: bool | None = None,
    min_cost: int | None = None,
    max_cost: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> QuerySet[Run]:
    """Runs that began in ``[start, end)``; None leaves a filter out.

    ``variant`` narrows ``experiment``; costs are nano-units of the base currency, both ends included. Raises
    :class:`NotFound` for an agent.
    """
    rows = Run.objects.select_related("agent", "user", "unit")
    if agent is not None:
        rows = rows.filter(agent__in=agent_family(get_agent(agent)))
    if status is not None:
        rows = rows.filter(status=status)
    if user is not None:
        rows = rows.filter(user=find_entities([("user", user)]).get(("user", user), 0))
    if session is not None:
        rows = rows.filter(session=session)
    if environment is not None:
        rows = rows.filter(environment=environment)
    if experiment is not None:
        served = RunVariant.objects.filter(experiment=experiment)
        rows = rows.filter(pk__in=(served.filter(variant=variant) if variant else served).values("run"))
    if trace_id is not None:
        rows = rows.filter(trace_id=trace_id)
    if under_reported is not None:
        rows = rows.filter(under_reported=under_reported)
    if unpriced is not None:
        rows = rows.filter(unpriced__gt=0) if unpriced else rows.filter(unpriced=0)
    if min_cost is not None:
        rows = costing_at_least(rows, min_cost)
    if max_cost is not None:
        rows = rows.filter(cost__lte=max_cost)
    if start is not None:
        rows = rows.filter(started_at__gte=start)
    if end is not None:
        rows = rows.filter(started_at__lt=end)
    return rows


def costing_at_least(rows: QuerySet[Run], least: int) -> QuerySet[Run]:
    """Those of ``rows`` that cost ``least`` nano-units or more, by the index of the nearest step below."""
    step = max((one for one in COST_STEPS if one <= least), default=None)
    rows = rows.filter(cost__gte=least)
    return rows if step is None else rows.filter(cost__gte=step)


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """A step with what it cost by the ledger (nano-units of the base currency, corrections included; None: it
    was not charged, or has no price), and how deep it lies inside others.
    """

    step: Step
    cost: int | None
    unpriced: bool
    depth: int


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with its variants, its steps in the order in which they began, and the runs around it.

    ``more`` tells that there are more steps than are shown, ``total`` what it cost with all that it called.
    ``reported_difference`` is what clients say that it cost less what it was charged.
    """

    run: Run
    variants: list[RunVariant]
    steps: list[TimelineStep]
    more: bool
    parent: str | None
    children: list[str]
    total: TreeCost | None
    reported_difference: int | None


def get_run_row(run_id: str) -> Run:
    """One run by its id, with its agent and user; raises :class:`NotFound`."""
    run = Run.objects.select_related("agent", "user", "unit").filter(pk=run_key(run_id)).first()
    if run is None:
        raise NotFound("not_found", "There is no such run.")
    return run


def get_run(run_id: str) -> RunDetail:
    """One run by its id, in a fixed number of statements; raises :class:`NotFound`."""
    run = get_run_row(run_id)
    rows = Step.objects.select_related("tool", "content").filter(run=run.pk).order_by("started_at", "id")
    steps = list(rows[: MAX_STEPS + 1])
    shown = steps[:MAX_STEPS]
    parent = None
    if run.parent is not None:
        parent = Run.objects.filter(pk=run.parent).values_list("run_id", flat=True).first()
    called = Run.objects.filter(parent=run.pk).order_by("started_at", "id").values_list("run_id", flat=True)
    children = list(called[:100])
    return RunDetail(
        run=run,
        variants=list(RunVariant.objects.select_related("unit").filter(run=run.pk).order_by("experiment")),
        steps=_timeline(shown),
        more=len(steps) > MAX_STEPS,
        parent=parent,
        children=children,
        total=tree_cost(run.pk) if children else None,
        reported_difference=reported_difference(run),
    )


def _timeline(steps: Sequence[Step]) -> list[TimelineStep]:
    costs = step_costs([one.cost_key for one in steps if one.cost_key is not None])
    depths: dict[UUID, int] = {}
    parents = {one.pk: one.parent for one in steps}
    made = []
    for one in steps:
        cost = costs.get(one.cost_key) if one.cost_key is not None else None
        amount = None if cost is None or cost[1] else cost[0]
        made.append(TimelineStep(one, amount, bool(cost and cost[1]), _depth(one.pk, parents, depths)))
    return made


def _depth(step: UUID, parents: dict[UUID, UUID | None], depths: dict[UUID, int]) -> int:
    path: list[UUID] = []
    node: UUID | None = step
    while node is not None and node in parents and node not in depths and node not in path:
        path.append(node)
        node = parents[node]
    depth = depths[node] + 1 if node in depths and node is not None else 0
    for one in reversed(path):
        depths[one] = depth
        depth += 1
    return depths[step]


def step_costs(keys: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """The net cost and what is unpriced of ledger events, by their keys in ``CostEventKey``."""
    events: dict[UUID, UUID] = {}
    for start in range(0, len(keys), _CHUNK):
        rows = CostEventKey.objects.filter(key__in=keys[start : start + _CHUNK])
        events.update((event, key) for key, event in rows.values_list("key", "event"))
    found: dict[UUID, tuple[int, int]] = {}
    wanted = list(events)
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        charges = CostEvent.objects.filter(pk__in=part).values_list("pk", "base_amount", "unpriced")
        found.update((events[event], (amount, unpriced)) for event, amount, unpriced in charges)
        corrections = CostEvent.objects.filter(corrects__in=part)
        for event, amount, unpriced in corrections.values_list("corrects", "base_amount", "unpriced"):
            assert event is not None
            have = found[events[event]]
            found[events[event]] = (have[0] + amount, have[1] + unpriced)
    return found
