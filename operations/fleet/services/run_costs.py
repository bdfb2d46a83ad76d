"""Keeping what runs cost up with the ledger, and deciding which of two paths charges."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from agent_factory_site.common.db.bulk import Update, write_all
from financial.selectors.run_costs import RunCost, run_costs
from operations.fleet.models import Run, run_key

from .run_rows import CHUNK, update_rows

_COST: Final = (
    "cost", "costs", "unpriced", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip
_COLUMNS: Final = (*_COST, "under_reported", "changed_at")
_TYPES: Final = ("int8", "int4", "int4", "int8", "int8", "int8", "int8", "bool", "timestamptz")


_REPORTED: Final = ("steps", "reported_cost", "other_cost", "under_reported")
_REPORTED_TYPES: Final = ("int4", "int8", "int8", "bool")


class Reported(NamedTuple):
    """What steps add to their run: how many they are, what clients said they cost, and what the path that does
    not charge would have charged; amounts in nano-units.
    """

    steps: int = 0
    reported_cost: int | None = None
    other_cost: int | None = None


def recompute_costs(*, run_ids: Collection[str]) -> list[UUID]:
    """Have runs cost what the ledger says; the keys of those that did not. Repeated, it changes nothing.

    Runs in the caller's transaction: runs are locked first, so that the ledger read under the lock that comes
    last is the one that stays.
    """
    keys = sorted({run_key(run_id) for run_id in run_ids if run_id})
    before: dict[UUID, tuple[str, tuple[Any, ...], int | None, int, bool]] = {}
    for start in range(0, len(keys), CHUNK):
        rows = Run.objects.filter(pk__in=keys[start : start + CHUNK]).order_by("pk")
        for pk, run_id, other, steps, flag, *cost in rows.select_for_update(no_key=True).values_list(
            "pk", "run_id", "other_cost", "steps", "under_reported", *_COST
        ):
            before[pk] = run_id, tuple(cost), other, steps, flag
    if not before:
        return []
    found = run_costs([run_id for run_id, *_ in before.values()])
    now = timezone.now()
    values = []
    for pk, (run_id, had, other, steps, flagged) in before.items():
        cost = found.get(run_id, RunCost())
        has = tuple(getattr(cost, name) for name in RunCost.__slots__)
        flag = is_under_reported(cost.amount, other, steps)
        if has != had or flag != flagged:
            values.append((*has, flag, now, pk))
    if values:
        update_rows(_COLUMNS, _TYPES, values)
    return [row[-1] for row in values]


def is_under_reported(cost: int, other: int | None, steps: int) -> bool:
    """Whether a run reported more than was charged, beyond what rounding each step once can make."""
    return other is not None and other > cost + max(steps, 1)


def add_reported(reported: Mapping[UUID, Reported]) -> None:
    """Add what steps said to their runs, in the order of their keys; their flags follow the costs."""
    added = {key: said for key, said in reported.items() if said != Reported()}
    keys = sorted(added)
    values = []
    for start in range(0, len(keys), CHUNK):
        rows = Run.objects.filter(pk__in=keys[start : start + CHUNK]).order_by("pk")
        for pk, steps, own, other, cost in rows.select_for_update(no_key=True).values_list(
            "pk", "steps", "reported_cost", "other_cost", "cost"
        ):
            said = added[pk]
            steps += said.steps
            other = sum_of(other, said.other_cost)
            flag = is_under_reported(cost, other, steps)
            values.append((steps, sum_of(own, said.reported_cost), other, flag, pk))
    types = (*_REPORTED_TYPES, "uuid")
    write_all(connection, [Update(Run._meta.db_table, _REPORTED, "id", types, values)])


def beyond_calls(told: int | None, whole: int | None) -> int | None:
    """What the usage of a whole run tells beyond the calls of it that were compared: they are part of it."""
    return None if whole is None else max(0, whole - (told or 0))


def sum_of(one: int | None, other: int | None) -> int | None:
    """The sum of what is known."""
    return other if one is None else one if other is None else one + other


def claim_charging(*, run_ids: Collection[str], path: str) -> set[str]:
    """The runs whose costs ``path`` (``spans`` or ``api``) charges; the first to ask for an undecided run has it.

    Runs that are not recorded are charged by whoever asks. In the caller's transaction, which keeps it so.
    """
    by_key = {run_key(run_id): run_id for run_id in run_ids if run_id}
    charged = set(run_ids)
    keys = sorted(by_key)
    for start in range(0, len(keys), CHUNK):
        rows = Run.objects.filter(pk__in=keys[start : start + CHUNK])
        undecided = []
        for pk, costs_from in (
            rows.order_by("pk").select_for_update(no_key=True).values_list("pk", "costs_from")
        ):
            if costs_from == "":
                undecided.append(pk)
            elif costs_from != path:
                charged.discard(by_key[pk])
        if undecided:
            Run.objects.filter(pk__in=undecided).update(costs_from=path)
    return charged
