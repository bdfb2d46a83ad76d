"""Charging what runs say that they used: through the hold that was set aside for it, or by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
from django.db import transaction

from agent_factory_site.common.db.prepared import Asked
from agent_factory_site.common.errors import Conflict, FieldError, Invalid, NotFound
from agent_factory_site.common.money import parse_amount
from financial.domain.cost_input import CostInput
from financial.models import Hold
from financial.services.entries import work_out_entries
from financial.services.hold_settling import Settling, find_hold, release_hold, settle_hold
from financial.services.record_costs import record_costs
from operations.fleet.domain.run_input import CallCost

from .agents import AGENT, KnownAgent
from .charge_names import RUNS

Charged = Literal["recorded", "settled", "elsewhere"]
"""Recorded by itself, as the settlement of its hold, or not: the hold was settled with something else."""


def cost_of(
    *,
    call: CallCost,
    event_id: str,
    occurred_at: datetime,
    run_id: str,
    agent: KnownAgent,
    entities: Mapping[str, str],
    cost_type: Literal["llm", "tool", "other"] = "llm",
    source: str = RUNS,
) -> CostInput:
    """The cost that a call is charged with."""
    return CostInput(
        source=source,
        event_id=event_id,
        occurred_at=occurred_at,
        entity_type=AGENT,
        entity_id=agent.entity_key,
        entities=dict(entities),
        cost_type=cost_type,
        provider=call.provider,
        model=call.model,
        service_tier=call.service_tier,
        usage=call.usage,
        amount=call.amount,
        currency=call.currency,
        run_id=run_id,
    )


def worth_of(costs: Sequence[CostInput]) -> list[int | None]:
    """What costs would be charged, in nano-units of the base currency; None without a price."""
    if not costs:
        return []
    entries = work_out_entries(costs)
    return [None if isinstance(one, FieldError) or one.unpriced else one.base_amount for one in entries]


def settle_with_cost(*, hold_id: UUID, owner: str | None, cost: CostInput) -> Charged:
    """Charge ``cost`` as the settlement of a hold; by itself where there is no such hold, or it was released.

    ``owner`` is whose the hold has to be; None: anybody's. A hold that was settled with another cost says that
    the call was charged already: nothing is. Raises :class:`Invalid` for a cost that cannot be recorded.
    """
    settling = Settling(
        amount=cost.amount,
        currency=cost.currency,
        usage=cost.usage,
        provider=cost.provider,
        model=cost.model,
        service_tier=cost.service_tier,
        source=cost.source,
        event_id=cost.event_id,
        occurred_at=cost.occurred_at,
        run_id=cost.run_id,
        tags=cost.tags,
    )
    try:
        with transaction.atomic():
            settle_hold(hold_id=hold_id, owner=owner, settling=settling)
        return "settled"
    except NotFound:
        pass
    except Conflict as refusal:
        if refusal.code == "hold_settled":
            return "elsewhere"
        if refusal.code != "hold_released":
            raise
    charge(cost)
    return "recorded"


def charge(
    cost: CostInput, *, savepoint: bool = True, prices: Hashable = ..., asked: Sequence[Asked] = ()
) -> list[list[tuple[Any, ...]]]:
    """Record one cost by itself; raises :class:`Invalid` naming what is wrong with it.

    ``savepoint``, ``prices``, ``asked`` and the answers are those of :func:`record_costs`.
    """
    recorded = record_costs(costs=[cost], savepoint=savepoint, prices=prices, asked=asked)
    if errors := recorded.rejected.get(0):
        raise Invalid.fields(*errors)
    return recorded.answers


def is_settled(hold_id: UUID | None) -> bool:
    """Whether a hold was settled already."""
    if hold_id is None:
        return False
    with suppress(NotFound):
        return find_hold(hold_id, None).state == Hold.State.SETTLED
    return False


def give_back(*, hold_id: UUID | None, owner: str | None) -> None:
    """Release a hold that nothing settles any more, if there is one and it is still open."""
    if hold_id is not None:
        with suppress(NotFound, Conflict), transaction.atomic():
            release_hold(hold_id=hold_id, owner=owner)


def digest(said: msgspec.Struct) -> str:
    """What tells one request from another."""
    return hashlib.sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()


def nano(amount: str | None) -> int | None:
    """Nano-units of an amount that was checked."""
    return None if amount is None else parse_amount(amount)
