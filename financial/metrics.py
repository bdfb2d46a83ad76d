"""The numbers that the money side publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from agent_factory_site.common.metrics import Number, Point, Sample, register, shared
from agent_factory_site.common.money import to_decimal
from financial.domain.grouping import SERIES_DIMENSIONS
from financial.domain.ranges import EARLIEST, LATEST
from financial.selectors.breakdown import CostBreakdown, CostSums, cost_breakdown
from financial.selectors.price_diff import pending_differences

LABELS: Final = SERIES_DIMENSIONS
Measure = Callable[[CostSums], Number]


def _events(sums: CostSums) -> int:
    return sums.events


def _amount(sums: CostSums) -> Decimal:
    return to_decimal(sums.amount)


def _unpriced(sums: CostSums) -> int:
    return sums.unpriced


@shared
def _totals() -> CostBreakdown:
    return cost_breakdown(start=EARLIEST, end=LATEST, group_by=LABELS, zone=UTC)


def _now(measure: Measure) -> Callable[[], Iterable[Sample]]:
    def current() -> Iterable[Sample]:
        for group in _totals().groups:
            labels = {name: label or "" for name, label in zip(LABELS, group.key, strict=True)}
            yield Sample(labels, measure(group.sums))

    return current


def _past(
    measure: Measure,
) -> Callable[[Mapping[str, str], datetime, datetime, timedelta], Sequence[Point]]:
    def history(
        labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
    ) -> Sequence[Point]:
        """All that occurred before each instant, as the books have it today."""
        filters = {name: [value] for name, value in labels.items()}
        points: list[Point] = []
        total: Number = 0
        since, at = EARLIEST, start
        while at < end:
            sums = cost_breakdown(start=since, end=at, zone=UTC, filters=filters).total
            total = total + measure(sums)  # type: ignore[operator]
            points.append(Point(at, total))
            since, at = at, at + step
        return points

    return history


register(
    name="agent_factory_cost_events_total",
    help="Cost events recorded, by what they are for.",
    unit="events",
    labels=LABELS,
    current=_now(_events),
    history=_past(_events),
    kind="counter",
)
register(
    name="agent_factory_cost_amount",
    help="Costs recorded, net of credits and corrections, in the base currency.",
    unit="",
    labels=LABELS,
    current=_now(_amount),
    history=_past(_amount),
)
register(
    name="agent_factory_cost_unpriced_events",
    help="Cost events that have no price yet, which the amount leaves out.",
    unit="events",
    labels=LABELS,
    current=_now(_unpriced),
    history=_past(_unpriced),
)
register(
    name="agent_factory_price_differences",
    help="Prices in use that the installed catalogue states otherwise, as of the last daily check.",
    unit="differences",
    labels=(),
    current=lambda: [Sample({}, pending_differences())],
)
