"""Keeping what runs cost up with the ledger, and deciding which of two paths charges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from agent_factory_site.common.db.bulk import Update, write_all
from financial.selectors.run_costs import RunCost, run_costs, run_costs_by_source
from operations.fleet.domain.comparing import SPANS, STEPS, Compared, is_under_reported, sum_of, together
from operations.fleet.models import Run, run_key

from .charge_names import LITELLM, OTLP, RUNS, charged_as_whole
from .run_rows import CHUNK, update_rows

_COST: Final = (
    "cost", "costs", "unpriced", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip
WAYS: Final = {OTLP: SPANS, RUNS: STEPS, LITELLM: STEPS}
"""Who tells of the charges that come from a source; anything else was posted beside them."""
_COMPARED: Final = ("compared_spans", "compared_steps", "compared_whole")
_COLUMNS: Final = (*_COST, "under_reported", "changed_at")
_TYPES: Final = ("int8", "int4", "int4", "int8", "int8", "int8", "int8", "bool", "timestamptz")


_REPORTED: Final = ("steps", "reported_cost", "other_cost", *_COMPARED, "under_reported")
_REPORTED_TYPES: Final = ("int4", "int8", "int8", "int8", "int8", "int8", "bool")


class Reported(NamedTuple):
    """What steps add to their run: how many they are, what clients said they cost, and what the paths that do
    not charge would have charged; amounts in nano-units.
    """

    steps: int = 0
    reported_cost: int | None = None
    compared: Compared = Compared()


class Telling(NamedTuple):
    """Which run it is, what was reported of it without being charged, and how many steps it has."""

    run_id: str
    compared: Compared
    steps: int


def under_reported(runs: Iterable[Telling]) -> set[str]:
    """The runs that reported more than the ledger has; no statement where nothing is compared."""
    compared = [one for one in runs if one.compared.most is not None]
    if not compared:
        return set()
    run_ids = [one.run_id for one in compared]
    found, whole = run_costs_by_source(run_ids), charged_as_whole(run_ids)
    flagged = set()
    for one in compared:
        charged: dict[str, int] = {}
        for source, amount in found.get(one.run_id, {}).items():
            way = "" if source == RUNS and one.run_id in whole else WAYS.get(source, "")
            charged[way] = charged.get(way, 0) + amount
        if is_under_reported(one.compared, charged, one.steps):
            flagged.add(one.run_id)
    return flagged


def recompute_costs(*, run_ids: Collection[str]) -> list[UUID]:
    """Have runs cost what the ledger says; the keys of those that did not. Repeated, it changes nothing.

    Runs in the caller's transaction: runs are locked first, so that the ledger read under the lock that comes
    last is the one that stays.
    """
    keys = sorted({run_key(run_id) for run_id in run_ids if run_id})
    before: dict[UUID, tuple[Telling, tuple[Any, ...], bool]] = {}
    for start in range(0, len(keys), CHUNK):
        rows = Run.objects.filter(pk__in=keys[start : start + CHUNK]).order_by("pk")
        for pk, run_id, steps, flag, spans, calls, whole, *cost in rows.select_for_update(
            no_key=True
        ).values_list("pk", "run_id", "steps", "under_reported", *_COMPARED, *_COST):
            before[pk] = Telling(run_id, Compared(spans, calls, whole), steps), tuple(cost), flag
    if not before:
        return []
    found = run_costs([run.run_id for run, *_ in before.values()])
    flagged = under_reported(run for run, *_ in before.values())
    now = timezone.now()
    values = []
    for pk, (run, had, was_flagged) in before.items():
        cost = found.get(run.run_id, RunCost())
        has = tuple(getattr(cost, name) for name in RunCost.__slots__)
        flag = run.run_id in flagged
        if has != had or flag != was_flagged:
            values.append((*has, flag, now, pk))
    if values:
        update_rows(_COLUMNS, _TYPES, values)
    return [row[-1] for row in values]


def add_reported(reported: Mapping[UUID, Reported]) -> None:
    """Add what steps said to their runs, in the order of their keys; their flags follow the ledger."""
    added = {key: said for key, said in reported.items() if said != Reported()}
    keys = sorted(added)
    runs: list[tuple[UUID, int | None, Telling]] = []
    for start in range(0, len(keys), CHUNK):
        rows = Run.objects.filter(pk__in=keys[start : start + CHUNK]).order_by("pk")
        for pk, run_id, steps, own, *compared in rows.select_for_update(no_key=True).values_list(
            "pk", "run_id", "steps", "reported_cost", *_COMPARED
        ):
            said = added[pk]
            told = together(Compared(*compared), said.compared)
            runs.append((pk, sum_of(own, said.reported_cost), Telling(run_id, told, steps + said.steps)))
    flagged = under_reported(run for _, _, run in runs)
    values = [
        (run.steps, own, run.compared.most, *run.compared, run.run_id in flagged, pk) for pk, own, run in runs
    ]
    types = (*_REPORTED_TYPES, "uuid")
    write_all(connection, [Update(Run._meta.db_table, _REPORTED, "id", types, values)])


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
