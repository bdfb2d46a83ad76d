"""Recording costs: each event once, priced, attributed and rolled up, all in one transaction.

The way of a batch: identify -> work out entries -> register names -> one transaction of
(claim event ids, append ledger rows, audit, publish, add to rollups). Corrected events are locked,
event ids claimed and rollups added to in sorted order, so that two batches never wait in a circle.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.db.bulk import insert_ignore_and_ask
from agent_factory_site.common.db.prepared import Asked
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.ids import uuid7_batch
from agent_factory_site.common.selectors.entities import FLEET, EntityName
from agent_factory_site.common.services.entities import resolve_entities
from financial.domain.cost_input import Correction, CostItem, content_digest, event_key
from financial.domain.cost_rules import HOLD_SOURCE, check_cost
from financial.limits import cost_limits
from financial.models import CostEventKey

from .append import Appended, append_entries
from .budget_spending import Settlement, missing_rates
from .corrections import admit_corrections, work_out_corrections
from .entries import Entry, work_out_entries
from .rollups import naming_sums, plan_asked, plan_of
from .series import SeriesName, resolve_series

CONFLICT: Final = FieldError(
    "/event_id", "event_conflict", "This source has already sent another event under this event_id."
)
KEY_COLUMNS: Final = ("key", "content", "event", "occurred_at")
KEY_TYPES: Final = ("uuid", "uuid", "uuid", "timestamptz")


@dataclass(slots=True)
class RecordedCosts:
    """What became of a batch. ``amount`` is the base-currency sum of the accepted events, in nano-units.

    ``duplicates`` maps an index to the id of the event that was recorded before. ``answers`` are those to what
    was asked with the batch; none where nothing was accepted.
    """

    accepted: dict[int, Appended] = field(default_factory=dict)
    duplicates: dict[int, UUID] = field(default_factory=dict)
    rejected: dict[int, list[FieldError]] = field(default_factory=dict)
    amount: int = 0
    answers: list[list[tuple[Any, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class Pending:
    """An event on its way into the ledger: where it stood in the batch, its identity and its entry."""

    index: int
    source: str
    event_id: str
    key: UUID
    content: UUID
    entry: Entry
    repeats: list[int] = field(default_factory=list)


def record_costs(
    *,
    costs: Sequence[CostItem | list[FieldError]],
    settlement: Settlement | None = None,
    savepoint: bool = True,
    prices: Hashable = ...,
    asked: Sequence[Asked] = (),
) -> RecordedCosts:
    """Record a batch, in the order sent; with ``settlement``, the one cost of that hold.

    Who records in a transaction that does not go on where this fails needs no ``savepoint``. ``prices`` is the
    revision of the prices where the caller has just read it. What is ``asked`` is asked once the ledger has the
    batch, in the same message where that can be.

    An item that is a list of errors (it did not decode) is passed through as rejected. A repeated
    event (same source, event id and content) changes nothing; the same id with other content is
    rejected as ``event_conflict``. Good items are recorded whatever becomes of the others.
    """
    outcome = RecordedCosts()
    own_source = HOLD_SOURCE if settlement is not None else ""
    pending = _work_out(_identify(costs, outcome, own_source), outcome, prices)
    record_entries(pending, outcome, settlement, savepoint, asked)
    return outcome


def record_entries(
    pending: Sequence[Pending],
    outcome: RecordedCosts,
    settlement: Settlement | None = None,
    savepoint: bool = True,
    asked: Sequence[Asked] = (),
) -> None:
    """Record entries that were worked out, each once by its key; ``outcome`` tells what became of them."""
    if not pending:
        return
    if settlement is None and (refused := missing_rates([item.entry for item in pending])):
        for place, error in refused.items():
            item = pending[place]
            outcome.rejected.update({index: [error] for index in (item.index, *item.repeats)})
        pending = [item for place, item in enumerate(pending) if place not in refused]
        if not pending:
            return
    names: set[EntityName] = {FLEET}
    series: set[SeriesName] = set()
    for item in pending:
        names.update(item.entry.entities)
        series.add(item.entry.series)
    entities = resolve_entities(names)
    numbers = resolve_series(series)
    with naming_sums():
        retry_conflicts(lambda: _store(pending, entities, numbers, outcome, settlement, savepoint, asked))


@dataclass(slots=True)
class _Identified:
    index: int
    cost: CostItem
    key: UUID
    content: UUID
    repeats: list[int]


def _identify(
    costs: Sequence[CostItem | list[FieldError]], outcome: RecordedCosts, own_source: str
) -> list[_Identified]:
    """The distinct valid events; repeats within the batch are tied to the first of their kind."""
    limits = cost_limits()
    identified: dict[int, _Identified] = {}
    for index, cost in enumerate(costs):
        if isinstance(cost, list):
            outcome.rejected[index] = cost
            continue
        if errors := check_cost(cost, limits, own_source):
            outcome.rejected[index] = errors
            continue
        key, content = event_key(cost.source, cost.event_id), content_digest(cost)
        first = identified.get(key.int)
        if first is None:
            identified[key.int] = _Identified(index, cost, key, content, [])
        elif first.content == content:
            first.repeats.append(index)
        else:
            outcome.rejected[index] = [CONFLICT]
    return list(identified.values())


def _work_out(identified: Sequence[_Identified], outcome: RecordedCosts, prices: Hashable) -> list[Pending]:
    corrections = [item for item in identified if isinstance(item.cost, Correction)]
    events = [item for item in identified if not isinstance(item.cost, Correction)]
    worked_out = [
        *zip(events, work_out_entries([item.cost for item in events], prices), strict=True),
    ]
    if corrections:
        worked_out += zip(
            corrections,
            work_out_corrections([item.cost for item in corrections if isinstance(item.cost, Correction)]),
            strict=True,
        )
    pending = []
    for item, entry in worked_out:
        if isinstance(entry, FieldError):
            outcome.rejected.update({index: [entry] for index in (item.index, *item.repeats)})
        else:
            cost = item.cost
            pending.append(
                Pending(item.index, cost.source, cost.event_id, item.key, item.content, entry, item.repeats)
            )
    return pending


def _store(
    pending: Sequence[Pending],
    entities: dict[EntityName, int],
    numbers: dict[SeriesName, int],
    outcome: RecordedCosts,
    settlement: Settlement | None,
    savepoint: bool,
    asked: Sequence[Asked],
) -> None:
    now = timezone.now()
    with transaction.atomic(savepoint=savepoint):
        admitted: dict[UUID, Entry] = {}
        refused: dict[UUID, FieldError] = {}
        if corrections := {item.key: item.entry for item in pending if item.entry.corrects}:
            admitted, refused = admit_corrections(corrections)
        # By number, and from here on by place: a UUID takes long to compare and to hash.
        items = sorted([item for item in pending if not refused or item.key not in refused], key=_key_number)
        rows = [
            (item, event, admitted.get(item.key, item.entry) if admitted else item.entry)
            for item, event in zip(items, uuid7_batch(len(items)), strict=True)
        ]
        claimed, (plan,) = insert_ignore_and_ask(
            connection,
            CostEventKey._meta.db_table,
            KEY_COLUMNS,
            KEY_TYPES,
            [(item.key, item.content, event, entry.occurred_at) for item, event, entry in rows],
            "key",
            plan_asked(),
        )
        repeated: list[Pending] = []
        if len(claimed) != len(rows):
            repeated = [item for item in items if item.key not in claimed]
            rows = [row for row in rows if row[0].key in claimed]
        rows.sort(key=_place)
        known = _known([item.key for item in repeated])
        appended = [Appended(event, item.source, item.event_id, now, entry) for item, event, entry in rows]
        outcome.answers = append_entries(appended, entities, numbers, plan_of(plan), settlement, asked)
    for (item, _, _), event in zip(rows, appended, strict=True):
        outcome.accepted[item.index] = event
        outcome.amount += event.entry.base_amount
        outcome.duplicates.update(dict.fromkeys(item.repeats, event.id))
    for item in repeated:
        content, stored = known[item.key]
        for index in (item.index, *item.repeats):
            if content == item.content:
                outcome.duplicates[index] = stored
            else:
                outcome.rejected[index] = [CONFLICT]
    for item in pending if refused else ():
        if error := refused.get(item.key):
            outcome.rejected.update({index: [error] for index in (item.index, *item.repeats)})


def _key_number(item: Pending) -> int:
    return item.key.int


def _place(row: tuple[Pending, UUID, Entry]) -> int:
    return row[0].index


def _known(repeated: Sequence[UUID]) -> dict[UUID, tuple[UUID, UUID]]:
    if not repeated:
        return {}
    rows = CostEventKey.objects.filter(key__in=repeated)
    return {key: (content, event) for key, content, event in rows.values_list("key", "content", "event")}
