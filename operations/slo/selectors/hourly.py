"""An SLO hour by hour: where its bad minutes lie."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from agent_factory_site.common.periods import Interval
from operations.slo.domain.counts import Counts, View, sli
from operations.slo.models import EPOCH, bucket_number

from .definitions import Definition
from .window_counts import range_counts

HOUR: Final = timedelta(hours=1)
MOST_HOURS: Final = 93 * 24


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour (UTC): what it counted, and how many bad minutes that comes to, None without data."""

    start: datetime
    counts: Counts
    bad_minutes: Fraction | None


def hours_of(series: int | None, interval: Interval, definition: Definition, view: View) -> list[Hour]:
    """The latest hours that touch ``interval``, with data or without; one query.

    Budgeting minutes, bad minutes are bad slices. Budgeting events, they are the share of bad events times the minutes
    with data: for how long everything would have had to fail to spend as much.
    """
    first, end = _range(interval)
    found = dict(range_counts(series, "hour", first, end)) if series is not None else {}
    return [
        Hour(
            EPOCH + number * HOUR,
            counts := found.get(number, Counts()),
            _bad_minutes(counts, definition, view),
        )
        for number in range(first, end)
    ]


def _range(interval: Interval) -> tuple[int, int]:
    end = bucket_number(interval.end - timedelta(microseconds=1), "hour") + 1
    return max(bucket_number(interval.start, "hour"), end - MOST_HOURS), end


def _bad_minutes(counts: Counts, definition: Definition, view: View) -> Fraction | None:
    level = sli(counts, definition.budgeting, view)
    if level.ratio is None:
        # Hours that are excluded altogether have spent nothing; they are no hours without data.
        return Fraction(0) if level.reason == "all_excluded" else None
    if definition.budgeting == "timeslices":
        return Fraction(level.total - level.good)
    return (1 - level.ratio) * counts.parts("timeslices", view)[1]
