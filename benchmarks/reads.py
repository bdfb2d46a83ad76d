"""Reading: the month of an entity that saw 10^5, 10^6 and 10^7 events, and pages of the list of events.

All of it in-process, as selectors are called by the API. The entity sees every event of its month; the
rows of its rollups lie among those of 190 others. On PostgreSQL the events came in turn from all eight
slots that concurrent writers share, which makes eight times the rollup rows of one writer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection

from financial.selectors.breakdown import cost_breakdown
from financial.selectors.cost_events import CostFilters, cost_event_page
from financial.services.partitions import ensure_partitions

from .outcome import Outcome
from .rounds import interleave, milliseconds, ratio
from .seed import Month, check_seed, month_of, seed

ROUNDS: Final = 15
BREAKDOWN_BAR: Final = 20.0
GROWTH_BAR: Final = 1.3
PAGE_BAR: Final = 10.0
BERLIN: Final = ZoneInfo("Europe/Berlin")
GROUPINGS: Final = (
    ("by day, UTC", ("day",), UTC),
    ("by model, UTC", ("model",), UTC),
    ("by day and model, UTC", ("day", "model"), UTC),
    ("by day, Europe/Berlin", ("day",), BERLIN),
    ("by model, Europe/Berlin", ("model",), BERLIN),
    ("by day and model, Europe/Berlin", ("day", "model"), BERLIN),
)


def main() -> list[Outcome]:
    large = os.environ.get("LARGE") == "1"
    slots = 1 if connection.vendor == "sqlite" else 8
    months = [
        month_of("ten-to-the-5", 5, 10**5, 0, slots),
        month_of("ten-to-the-6", 7, 10**6, 10**8, slots),
    ]
    if large:
        months.append(month_of("ten-to-the-7", 8, 10**7, 2 * 10**8, slots))
    for number in range(1, 13):
        # As after a year of operation: the list of events looks through them all.
        ensure_partitions(extra=datetime(2026, number, 1, tzinfo=UTC))
    for month in months:
        seed(month)
        check_seed(month)
    return [*_breakdowns(months), *_pages(months[-1])]


def _breakdowns(months: list[Month]) -> list[Outcome]:
    found: list[Outcome] = []
    for name, group_by, zone in GROUPINGS:
        taken = interleave({month.name: _breakdown(month, group_by, zone) for month in months}, ROUNDS)
        small, middle = taken[months[0].name], taken[months[1].name]
        found.append(
            Outcome(
                f"a month of 10^6 events {name}",
                median(middle) * 1e3,
                "ms",
                "<=",
                BREAKDOWN_BAR,
                f"{milliseconds(middle)}; 10^5 events {milliseconds(small)}",
            )
        )
        if len(months) > 2:
            large = taken[months[2].name]
            found.append(
                Outcome(
                    f"10^7 against 10^6 events {name}",
                    ratio(large, middle),
                    "x",
                    "<=",
                    GROWTH_BAR,
                    f"10^7 events {milliseconds(large)}",
                )
            )
    return found


def _breakdown(month: Month, group_by: Any, zone: Any) -> Callable[[], object]:
    start, end = (moment.replace(tzinfo=zone) for moment in (month.start, month.end))

    def read() -> object:
        found = cost_breakdown(entity=month.entity, start=start, end=end, group_by=group_by, zone=zone)
        # Berlin is ahead: the first two hours belong to its month and hold none of these events' siblings.
        assert found.total.events >= month.events * 0.99
        return found

    return read


def _pages(month: Month) -> list[Outcome]:
    lists = (
        ("the whole fleet", CostFilters()),
        ("an entity that sees all", CostFilters(entity_type=month.entity[0], entity_id=month.entity[1])),
        ("an agent", CostFilters(entity_type="agent", entity_id="agent-7")),
    )
    places = (
        ("first", month.end),
        ("middle", month.start + (month.end - month.start) / 2),
        ("last", month.start + timedelta(hours=1)),
    )
    reads = {
        f"{place} page of {name}": _page(filters, moment)
        for name, filters in lists
        for place, moment in places
    }
    taken = interleave(reads, ROUNDS)
    return [
        Outcome(
            f"{name}, 50 of 10^{len(str(month.events)) - 1} events",
            median(seconds) * 1e3,
            "ms",
            "<=",
            PAGE_BAR,
            milliseconds(seconds),
        )
        for name, seconds in taken.items()
    ]


def _page(filters: CostFilters, moment: datetime) -> Callable[[], object]:
    """Reading the page at ``moment`` by its cursor."""
    bounded = CostFilters(
        **{name: getattr(filters, name) for name in ("entity_type", "entity_id")}, end=moment
    )
    cursor = cost_event_page(bounded, limit=1, cursor=None).next

    def read() -> object:
        page = cost_event_page(filters, limit=50, cursor=cursor)
        assert len(page.rows) == 50
        return page

    return read
