"""Which unit price holds for a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
