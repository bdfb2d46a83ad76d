"""The totals of a filtered list of costs: from rollups where they can answer, else from so many rows."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC
from typing import Final, Literal

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.selectors.entities import FLEET, find_entities
from financial.domain.grouping import SERIES_DIMENSIONS
from financial.domain.ranges import EARLIEST, LATEST
from financial.models import CostAttribution, CostEvent
from financial.models.cost_event import USAGE_FIELDS

from .breakdown import CostSums, cost_breakdown
from .cost_events import CostFilters, filter_cost_events

TooMany = Literal["too_many"]
TOO_MANY: Final = "too_many"
_ROLLED_UP: Final = frozenset({"start", "end", "entity_type", "entity_id", *SERIES_DIMENSIONS})


def cost_totals(filters: CostFilters) -> CostSums | TooMany:
    """Sums over the events that ``filters`` leave.

    Exact at any size where rollups know every dimension asked for; else one query that reads at most
    ``COST_MAX_SUMMED_ROWS`` rows, and says so where that is not enough.
    """
    if all(getattr(filters, field.name) is None for field in fields(filters) if field.name not in _ROLLED_UP):
        return _rollup_totals(filters)
    rows = filter_cost_events(filters)
    if filters.entity_type and filters.entity_id:
        name = (filters.entity_type, filters.entity_id)
        seen = CostAttribution.objects.filter(
            entity_id=find_entities([name]).get(name, 0), event=OuterRef("pk")
        )
        rows = rows.filter(Exists(seen.filter(occurred_at=OuterRef("occurred_at"))))
    return _row_totals(rows)


def _rollup_totals(filters: CostFilters) -> CostSums:
    entity = FLEET
    if filters.entity_type and filters.entity_id:
        entity = (filters.entity_type, filters.entity_id)
    wanted: dict[str, list[str]] = {}
    for name in SERIES_DIMENSIONS:
        value = getattr(filters, name)
        if value is not None:
            wanted[name] = [value]
    return cost_breakdown(
        entity=entity, start=filters.start or EARLIEST, end=filters.end or LATEST, zone=UTC, filters=wanted
    ).total


def _row_totals(rows: QuerySet[CostEvent]) -> CostSums | TooMany:
    most: int = settings.COST_MAX_SUMMED_ROWS
    bounded = rows.order_by()[: most + 1]
    try:
        sums = bounded.aggregate(
            rows=Count("pk"),
            events=Count("pk", filter=Q(kind=CostEvent.Kind.CHARGE)),
            unpriced_events=Sum("unpriced", default=0),
            total=Sum("base_amount", default=0),
            **{f"total_{name}": Sum(name, default=0) for name in USAGE_FIELDS},
        )
    except DatabaseError as error:
        if "integer overflow" in str(error):
            raise Invalid(
                "sum_too_large", "This sum does not fit 64 bits; ask for a shorter range."
            ) from error
        raise
    if sums["rows"] > most:
        return TOO_MANY
    return CostSums(
        events=sums["events"],
        unpriced=sums["unpriced_events"],
        amount=int(sums["total"]),
        usage=tuple(int(sums[f"total_{name}"]) for name in USAGE_FIELDS),
    )
