"""How fresh the ledger is."""

from __future__ import annotations

from datetime import datetime

from financial.models import CostEvent


def last_recorded_at() -> datetime | None:
    """When the latest ledger row was recorded, None for an empty ledger; one lookup, by id."""
    return CostEvent.objects.order_by("-id").values_list("recorded_at", flat=True).first()
