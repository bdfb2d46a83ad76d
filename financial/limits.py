"""The bounds on what is recorded, from the settings."""

from __future__ import annotations

from datetime import datetime
from functools import cache

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from agent_factory_site.common.money import NANO
from financial.domain.cost_rules import Limits


@cache
def _earliest(text: str) -> datetime:
    earliest = parse_datetime(text)
    if earliest is None or earliest.tzinfo is None:
        raise ValueError(f"COST_EARLIEST is not an RFC 3339 time: {text}")
    return earliest


def cost_limits() -> Limits:
    """The bounds on a cost event that arrives now."""
    return Limits(
        earliest=_earliest(settings.COST_EARLIEST),
        latest=timezone.now() + settings.COST_MAX_FUTURE,
        max_amount=settings.COST_MAX_AMOUNT * NANO,
        max_key_length=settings.COST_MAX_KEY_LENGTH,
        max_tags=settings.COST_MAX_TAGS,
        max_entities=settings.COST_MAX_ENTITIES,
    )
