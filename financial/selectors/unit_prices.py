"""Which unit price holds for a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from agent_factory_site.common.errors import NotFound
from financial.models import UnitPrice


@dataclass(frozen=True, slots=True)
class Measured:
    """What a quantity is of, and when."""

    cost_type: str
    provider: str
    model: str
    unit: str
    at: datetime


def find_unit_prices(wanted: Sequence[Measured]) -> list[UnitPrice | None]:
    """The unit price of each, in one query: of this provider and model before of any."""
    if not wanted:
        return []
    rows = UnitPrice.objects.filter(
        cost_type__in={item.cost_type for item in wanted},
        unit__in={item.unit for item in wanted},
        archived_at=None,
    )
    by_name: dict[tuple[str, str, str, str], list[UnitPrice]] = {}
    for row in rows:
        by_name.setdefault((row.cost_type, row.provider, row.model, row.unit), []).append(row)
    return [_best(item, by_name) for item in wanted]


def _best(item: Measured, by_name: dict[tuple[str, str, str, str], list[UnitPrice]]) -> UnitPrice | None:
    for provider, model in (
        (item.provider, item.model),
        ("", item.model),
        (item.provider, ""),
        ("", ""),
    ):
        for row in by_name.get((item.cost_type, provider, model, item.unit), ()):
            if row.valid_from <= item.at and (row.valid_to is None or item.at < row.valid_to):
                return row
    return None


def list_unit_prices(
    *,
    cost_type: str = "",
    provider: str | None = None,
    model: str | None = None,
    unit: str = "",
    at: datetime | None = None,
    archived: bool = False,
) -> QuerySet[UnitPrice]:
    """Unit prices, the newest first; ``at`` keeps those whose interval holds that moment.

    An empty ``provider`` or ``model`` keeps the prices that hold for any. Archived ones are left out
    unless ``archived``.
    """
    rows: QuerySet[UnitPrice] = UnitPrice.objects.order_by("-id")
    if cost_type:
        rows = rows.filter(cost_type=cost_type)
    if provider is not None:
        rows = rows.filter(provider=provider)
    if model is not None:
        rows = rows.filter(model=model)
    if unit:
        rows = rows.filter(unit=unit)
    if at is not None:
        rows = rows.filter(Q(valid_to=None) | Q(valid_to__gt=at), valid_from__lte=at)
    return rows if archived else rows.filter(archived_at=None)


def get_unit_price(price_id: UUID | str) -> UnitPrice:
    """One unit price, archived or not; :class:`NotFound` when there is none."""
    try:
        row: UnitPrice = UnitPrice.objects.get(pk=price_id)
    except (UnitPrice.DoesNotExist, ValidationError, ValueError):
        raise NotFound("not_found", "There is no such unit price.") from None
    return row


def unit_price_siblings(price: UnitPrice) -> QuerySet[UnitPrice]:
    """All prices of the same names, archived ones too, the latest start first."""
    rows: QuerySet[UnitPrice] = UnitPrice.objects.filter(
        cost_type=price.cost_type, provider=price.provider, model=price.model, unit=price.unit
    )
    return rows.order_by("-valid_from", "-id")
