"""What clients say that runs cost, beside what they were charged."""

from __future__ import annotations

from datetime import UTC
from typing import Final

from django.conf import settings

from financial.selectors.exchange import find_exchanges
from operations.fleet.models import Run

CURRENCY: Final = "USD"
"""Of all that clients report by themselves."""


def reported_difference(run: Run) -> int | None:
    """What clients say that a run cost less what it was charged, in nano-units of the base currency.

    None where they say nothing, where the cost is not known, or where its day has no rate.
    """
    if run.reported_cost is None or not run.costs or run.unpriced:
        return None
    if settings.BASE_CURRENCY == CURRENCY:
        return run.reported_cost - run.cost
    place = CURRENCY, run.started_at.astimezone(UTC).date()
    exchange = find_exchanges([place]).get(place)
    return None if exchange is None else exchange.convert(run.reported_cost) - run.cost
