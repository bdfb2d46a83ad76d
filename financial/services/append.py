"""Appending worked-out entries to the ledger, its attributions and its rollups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from agent_factory_site.common.audit.recorder import audit_insert
from agent_factory_site.common.db.bulk import Insert
from agent_factory_site.common.db.prepared import Asked
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.money import format_amount
from agent_factory_site.common.outbox import outbox_inserts
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from financial.domain.exchange import SAME
from financial.events import CostsRecorded
from financial.models import CostAttribution, CostEvent
from financial.models.cost_event import USAGE_FIELDS

from .budget_spending import Settlement, spend_budgets
from .entries import Entry
from .facets import FacetSubject, facet_owners
from .rollups import RollupPlan, RollupRows, facet_rollup_rows, rollup_rows, write_with_rollups
from .series import SeriesName

EVENT_COLUMNS: Final = (
    "id",
    "source",
    "event_id",
    "occurred_at",
    "recorded_at",
    "entity_id",
    "series_id",
    "amount",
    "base_amount",
    "unpriced",
    "price_version_id",
    "service_tier",
    "parts",
    "run_id",
    "tags",
    "kind",
    "corrects",
    "reason",
    "quantity",
    "unit",
    "unit_price_id",
    "exchange",
    "audit_id",
    *USAGE_FIELDS,
)
_encoder: Final = msgspec.json.Encoder()
ATTRIBUTION_COLUMNS: Final = ("entity_id", "occurred_at", "event")


@dataclass(frozen=True, slots=True)
class Appended:
    """One ledger row, as stored."""

    id: UUID
    source: str
    event_id: str
    recorded_at: datetime
    entry: Entry


def append_entries(
    appended: Sequence[Appended],
    entities: Mapping[EntityName, int],
    numbers: Mapping[SeriesName, int],
    plan: RollupPlan,
    settlement: Settlement | None = None,
    asked: Sequence[Asked] = (),
) -> list[list[tuple[Any, ...]]]:
    """Write the rows, their attributions, one audit event, one domain event, and add to rollups and budgets.

    Runs in the caller's transaction, after the event ids were claimed and ``plan`` was asked for. Answers what
    is ``asked`` once the ledger has the rows; nothing where there are none.
    """
    if not appended:
        return []
    audit_id = uuid7()
    fleet = entities[FLEET]
    rows, attributions, sums = [], [], []
    for event in appended:
        entry = event.entry
        series = numbers[entry.series]
        seen_by = sorted(entities[name] for name in entry.entities)
        rows.append(_row(event, entities[entry.entity], series, audit_id))
        attributions.extend([(entity, entry.occurred_at, event.id) for entity in seen_by])
        sums.append(((*seen_by, fleet), entry.occurred_at, series, _measures(entry)))
    rollups: list[RollupRows] = []
    if plan.dimensions:
        subjects = [FacetSubject(event.entry.entities, event.entry.tags) for event in appended]
        owners = facet_owners(plan.dimensions, subjects, entities)
        with_facets = [
            (each, occurred_at, series, measures)
            for each, (_, occurred_at, series, measures) in zip(owners, sums, strict=True)
            if each
        ]
        rollups += facet_rollup_rows(with_facets, plan.slot)
    rollups += rollup_rows(sums, fleet, plan.slot)
    inserts = [
        Insert(CostEvent._meta.db_table, EVENT_COLUMNS, rows),
        Insert(CostAttribution._meta.db_table, ATTRIBUTION_COLUMNS, attributions),
        *_tell(appended, audit_id),
    ]
    # Last but for the budgets, because rows shared with other writers are locked from here to the commit.
    answers = write_with_rollups(inserts, rollups, asked)
    spend_budgets(appended, entities, plan.budgets, settlement)
    return answers


def _json(value: object) -> str:
    return _encoder.encode(value).decode()


def _row(event: Appended, entity: int, series: int, audit_id: UUID) -> tuple[Any, ...]:
    entry = event.entry
    exchange = entry.exchange
    return (
        event.id,
        event.source,
        event.event_id,
        entry.occurred_at,
        event.recorded_at,
        entity,
        series,
        entry.amount,
        entry.base_amount,
        entry.unpriced,
        entry.price_version,
        entry.service_tier,
        _json(entry.parts),
        entry.run_id,
        _json(entry.tags),
        entry.kind,
        entry.corrects,
        entry.reason,
        entry.quantity,
        entry.unit,
        entry.unit_price,
        None if exchange == SAME else _json([exchange.numerator, exchange.denominator]),
        audit_id,
        *entry.usage,
    )


def _measures(entry: Entry) -> tuple[int, ...]:
    charges = 1 if entry.kind == CostEvent.Kind.CHARGE else 0
    return charges, entry.unpriced, entry.amount, entry.base_amount, *entry.usage


def _tell(appended: Sequence[Appended], audit_id: UUID) -> list[Insert]:
    """The domain event and the audit event of what was recorded."""
    amount = format_amount(sum(event.entry.base_amount for event in appended))
    first, last = appended[0].id, appended[-1].id
    runs = sorted({event.entry.run_id for event in appended if event.entry.run_id})
    told = audit_insert(
        action="record",
        target_type="financial.CostEvent",
        target_id=str(first) if len(appended) == 1 else "",
        changes={"events": len(appended), "amount": amount, "first": str(first), "last": str(last)},
        event_id=audit_id,
    )
    event = CostsRecorded(batch=str(audit_id), events=len(appended), amount=amount, runs=runs)
    return [told, *outbox_inserts(event)]
