"""What a caller may say of a hold, and of the cost that ends it, decoded and checked."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from agent_factory_site.common.errors import FieldError

from .cost_input import CostInput, CostType, Quantity, ServiceTier, UsageInput, decode_struct, pointer
from .cost_rules import HOLD_SOURCE, Limits, check_cost

MAX_EXPIRES_IN: Final = 86_400
_FORMS: Final = "Give an amount, or the usage or max_tokens of a provider's model."
_SETTLING_FORMS: Final = "Give an amount with its currency, or the usage of the call."


class HoldInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A call that is about to be made, and the ``amount`` to set aside for it, or what it will use at most.

    ``max_tokens`` is the longest answer there may be, ``expires_in`` seconds the longest the call may take.
    """

    entity_type: str
    entity_id: str
    cost_type: CostType
    entities: dict[str, str] = {}
    provider: str | None = None
    model: str | None = None
    service_tier: ServiceTier = "standard"
    tags: dict[str, str] = {}
    amount: str | None = None
    currency: str | None = None
    usage: UsageInput | None = None
    max_tokens: Quantity | None = None
    expires_in: Annotated[int, Meta(ge=1, le=MAX_EXPIRES_IN)] = 300


class SettleInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the call of a hold came to: an ``amount`` with its ``currency``, or its ``usage``.

    What is left out is the hold's. ``tags`` come on top of the hold's own.
    """

    amount: str | None = None
    currency: str | None = None
    usage: UsageInput | None = None
    provider: str | None = None
    model: str | None = None
    service_tier: ServiceTier | None = None
    event_id: str | None = None
    source: str | None = None
    occurred_at: Annotated[datetime, Meta(tz=True)] | None = None
    run_id: str | None = None
    tags: dict[str, str] = {}


_hold_decoder: Final = msgspec.json.Decoder(HoldInput)
_settle_decoder: Final = msgspec.json.Decoder(SettleInput)


def decode_hold(raw: bytes) -> HoldInput | list[FieldError]:
    """A hold from its JSON text, or every field that is wrong with it."""
    return decode_struct(raw, _hold_decoder, "A hold")


def decode_settling(raw: bytes) -> SettleInput | list[FieldError]:
    """The end of a hold from its JSON text, or every field that is wrong with it."""
    settling = decode_struct(raw, _settle_decoder, "A settlement")
    if isinstance(settling, SettleInput) and settling.amount is None and settling.usage is None:
        return [FieldError("/amount", "required", _SETTLING_FORMS)]
    return settling


def check_hold(hold: HoldInput, base: str, limits: Limits) -> list[FieldError]:
    """What a well-formed hold still gets wrong: it has the names, tags and amounts that a cost may have."""
    errors: list[FieldError] = []
    by_use = hold.usage is not None or hold.max_tokens is not None
    if hold.amount is None and not by_use:
        errors.append(FieldError("/amount", "required", _FORMS))
    for name in ("usage", "max_tokens"):
        if hold.amount is not None and getattr(hold, name) is not None:
            errors.append(FieldError(pointer(name), "contradiction", _FORMS))
    if hold.currency is not None and hold.amount is None and by_use:
        errors.append(
            FieldError("/currency", "contradiction", f"What usage may cost is worked out in {base}.")
        )
    priced = by_use and hold.amount is None
    cost = CostInput(
        source=HOLD_SOURCE,
        event_id=HOLD_SOURCE,
        occurred_at=limits.latest,
        entity_type=hold.entity_type,
        entity_id=hold.entity_id,
        cost_type=hold.cost_type,
        entities=hold.entities,
        provider=hold.provider,
        model=hold.model,
        service_tier=hold.service_tier,
        tags=hold.tags,
        usage=hold.usage or UsageInput() if by_use else None,
        amount=None if priced else "0" if hold.amount is None else hold.amount,
        currency=None if priced else base if hold.currency is None else hold.currency,
    )
    return errors + check_cost(cost, limits, HOLD_SOURCE)
