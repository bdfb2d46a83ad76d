"""The bounds on what is recorded, from the settings."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from agent_factory_site.common.money import NANO
from financial.domain.cost_rules import Limits


def cost_limits() -> Limits:
    """The bounds on a cost event that arrives now."""
    return Limits(
        earliest=settings.COST_EARLIEST,
        latest=timezone.now() + settings.COST_MAX_FUTURE,
        max_amount=settings.COST_MAX_AMOUNT * NANO,
        max_key_length=settings.COST_MAX_KEY_LENGTH,
        max_tags=settings.COST_MAX_TAGS,
        max_entities=settings.COST_MAX_ENTITIES,
    )
