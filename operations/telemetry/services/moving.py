"""Costs that were recorded and turned out to be another run's, or to be told twice."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import format_amount
from financial.domain.cost_input import Correction, CostInput, CostItem, event_key
from financial.models import CostAttribution, CostEvent, CostEventKey
from financial.models.cost_event import USAGE_FIELDS
from financial.services.corrections import nets_of
from financial.services.record_costs import record_costs
from operations.telemetry.domain.costs import SOURCE, UNKNOWN

log = logging.getLogger(__name__)

MOVES: Final = 20
"""How often one cost is moved at most."""


class Target(NamedTuple):
    """Where a recorded cost belongs: a run, and the key of its agent's entity; None where it belongs nowhere."""

    run_id: str
    agent: str


def move_costs(targets: Mapping[str, Target | None]) -> set[str]:
    """Correct recorded costs (by event id) to nothing and charge them again where they belong; those moved.

    A charge without a price has nothing to correct and stays where it is: priced later, it counts once.
    Runs in the transaction of the batch, which holds the locks of their traces.
    """
    if not targets:
        return set()
    standing = _standing(targets)
    events = CostEvent.objects.select_related("entity", "series").in_bulk(
        [event for event, _ in standing.values()]
    )
    nets = nets_of(events)
    wanted = [
        (event_id, events[event], number)
        for event_id, (event, number) in sorted(standing.items())
        if event in events and nets[event].amount > 0 and _differs(events[event], targets[event_id])
    ]
    corrections: list[CostItem] = [
        Correction(
            source=SOURCE,
            event_id=f"{_name(event_id, number)}/moved",
            corrects=row.id,
            amount=format_amount(-nets[row.id].amount),
            reason=_reason(targets[event_id]),
        )
        for event_id, row, number in wanted
    ]
    refused = record_costs(costs=list(corrections)).rejected if corrections else {}
    for errors in refused.values():
        log.warning("a cost could not be moved: %s", errors[0].detail)
    entities = _entities([row.id for _, row, _ in wanted])
    charges: list[CostItem] = []
    moved: set[str] = set()
    for index, (event_id, row, number) in enumerate(wanted):
        target = targets[event_id]
        if index in refused:
            continue
        moved.add(event_id)
        if target is not None:
            charges.append(_charge(row, _name(event_id, number + 1), target, entities.get(row.id, {})))
    if charges:
        for errors in record_costs(costs=charges).rejected.values():
            # The correction goes back with everything else: the batch is sent again.
            raise RuntimeError(f"a moved cost was refused: {errors[0].detail}")
    return moved


def _name(event_id: str, number: int) -> str:
    return event_id if number == 1 else f"{event_id}/{number}"


def _standing(event_ids: Collection[str]) -> dict[str, tuple[UUID, int]]:
    """The newest charge of each call, and which one it is."""
    keys = {
        event_key(SOURCE, _name(event_id, number)): (event_id, number)
        for event_id in event_ids
        for number in range(1, MOVES + 1)
    }
    found: dict[str, tuple[UUID, int]] = {}
    ordered = sorted(keys)
    for start in range(0, len(ordered), 5000):
        rows = CostEventKey.objects.filter(key__in=ordered[start : start + 5000])
        for key, event in rows.values_list("key", "event"):
            event_id, number = keys[key]
            if number > found.get(event_id, (event, 0))[1]:
                found[event_id] = event, number
    return {event_id: one for event_id, one in found.items() if one[1] < MOVES}


def _differs(row: CostEvent, target: Target | None) -> bool:
    return target is None or row.run_id != target.run_id or row.entity.key != (target.agent or UNKNOWN)


def _reason(target: Target | None) -> str:
    if target is None:
        return "The same call is told again by a span inside it."
    return f"The call belongs to {target.run_id or 'no run'}."[:500]


def _entities(ids: Collection[UUID]) -> dict[UUID, dict[str, str]]:
    pairs = list(CostAttribution.objects.filter(event__in=ids).values_list("event", "entity_id"))
    names = Entity.objects.in_bulk({entity for _, entity in pairs})
    found: dict[UUID, dict[str, str]] = {}
    for event, entity in pairs:
        found.setdefault(event, {})[names[entity].type] = names[entity].key
    return found


def _charge(row: CostEvent, event_id: str, target: Target, entities: Mapping[str, str]) -> CostInput:
    return msgspec.convert(
        {
            "source": SOURCE,
            "event_id": event_id,
            "occurred_at": row.occurred_at,
            "entity_type": "agent",
            "entity_id": target.agent or UNKNOWN,
            "cost_type": "llm",
            "entities": {kind: key for kind, key in entities.items() if kind != "agent"},
            "provider": row.series.provider,
            "model": row.series.model,
            "service_tier": row.service_tier or "standard",
            "usage": {name: getattr(row, name) for name in USAGE_FIELDS},
            "run_id": target.run_id or None,
            "tags": row.tags,
        },
        CostInput,
    )
