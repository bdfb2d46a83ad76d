"""The open holds of a budget."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from financial.models import Budget, Hold, HoldPart

from .holds import open_holds


def holds_of_budget(rows: QuerySet[Hold], budget: Budget, entity_id: str | None = None) -> QuerySet[Hold]:
    """Those of ``rows`` that take of ``budget``, or of one allowance of it."""
    parts = HoldPart.objects.filter(hold=OuterRef("pk"), period__budget=budget)
    if entity_id is not None:
        parts = parts.filter(period__entity__key=entity_id)
    return rows.filter(Exists(parts))


def open_holds_of(budget: Budget, *, entity_id: str | None = None) -> QuerySet[Hold]:
    """The open holds that take of ``budget``, the next to expire first."""
    rows = holds_of_budget(open_holds(None), budget, entity_id)
    return rows.select_related("entity").order_by("expires_at", "id")
