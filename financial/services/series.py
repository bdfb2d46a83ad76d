"""Series numbers: one per combination of cost type, provider, model and currency."""

from __future__ import annotations

from collections.abc import Collection

from django.db import models

from agent_factory_site.common.caching import CommittedCache
from financial.models import CostSeries

SeriesName = tuple[str, str, str, str]
"""Cost type, provider, model, currency."""

_ids: CommittedCache[SeriesName, int] = CommittedCache()


def resolve_series(names: Collection[SeriesName]) -> dict[SeriesName, int]:
    """Primary keys of all ``names``, created where new."""
    found = _ids.get_many(names)
    missing = sorted(name for name in set(names) if name not in found)
    if not missing:
        return found
    stored = _stored(missing)
    new = [name for name in missing if name not in stored]
    if new:
        CostSeries.objects.bulk_create(
            [
                CostSeries(cost_type=cost_type, provider=provider, model=model, currency=currency)
                for cost_type, provider, model, currency in new
            ],
            ignore_conflicts=True,
        )
        stored.update(_stored(new))
    _ids.put_on_commit(stored)
    found.update(stored)
    return found


def _stored(names: Collection[SeriesName]) -> dict[SeriesName, int]:
    found: dict[SeriesName, int] = {}
    ordered = list(names)
    for start in range(0, len(ordered), 200):
        wanted = models.Q()
        for cost_type, provider, model, currency in ordered[start : start + 200]:
            wanted |= models.Q(cost_type=cost_type, provider=provider, model=model, currency=currency)
        for row in CostSeries.objects.filter(wanted):
            found[(row.cost_type, row.provider, row.model, row.currency)] = row.pk
    return found
