"""Costs that were recorded and turned out to be another run's, or to be told twice."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import format_amount
from financial.domain.cost_input import Correction, CostInput, CostItem, event_key
from financial.domain.cost_rules import RESERVED_SOURCES
from financial.models import CostAttribution, CostEvent, CostEventKey
from financial.models.cost_event import USAGE_FIELDS
from financial.services.record_costs import record_costs
from financial.services.voids import void_charges
from operations.fleet.models import Step, span_step_key
from operations.telemetry.domain.costs import SOURCE, UNKNOWN

from .charging import RETRY, Due, put_off

log = logging.getLogger(__name__)

MOVES: Final = 20
"""How often one cost is moved at most."""


class Target(NamedTuple):
    """Where a recorded cost belongs: a run, and the key of its agent's entity; None where it belongs nowhere."""

    run_id: str
    agent: str


def move_costs(targets: Mapping[str, Target | None], now: datetime) -> set[str]:
    """Take recorded costs (by event id) back and charge them again where they belong; those moved.

    Money, tokens and what has no price follow alike, and so do corrections that were made by hand. What the
    ledger refuses to charge again waits to be tried again. Runs in the transaction of the batch, which holds the
    locks of their traces.
    """
    if not targets:
        return set()
    standing = _standing(targets)
    events = CostEvent.objects.select_related("entity", "series").in_bulk(
        [event for event, _ in standing.values()]
    )
    wanted = {
        event_id: (events[event], number)
        for event_id, (event, number) in sorted(standing.items())
        if event in events and _differs(events[event], targets[event_id])
    }
    by_hand, entities = _by_hand(wanted), _entities([row.id for row, _ in wanted.values()])
    voided = void_charges(reasons={row.id: _reason(targets[one]) for one, (row, _) in wanted.items()})
    moved = {event_id: one for event_id, one in wanted.items() if one[0].id in voided}
    charges: dict[str, CostInput] = {}
    for event_id, (row, number) in moved.items():
        if (target := targets[event_id]) is not None:
            name = _name(event_id, number + 1)
            charges[event_id] = _charge(row, name, target, entities.get(row.id, {}))
    if charges:
        outcome = record_costs(costs=list(charges.values()))
        names = list(charges)
        for index, errors in outcome.rejected.items():
            log.warning("the ledger refused a moved cost, %s: %s", names[index], errors[0].detail)
        put_off([_due(names[index], charges[names[index]]) for index in outcome.rejected], now + RETRY)
        again = {names[index]: recorded.id for index, recorded in outcome.accepted.items()}
        _correct_again(by_hand, again)
    _tell_steps({event_id: charges.get(event_id) for event_id in moved})
    return set(moved)


def _place(event_id: str) -> tuple[bytes, bytes]:
    """The trace and the span whose call an event charges."""
    trace_id, span_id = (bytes.fromhex(part) for part in event_id.split("-"))
    return trace_id, span_id


def _due(event_id: str, cost: CostInput) -> Due:
    trace_id, span_id = _place(event_id)
    return Due(span_step_key(trace_id, span_id), trace_id, cost, "")


def _by_hand(wanted: Mapping[str, tuple[CostEvent, int]]) -> dict[str, list[CostEvent]]:
    """The corrections of charges that somebody made, in their order."""
    names = {row.id: event_id for event_id, (row, _) in wanted.items()}
    rows = CostEvent.objects.filter(corrects__in=list(names)).exclude(source__in=RESERVED_SOURCES)
    found: dict[str, list[CostEvent]] = {}
    for row in rows.order_by("recorded_at", "id"):
        assert row.corrects is not None
        found.setdefault(names[row.corrects], []).append(row)
    return found


def _correct_again(by_hand: Mapping[str, Sequence[CostEvent]], charges: Mapping[str, UUID]) -> None:
    corrections: list[CostItem] = [
        Correction(
            source=SOURCE,
            event_id=f"{charges[event_id]}/{row.id}",
            corrects=charges[event_id],
            amount=format_amount(row.amount),
            reason=row.reason,
        )
        for event_id, rows in sorted(by_hand.items())
        for row in rows
        if event_id in charges
    ]
    for errors in record_costs(costs=corrections).rejected.values() if corrections else ():
        # At another price there may be less to take away.
        log.warning("a correction could not follow its cost: %s", errors[0].detail)


def _tell_steps(charges: Mapping[str, CostInput | None]) -> None:
    """Have steps name the charge that stands for them now, or none."""
    for event_id, charge in sorted(charges.items()):
        step = Step.objects.filter(pk=span_step_key(*_place(event_id)))
        if charge is None:
            step.update(charged=False, cost_key=None)
        else:
            step.update(cost_key=event_key(charge.source, charge.event_id))


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
