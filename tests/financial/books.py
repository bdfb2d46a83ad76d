"""Do the books agree? Rollups against rows, rows against their parts."""

from __future__ import annotations

from collections import defaultdict

from agent_factory_site.common.models import Entity
from financial.models import CostAttribution, CostEvent, CostEventKey, CostRollupDay, CostRollupQuarter
from financial.models.cost_event import USAGE_FIELDS

MEASURES = ("events", "unpriced", "amount", "base_amount", *USAGE_FIELDS)


def assert_books_agree() -> None:
    """Every rollup equals the sum of the rows behind it, every row has its key, parts sum to amounts."""
    fleet = Entity.objects.filter(type="*", key="*").values_list("pk", flat=True).first()
    events = {event.id: event for event in CostEvent.objects.all()}
    assert set(CostEventKey.objects.values_list("event", flat=True)) == set(events)
    seen_by = defaultdict(list)
    for event, entity, occurred_at in CostAttribution.objects.values_list(
        "event", "entity_id", "occurred_at"
    ):
        assert events[event].occurred_at == occurred_at
        seen_by[event].append(entity)
    assert set(seen_by) == set(events)
    for model, seconds in ((CostRollupQuarter, 900), (CostRollupDay, 86_400)):
        expected: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0] * len(MEASURES))
        for event in events.values():
            assert not event.parts or sum(event.parts.values()) == event.amount
            assert event.entity_id in seen_by[event.id]
            values = [int(event.kind == "charge"), event.unpriced, event.amount, event.base_amount]
            values += [getattr(event, name) for name in USAGE_FIELDS]
            for entity in (*seen_by[event.id], fleet):
                sums = expected[(entity, int(event.occurred_at.timestamp()) // seconds, event.series_id)]
                for index, value in enumerate(values):
                    sums[index] += value
        actual: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0] * len(MEASURES))
        for row in model.objects.values_list("entity_id", "bucket", "series_id", *MEASURES):
            sums = actual[row[:3]]
            for index, value in enumerate(row[3:]):
                sums[index] += value
        assert dict(actual) == dict(expected)
