"""What runs cost, by the ledger: net of credits and corrections."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from agent_factory_site.common.db.prepared import Asked, PreparedQuery
from financial.domain.cost_rules import VOID_SOURCE
from financial.models import CostEvent, Hold

_CHUNK: Final = 5000


@dataclass(frozen=True, slots=True)
class RunCost:
    """A run's cost in nano-units of the base currency, its charges, those without a price, and its tokens.

    Charges that were taken back count in none of these.
    """

    amount: int = 0
    charges: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


def run_costs(run_ids: Collection[str]) -> dict[str, RunCost]:
    """The costs of the runs that the ledger names; reads the rows of these runs alone."""
    found: dict[str, RunCost] = {}
    wanted = sorted(set(run_ids) - {""})
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        sums = _ONE.rows(part[0]) if len(part) == 1 else _sums(*part)
        found.update((run_id, RunCost(*map(int, values))) for run_id, *values in sums)
    return found


def run_costs_by_source(run_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """What runs cost by the source of the charges, in nano-units of the base currency, net of corrections."""
    found: dict[str, dict[str, int]] = {}
    wanted = sorted(set(run_ids) - {""})
    charges = CostEvent.objects.filter(pk=OuterRef("corrects")).values("source")
    for start in range(0, len(wanted), _CHUNK):
        rows = (
            CostEvent.objects.filter(run_id__in=wanted[start : start + _CHUNK]).exclude(run_id="").order_by()
        )
        sums = (
            rows.annotate(of=Coalesce(Subquery(charges), F("source")))
            .values_list("run_id", "of")
            .annotate(sum=Sum("base_amount"))
        )
        for run_id, source, amount in sums:
            found.setdefault(run_id, {})[source] = int(amount)
    return found


def settled_without_run(holds: Collection[UUID]) -> dict[UUID, int]:
    """What holds were settled with where that names no run, in nano-units of the base currency, with corrections."""
    settled = Hold.objects.filter(pk__in=holds, event__isnull=False).values_list("event", "pk")
    events = {event: hold for event, hold in settled if event is not None}
    if not events:
        return {}
    rows = CostEvent.objects.filter(Q(pk__in=events) | Q(corrects__in=events), run_id="").order_by()
    found: dict[UUID, int] = {}
    for event, corrects, amount in rows.values_list("pk", "corrects", "base_amount"):
        charge = event if event in events or corrects is None else corrects
        found[events[charge]] = found.get(events[charge], 0) + (amount or 0)
    return found


def run_cost_asked(run_id: str) -> Asked:
    """:func:`run_costs` of one run, to be asked together with others; :func:`run_cost_of` reads the answer."""
    return _ONE.asked(run_id)


def run_cost_of(rows: Sequence[tuple[Any, ...]]) -> RunCost:
    """The cost of the run that was asked for."""
    return RunCost(*map(int, rows[0][1:])) if rows else RunCost()


def _sums(*run_ids: str) -> QuerySet[CostEvent, tuple[Any, ...]]:
    return (
        CostEvent.objects.filter(run_id__in=run_ids)
        .exclude(run_id="")
        .order_by()
        .values_list("run_id")
        .annotate(
            amount=Sum("base_amount"),
            charges=Count("id", filter=Q(kind=CostEvent.Kind.CHARGE))
            - Count("id", filter=Q(kind=CostEvent.Kind.CORRECTION, source=VOID_SOURCE)),
            missing=Sum("unpriced"),
            taken_in=Sum("input_tokens"),
            cached=Sum("cache_read_tokens"),
            given_out=Sum("output_tokens"),
            reasoned=Sum("reasoning_tokens"),
        )
    )


# Asked at the end of every run.
_ONE: Final = PreparedQuery(_sums, "?")
