"""Ending a hold: with the cost that came of the call, or without one."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid, NotFound
from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import format_amount
from financial.domain.cost_input import CostInput, UsageInput
from financial.domain.cost_rules import HOLD_SOURCE
from financial.models import Hold, HoldPart
from financial.selectors.holds import HeldPart, held_parts

from .append import Appended
from .budget_spending import Settlement, return_held, settle_without_cost
from .record_costs import CONFLICT, record_costs

_encoder: Final = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """The cost of a call: an ``amount`` with its ``currency``, or its ``usage``.

    What is not said is the hold's: names, and the moment at which it was placed, so that the cost counts
    into the period that admitted it. Source and event id are ``hold`` and the hold's id.
    """

    amount: str | None = None
    currency: str | None = None
    usage: UsageInput | None = None
    provider: str | None = None
    model: str | None = None
    service_tier: str | None = None
    source: str | None = None
    event_id: str | None = None
    occurred_at: datetime | None = None
    run_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """What tells one settlement from another."""
        said = {name: getattr(self, name) for name in self.__slots__}
        return hashlib.sha256(_encoder.encode(said)).hexdigest()


@dataclass(frozen=True, slots=True)
class EndedHold:
    """A hold that ended, and the ledger row it was settled with; ``replayed`` when it had ended so before.

    ``recorded`` is that row itself where it was written just now; ``parts`` what the hold took of which budgets.
    """

    hold: Hold
    event: UUID | None = None
    replayed: bool = False
    recorded: Appended | None = None
    parts: Sequence[HeldPart] = ()


def settle_hold(*, hold_id: UUID | str, owner: str | None, settling: Settling) -> EndedHold:
    """Record what the call cost and return the rest of the hold, in one transaction.

    A cost above the hold is recorded in full; beyond the limit of a hard budget it leaves an overrun row.
    A call without a price keeps the held amount as provisional until it is priced. An expired hold is
    settled all the same: its cost then counts as one without a hold. ``owner`` None may settle any.

    Raises ``Conflict`` for a hold that was released or settled with something else, or an event id that
    stands for another cost; ``Invalid`` for a cost that cannot be recorded; ``NotFound``.
    """
    return retry_conflicts(lambda: _settle(hold_id, owner, settling))


def release_hold(*, hold_id: UUID | str, owner: str | None) -> EndedHold:
    """Give the money of a hold back; again, or after it expired, changes nothing.

    Raises ``Conflict`` for a hold that was settled, ``NotFound``.
    """
    return retry_conflicts(lambda: _release(hold_id, owner))


def find_hold(hold_id: UUID | str, owner: str | None, *, lock: bool = False) -> Hold:
    """The hold, if it is ``owner``'s or ``owner`` is None; ``NotFound`` otherwise."""
    rows = Hold.objects.select_for_update() if lock else Hold.objects.all()
    try:
        hold: Hold | None = rows.filter(pk=UUID(str(hold_id))).first()
    except ValueError:
        hold = None
    if hold is None or (owner is not None and hold.owner != owner):
        raise NotFound("not_found", "There is no such hold.")
    return hold


def _settle(hold_id: UUID | str, owner: str | None, settling: Settling) -> EndedHold:
    digest = settling.digest()
    with transaction.atomic():
        hold = find_hold(hold_id, owner, lock=True)
        if hold.state == Hold.State.RELEASED:
            raise Conflict("hold_released", "This hold was released: record the cost by itself.")
        if hold.state == Hold.State.SETTLED:
            if hold.settlement != digest:
                raise Conflict("hold_settled", "This hold was settled with something else.")
            return EndedHold(hold, hold.event, replayed=True, parts=held_parts([hold.pk])[hold.pk])
        now = timezone.now()
        parts = held_parts([hold.pk])[hold.pk]
        _refuse_other_hold(hold, settling)
        settlement = Settlement(hold.pk, parts, open=hold.state == Hold.State.HELD)
        recorded = record_costs(costs=[_cost(hold, settling)], settlement=settlement)
        if errors := recorded.rejected.get(0):
            raise _refusal(errors)
        if (appended := recorded.accepted.get(0)) is not None:
            hold.event = appended.id
            if appended.entry.unpriced:
                for part in parts:
                    HoldPart.objects.filter(hold=hold.pk, period=part.period).update(provisional=part.amount)
        else:
            # The cost was posted by itself before, and counted then.
            hold.event = recorded.duplicates[0]
            settle_without_cost(settlement, now)
        hold.state, hold.ended_at, hold.settlement = Hold.State.SETTLED.value, now, digest
        hold.save(update_fields=["state", "ended_at", "settlement", "event"])
        record_audit(
            action="settle",
            target_type="financial.Hold",
            target_id=str(hold.pk),
            changes={"event": str(hold.event), "amount": format_amount(recorded.amount)},
        )
    return EndedHold(hold, hold.event, recorded=recorded.accepted.get(0), parts=parts)


def _refuse_other_hold(hold: Hold, settling: Settling) -> None:
    """Refuse the event id of another hold, which would forestall its settlement."""
    if settling.source not in (None, HOLD_SOURCE) or settling.event_id in (None, str(hold.pk)):
        return
    with suppress(ValueError):
        UUID(settling.event_id)
        raise Invalid.field_error(
            "/event_id", "reserved", f'Under the source "{HOLD_SOURCE}" an id of this form is that of a hold.'
        )


def _cost(hold: Hold, settling: Settling) -> CostInput:
    rows = Entity.objects.filter(pk__in=hold.entities).values_list("pk", "type", "key")
    names = {pk: (kind, key) for pk, kind, key in rows}
    own_type, own_key = names.pop(hold.entity_id)
    named = {
        "provider": settling.provider or hold.provider or None,
        "model": settling.model or hold.model or None,
        "service_tier": settling.service_tier or hold.service_tier,
    }
    return msgspec.convert(
        {
            "source": settling.source or HOLD_SOURCE,
            "event_id": settling.event_id or str(hold.pk),
            "occurred_at": settling.occurred_at or hold.created_at,
            "entity_type": own_type,
            "entity_id": own_key,
            "entities": dict(names.values()),
            "cost_type": hold.cost_type,
            "usage": None if settling.usage is None else msgspec.structs.asdict(settling.usage),
            "amount": settling.amount,
            "currency": settling.currency,
            "run_id": settling.run_id,
            "tags": {**hold.tags, **settling.tags},
            **named,
        },
        CostInput,
    )


def _refusal(errors: list[FieldError]) -> Invalid | Conflict:
    if errors == [CONFLICT]:
        return Conflict("event_conflict", CONFLICT.detail, [CONFLICT])
    return Invalid.fields(*errors)


def _release(hold_id: UUID | str, owner: str | None) -> EndedHold:
    with transaction.atomic():
        hold = find_hold(hold_id, owner, lock=True)
        if hold.state == Hold.State.SETTLED:
            raise Conflict("hold_settled", "This hold was settled: correct or credit its cost instead.")
        parts = held_parts([hold.pk])[hold.pk]
        if hold.state != Hold.State.HELD:
            return EndedHold(hold, replayed=True, parts=parts)
        hold.state, hold.ended_at = Hold.State.RELEASED.value, timezone.now()
        hold.save(update_fields=["state", "ended_at"])
        return_held(parts, hold.ended_at)
        record_audit(action="release", target_type="financial.Hold", target_id=str(hold.pk))
    return EndedHold(hold, parts=parts)
