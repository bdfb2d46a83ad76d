"""From what a caller says of a hold to what is set aside for it."""

from __future__ import annotations

import msgspec
from django.conf import settings
from django.utils import timezone

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.money import NANO, parse_amount
from financial.domain.hold_input import HoldInput, check_hold
from financial.limits import cost_limits

from .hold_amounts import highest_amount
from .holds import HoldRequest


def hold_request(*, hold: HoldInput, owner: str, idempotency_key: str, fingerprint: str) -> HoldRequest:
    """What ``hold`` asks for, checked, with its amount worked out where it tells its usage.

    Raises ``Invalid`` naming every bad field, also for a model without a price.
    """
    base: str = settings.BASE_CURRENCY
    limits = cost_limits()
    if errors := check_hold(hold, base, limits):
        raise Invalid.fields(*errors)
    if hold.amount is not None:
        amount = parse_amount(hold.amount)
    else:
        usage = {} if hold.usage is None else msgspec.structs.asdict(hold.usage)
        amount = highest_amount(
            provider=hold.provider or "",
            model=hold.model or "",
            usage=usage,
            max_tokens=hold.max_tokens,
            at=timezone.now(),
        )
        if amount > limits.max_amount:
            raise Invalid.field_error(
                "/usage" if hold.usage else "/max_tokens",
                "too_large",
                f"This may cost more than {limits.max_amount // NANO} {base}.",
            )
    return HoldRequest(
        owner=owner,
        entity=(hold.entity_type, hold.entity_id),
        amount=amount,
        currency=hold.currency or base,
        cost_type=hold.cost_type,
        entities=hold.entities,
        provider=hold.provider or "",
        model=hold.model or "",
        service_tier=hold.service_tier,
        tags=hold.tags,
        expires_in=hold.expires_in,
        idempotency_key=idempotency_key,
        fingerprint=fingerprint,
    )
