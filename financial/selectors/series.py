"""Names of series by number; a series never changes, so they are kept in memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from agent_factory_site.common.caching import CommittedCache
from financial.models import CostSeries


@dataclass(frozen=True, slots=True)
class SeriesNames:
    """What a series number stands for; empty strings where an event has none."""

    cost_type: str
    provider: str
    model: str
    currency: str


_names: CommittedCache[int, SeriesNames] = CommittedCache()


def series_by_id(numbers: Collection[int]) -> dict[int, SeriesNames]:
    """The names of ``numbers``."""
    found = _names.get_many(numbers)
    missing = [number for number in numbers if number not in found]
    if missing:
        stored = {
            row.pk: SeriesNames(row.cost_type, row.provider, row.model, row.currency)
            for row in CostSeries.objects.filter(pk__in=missing)
        }
        _names.put_on_commit(stored)
        found.update(stored)
    return found


def series_labels(name: Literal["cost_type", "provider", "model"], limit: int = 500) -> list[str]:
    """The providers, models or cost types that occur on the ledger, in alphabetical order."""
    rows = CostSeries.objects.exclude(**{name: ""}).order_by(name).values_list(name, flat=True).distinct()
    return list(rows[:limit])
