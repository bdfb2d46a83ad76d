"""All that the page of one run shows: its steps with what they cost, and the runs around it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import Q

from financial.models import CostEvent, CostEventKey
from operations.fleet.models import Run, RunVariant, Step

from .tree_costs import TreeCost, tree_cost

MAX_STEPS: Final = 500
MAX_RUNS: Final = 50
_CHUNK: Final = 500


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step within ``depth`` others; ``cost`` is net of corrections in nano-units of the base currency.

    ``cost`` is None where nothing was charged; ``unpriced`` marks a charge without a price. ``event`` is the
    charge's row in the ledger.
    """

    step: Step
    depth: int
    cost: int | None
    unpriced: bool
    event: UUID | None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run with its steps in the order of its tree; ``left_out`` says how many more there are."""

    steps: list[StepLine]
    left_out: int
    parent: Run | None
    children: list[Run]
    more_children: bool
    total: TreeCost | None
    variants: list[RunVariant]


def run_facts(run: Run) -> RunFacts:
    """Everything around ``run``; at most ten statements, however many steps it has."""
    steps = list(
        Step.objects.filter(run=run.pk).select_related("tool").order_by("started_at", "id")[: MAX_STEPS + 1]
    )
    left_out = 0
    if len(steps) > MAX_STEPS:
        left_out = Step.objects.filter(run=run.pk).count() - MAX_STEPS
        steps = steps[:MAX_STEPS]
    charges = _charges([step.cost_key for step in steps if step.cost_key is not None])
    children = list(
        Run.objects.filter(parent=run.pk).select_related("agent").order_by("started_at", "id")[: MAX_RUNS + 1]
    )
    lines = []
    for step, depth in in_tree_order(steps):
        charge = charges.get(step.cost_key) if step.cost_key is not None else None
        lines.append(
            StepLine(
                step,
                depth,
                charge[1] if charge else None,
                bool(charge and charge[2]),
                charge[0] if charge else None,
            )
        )
    return RunFacts(
        steps=lines,
        left_out=left_out,
        parent=Run.objects.filter(pk=run.parent).select_related("agent").first() if run.parent else None,
        children=children[:MAX_RUNS],
        more_children=len(children) > MAX_RUNS,
        total=tree_cost(run.pk) if children else None,
        variants=list(RunVariant.objects.filter(run=run.pk).select_related("unit").order_by("experiment")),
    )


def in_tree_order(steps: Sequence[Step]) -> list[tuple[Step, int]]:
    """Steps, each below the one around it, in order of time; with how many lie around each.

    A step whose parent is not among them stands at the top, and so does one of a circle.
    """
    known = {step.pk for step in steps}
    below: dict[UUID | None, list[Step]] = {}
    for step in steps:
        around = step.parent if step.parent in known and step.parent != step.pk else None
        below.setdefault(around, []).append(step)
    ordered: list[tuple[Step, int]] = []
    seen: set[UUID] = set()

    def follow(tops: Sequence[Step]) -> None:
        waiting = [(step, 0) for step in reversed(tops)]
        while waiting:
            step, depth = waiting.pop()
            if step.pk not in seen:
                seen.add(step.pk)
                ordered.append((step, depth))
                waiting += [(inner, depth + 1) for inner in reversed(below.get(step.pk, []))]

    follow(below.get(None, []))
    for step in steps:
        follow([step])
    return ordered


def _charges(keys: Collection[UUID]) -> dict[UUID, tuple[UUID, int, bool]]:
    """The ledger's row of each key, its amount net of corrections, and whether it is without a price."""
    events: dict[UUID, UUID] = {}
    wanted = list(keys)
    for start in range(0, len(wanted), _CHUNK):
        rows = CostEventKey.objects.filter(key__in=wanted[start : start + _CHUNK])
        events.update((event, key) for key, event in rows.values_list("key", "event"))
    sums: dict[UUID, list[int]] = {event: [0, 0] for event in events}
    found = list(events)
    for start in range(0, len(found), _CHUNK):
        part = found[start : start + _CHUNK]
        charges = CostEvent.objects.filter(Q(pk__in=part) | Q(corrects__in=part))
        for pk, corrects, amount, unpriced in charges.values_list(
            "pk", "corrects", "base_amount", "unpriced"
        ):
            place = sums[corrects if corrects in sums else pk]
            place[0] += amount
            place[1] += unpriced
    return {key: (event, sums[event][0], sums[event][1] > 0) for event, key in events.items()}
