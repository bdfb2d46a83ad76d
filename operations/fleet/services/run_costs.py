"""Keeping what runs cost up with the ledger, and deciding which of two paths charges."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from django.db import connection
from django.utils import timezone

from agent_factory_site.common.db.bulk import Update, write_all
from financial.selectors.run_costs import RunCost, run_costs, run_costs_by_source, settled_without_run
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
    """Which run it is, what was reported of it without being charged, how many steps it has, and its hold."""

    run_id: str
    compared: Compared
    steps: int
    hold: UUID | None


def under_reported(runs: Iterable[Telling]) -> set[str]:
    """The runs that reported more than the ledger has; no statement where nothing is compared."""
    compared = [one for one in runs if one.compared.most is not None]
    if not compared:
        return set()
    run_ids = [one.run_id for one in compared]
    found, whole = run_costs_by_source(run_ids), charged_as_whole(run_ids)
    holds = {one.hold for one in compared if one.hold is not None}
    # Whoever settles a hold need not say for which run: the run that names it is charged all the same.
    apart = settled_without_run(holds) if holds else {}
    flagged = set()
    for one in compared:
        charged = {"": apart.get(one.hold, 0)} if one.hold is not None else {}
        for source, amount in found.get(one.run_id, {}).items():
            way = "" if source == RUNS and one.run_id in whole else WAYS.get(source, "")
            charged[way] = charged.get(way, 0) + amount
        if is_under_reported(one.compared, charged, one.steps):
            flagged.add(one.run_id)
    return flagged


class _Booked(NamedTuple):
    """What a locked run's row says of its books."""

    run_id: str
    steps: int
    reported_cost: int | None
    compared: Compared
    under_reported: bool
    hold: UUID | None
    cost: RunCost

    def plus(self, said: Reported) -> _Booked:
        return self._replace(
            steps=self.steps + said.steps,
            reported_cost=sum_of(self.reported_cost, said.reported_cost),
            compared=together(self.compared, said.compared),
        )


def recompute_costs(
    *, run_ids: Collection[str], reported: Mapping[UUID, Reported] | None = None
) -> list[UUID]:
    """Have runs cost what the ledger says; the keys of those that did not. Repeated, it changes nothing.

    ``reported`` is added to its runs as by :func:`add_reported`, in the same writing of them. Runs in the
    caller's transaction: runs are locked first, so that the ledger read under the lock that comes last is the
    one that stays.
    """
    added = {key: said for key, said in (reported or {}).items() if said != Reported()}
    costing = {run_key(run_id) for run_id in run_ids if run_id}
    before = _locked_books(sorted(costing | added.keys()))
    if not before:
        return []
    after = {key: one.plus(added[key]) if key in added else one for key, one in before.items()}
    found = run_costs([one.run_id for key, one in after.items() if key in costing])
    flagged = under_reported(Telling(one.run_id, one.compared, one.steps, one.hold) for one in after.values())
    now = timezone.now()
    told, changed = [], []
    for key, one in after.items():
        cost = found.get(one.run_id, RunCost()) if key in costing else one.cost
        flag = one.run_id in flagged
        said = (one.steps, one.reported_cost, one.compared.most, *one.compared)
        if cost != one.cost or (flag != one.under_reported and key not in added):
            has = (getattr(cost, name) for name in RunCost.__slots__)
            changed.append((*said, *has, flag, now, key))
        elif key in added:
            told.append((*said, flag, key))
    if changed:
        update_rows((*_REPORTED[:-1], *_COLUMNS), (*_REPORTED_TYPES[:-1], *_TYPES), changed)
    if told:
        types = (*_REPORTED_TYPES, "uuid")
        write_all(connection, [Update(Run._meta.db_table, _REPORTED, "id", types, told)])
    return [row[-1] for row in changed]


def _locked_books(keys: Sequence[UUID]) -> dict[UUID, _Booked]:
    """What the rows of runs say of their books, locked in the order of their keys."""
    found: dict[UUID, _Booked] = {}
    columns = ("pk", "run_id", "steps", "reported_cost", "under_reported", "hold", *_COMPARED, *_COST)
    for start in range(0, len(keys), CHUNK):
        rows = Run.objects.filter(pk__in=keys[start : start + CHUNK]).order_by("pk")
        for key, run_id, steps, own, flag, hold, spans, calls, whole, *cost in rows.select_for_update(
            no_key=True
        ).values_list(*columns):
            compared = Compared(spans, calls, whole)
            found[key] = _Booked(run_id, steps, own, compared, flag, hold, RunCost(*cost))
    return found


def add_reported(reported: Mapping[UUID, Reported]) -> None:
    """Add what steps said to their runs, in the order of their keys; their flags follow the ledger."""
    recompute_costs(run_ids=(), reported=reported)


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
