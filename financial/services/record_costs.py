"""Recording costs: each event once, priced, attributed and rolled up, all in one transaction.

The way of a batch: identify -> work out charges -> register names -> one transaction of
(claim event ids, append ledger rows, add to rollups, audit, publish). Event ids are claimed in
sorted order and rollups locked in sorted order, so that two batches never wait in a circle.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.bulk import insert_ignore_returning, insert_rows
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.ids import uuid7, uuid7_batch
from agent_factory_site.common.money import format_amount
from agent_factory_site.common.outbox import publish
from agent_factory_site.common.selectors.entities import FLEET
from agent_factory_site.common.services.entities import resolve_entities
from financial.domain.cost_input import CostInput, check_cost, content_digest, event_key
from financial.events import CostsRecorded
from financial.limits import cost_limits
from financial.models import CostEventKey
from financial.models.cost_event import USAGE_FIELDS

from .charges import Charge, work_out_charges
from .rollups import add_to_rollups
from .series import SeriesName, resolve_series

CONFLICT: Final = FieldError(
    "/event_id", "event_conflict", "This source has already sent another event under this event_id."
)
EVENT_COLUMNS: Final = (
    "id", "source", "event_id", "occurred_at", "recorded_at", "entity_id", "series_id", "amount", "base_amount",
    "unpriced", "price_version_id", "service_tier", "parts", "run_id", "tags", "audit_id", *USAGE_FIELDS,
)  # fmt: skip
KEY_COLUMNS: Final = ("key", "content", "event", "occurred_at")
KEY_TYPES: Final = ("uuid", "uuid", "uuid", "timestamptz")


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """One ledger row of the batch, as stored; amounts in nano-units."""

    id: UUID
    cost: CostInput
    charge: Charge
    recorded_at: datetime


@dataclass(slots=True)
class RecordedCosts:
    """What became of a batch. ``amount`` is the base-currency sum of the accepted events, in nano-units.

    ``duplicates`` maps an index to the id of the event that was recorded before.
    """

    accepted: dict[int, RecordedEvent] = field(default_factory=dict)
    duplicates: dict[int, UUID] = field(default_factory=dict)
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)
    amount: int = 0


@dataclass(slots=True)
class _Pending:
    index: int
    cost: CostInput
    key: UUID
    content: UUID
    charge: Charge
    repeats: list[int]


def record_costs(*, costs: Sequence[CostInput | list[FieldError]]) -> RecordedCosts:
    """Record a batch, in the order sent.

    An item that is a list of errors (it did not decode) is passed through as rejected. A repeated
    event (same source, event id and content) changes nothing; the same id with other content is
    rejected as ``event_conflict``. Good items are recorded whatever becomes of the others.
    """
    outcome = RecordedCosts()
    pending = _identify(costs, outcome)
    if pending:
        _charge(pending, outcome)
    if pending:
        names = {FLEET}
        series: set[SeriesName] = set()
        for item in pending.values():
            names.add((item.cost.entity_type, item.cost.entity_id))
            names.update(item.cost.entities.items())
            series.add(_series_name(item))
        entities = resolve_entities(names)
        numbers = resolve_series(series)
        retry_conflicts(lambda: _store(pending, entities, numbers, outcome))
    return outcome


def _identify(
    costs: Sequence[CostInput | list[FieldError]], outcome: RecordedCosts
) -> dict[UUID, _Pending]:
    """The distinct valid events by key; repeats within the batch are tied to the first of their kind."""
    limits = cost_limits()
    pending: dict[UUID, _Pending] = {}
    for index, cost in enumerate(costs):
        errors = cost if isinstance(cost, list) else check_cost(cost, limits)
        if errors:
            outcome.rejected[index] = errors
            continue
        assert isinstance(cost, CostInput)
        key, content = event_key(cost.source, cost.event_id), content_digest(cost)
        first = pending.get(key)
        if first is None:
            pending[key] = _Pending(index, cost, key, content, _UNCHARGED, [])
        elif first.content == content:
            first.repeats.append(index)
        else:
            outcome.rejected[index] = [CONFLICT]
    return pending


_UNCHARGED: Final = Charge(datetime.min, "", 0, 0, {}, "", None, ())


def _charge(pending: dict[UUID, _Pending], outcome: RecordedCosts) -> None:
    items = list(pending.values())
    for item, charge in zip(items, work_out_charges([item.cost for item in items]), strict=True):
        if isinstance(charge, FieldError):
            for index in (item.index, *item.repeats):
                outcome.rejected[index] = [charge]
            del pending[item.key]
        else:
            item.charge = charge


def _series_name(item: _Pending) -> SeriesName:
    cost = item.cost
    return cost.cost_type, cost.provider or "", cost.model or "", item.charge.currency


def _store(
    pending: dict[UUID, _Pending],
    entities: dict[tuple[str, str], int],
    numbers: dict[SeriesName, int],
    outcome: RecordedCosts,
) -> None:
    now = timezone.now()
    keys = sorted(pending)
    ids = dict(zip(keys, uuid7_batch(len(keys)), strict=True))
    with transaction.atomic():
        claimed = insert_ignore_returning(
            connection,
            CostEventKey._meta.db_table,
            KEY_COLUMNS,
            KEY_TYPES,
            [(key, pending[key].content, ids[key], pending[key].charge.occurred_at) for key in keys],
            "key",
        )
        accepted = [pending[key] for key in sorted(claimed, key=lambda key: pending[key].index)]
        repeated = [pending[key] for key in keys if key not in claimed]
        known = _known(repeated)
        if accepted:
            _append(accepted, ids, entities, numbers, now)
    _report(accepted, repeated, known, ids, now, outcome)


def _known(repeated: list[_Pending]) -> dict[UUID, tuple[UUID, UUID]]:
    if not repeated:
        return {}
    rows = CostEventKey.objects.filter(key__in=[item.key for item in repeated])
    return {key: (content, event) for key, content, event in rows.values_list("key", "content", "event")}


def _append(
    accepted: list[_Pending],
    ids: dict[UUID, UUID],
    entities: dict[tuple[str, str], int],
    numbers: dict[SeriesName, int],
    now: datetime,
) -> None:
    audit_id = uuid7()
    fleet = entities[FLEET]
    rows, attributions, events = [], [], []
    amount = 0
    runs: set[str] = set()
    for item in accepted:
        cost, charge, event = item.cost, item.charge, ids[item.key]
        own = entities[(cost.entity_type, cost.entity_id)]
        seen_by = sorted({own, *(entities[name] for name in cost.entities.items())})
        series = numbers[_series_name(item)]
        rows.append((
            event, cost.source, cost.event_id, charge.occurred_at, now, own, series, charge.amount,
            charge.base_amount, bool(charge.unpriced), charge.price_version, cost.service_tier,
            json.dumps(charge.parts), cost.run_id or "", json.dumps(cost.tags), audit_id, *charge.quantities,
        ))  # fmt: skip
        attributions.extend((entity, charge.occurred_at, event) for entity in seen_by)
        values = (1, int(bool(charge.unpriced)), charge.amount, charge.base_amount, *charge.quantities)
        events.append(((*seen_by, fleet), charge.occurred_at, series, values))
        amount += charge.base_amount
        if cost.run_id:
            runs.add(cost.run_id)
    insert_rows(connection, "financial_costevent", EVENT_COLUMNS, rows)
    insert_rows(connection, "financial_costattribution", ("entity_id", "occurred_at", "event"), attributions)
    first, last = rows[0], rows[-1]
    record_audit(
        action="record",
        target_type="financial.CostEvent",
        target_id=str(first[0]) if len(rows) == 1 else "",
        changes={
            "events": len(rows),
            "amount": format_amount(amount),
            "first": str(first[0]),
            "last": str(last[0]),
        },
        event_id=audit_id,
    )
    publish(CostsRecorded(batch=str(audit_id), events=len(rows), amount=format_amount(amount), runs=sorted(runs)))
    # Last, because rows shared with other writers are locked from here to the commit.
    add_to_rollups(events, fleet)


def _report(
    accepted: list[_Pending],
    repeated: list[_Pending],
    known: dict[UUID, tuple[UUID, UUID]],
    ids: dict[UUID, UUID],
    now: datetime,
    outcome: RecordedCosts,
) -> None:
    for item in accepted:
        event = ids[item.key]
        outcome.accepted[item.index] = RecordedEvent(event, item.cost, item.charge, now)
        outcome.amount += item.charge.base_amount
        outcome.duplicates.update(dict.fromkeys(item.repeats, event))
    for item in repeated:
        content, event = known[item.key]
        for index in (item.index, *item.repeats):
            if content == item.content:
                outcome.duplicates[index] = event
            else:
                outcome.rejected[index] = [CONFLICT]
