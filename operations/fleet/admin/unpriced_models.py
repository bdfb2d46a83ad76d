"""Models that were used without a price: their costs are unknown, and in no sum."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.urls import reverse
from django.utils.http import urlencode

from financial.selectors.entity_spend import UnpricedModel, unpriced_models

from .cells import costs_url

WINDOWS: Final = (7, 30, 90, 365)
DEFAULT: Final = 30
AGENTS_SHOWN: Final = 4


def unpriced_page(days: str, *, now: datetime) -> dict[str, Any]:
    """The context of the page: what was used without a price in the last ``days``."""
    window = int(days) if days in {str(one) for one in WINDOWS} else DEFAULT
    last = now.astimezone(UTC).date()
    first = last - timedelta(days=window - 1)

    def row(model: UnpricedModel) -> dict[str, Any]:
        return {
            "model": model,
            "agents": model.agents[:AGENTS_SHOWN],
            "more_agents": max(0, len(model.agents) - AGENTS_SHOWN),
            "costs_url": costs_url(
                unpriced="yes",
                cost_type=model.cost_type,
                provider=model.provider,
                model=model.model,
                from_=first,
                to=last,
            ),
            "price_url": reverse("admin:financial_priceversion_override")
            + "?"
            + urlencode({"provider": model.provider, "model": model.model})
            if model.model
            else "",
        }

    found = unpriced_models(first=first, last=last)
    return {
        "rows": [row(model) for model in found],
        "events": sum(model.events for model in found),
        "windows": [(one, one == window) for one in WINDOWS],
        "window": window,
    }
