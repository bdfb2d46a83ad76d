"""How a service level went: its level, burn and bad minutes by steps of time, and its budget as it was at each.

A step is one bucket, or several; it begins with a whole one (UTC). The budget at the end of a step is that of the
window that ended there: what the window before the first step had is read as a whole, what each step adds and, for a
rolling window, what leaves it at the other end are read by buckets.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import numpy as np
from django.utils import timezone

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.periods import Interval
from operations.slo.domain.budget import Adjustment, Budget, budget_of
from operations.slo.domain.burn_alerts import burn_rate
from operations.slo.domain.counts import COUNT_FIELDS, Counts, View, sli
from operations.slo.domain.exclusions import excluded
from operations.slo.domain.histogram import EMPTY, Histogram, decode, merge
from operations.slo.domain.kept import hours_from, minutes_from
from operations.slo.domain.tiling import WIDTH, Tier, ceil_to, floor_to
from operations.slo.domain.windows import MINUTE, RollingWindow, Window, format_duration, window_at
from operations.slo.models import EPOCH, TIERS, BudgetAdjustment, Slo, SloDay, bucket_number

from .definitions import Definition, definition_of
from .exclusion_minutes import windows_of
from .slo_series import find_series, whole_series
from .window_counts import Numbers, tilings_of, window_counts

MOST_POINTS: Final = 500
STEPS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080)
)
QUANTILES: Final = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One step ``[start, end)``; what is not known is None.

    ``budget`` is that of the window that ends with the step, which had ``windowed``; ``burn`` is how many times too
    fast the step spent it.
    ``bad_minutes`` is None where minutes are not judged. ``quantiles`` are of values, in the order of ``QUANTILES``.
    """

    start: datetime
    end: datetime
    counts: Counts
    good: int
    total: int
    sli: Fraction | None
    burn: Fraction | None
    minutes: int
    bad_minutes: int | None
    budget: Budget
    windowed: Counts
    target: Fraction
    quantiles: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Steps of a time, oldest first; ``note`` says where it is coarser than was asked for."""

    slo: Slo
    labels: dict[str, str]
    view: View
    definition: Definition
    interval: Interval
    step: timedelta
    points: tuple[HistoryPoint, ...]
    note: str


def slo_history(
    slo: Slo,
    labels: Mapping[str, str] | None = None,
    *,
    start: datetime,
    end: datetime,
    step: timedelta | None = None,
    view: View = "after",
    quantiles: bool = False,
    window: Window | None = None,
) -> History:
    """How ``slo`` went from ``start`` to ``end``, for all events or the group of exactly these labels.

    Without ``step`` the shortest that makes at most 500 points; ``window`` takes the place of the SLO's own. Raises
    :class:`Invalid` for more points, or for a step that is not of whole minutes, hours or days.
    """
    definition = definition_of(slo)
    row = find_series(slo, labels or {})
    end = min(end, timezone.now())
    chosen, note = _step(start, end, step)
    interval = Interval(_floor(start, chosen), _ceil(end, chosen))
    tier = _tier(chosen)
    count = interval.duration // chosen
    number = None if row is None else row.pk
    steps = _buckets(number, tier, interval, chosen)
    windows, trailing = _windowed(number, window or definition.window, interval, chosen, tier, steps)
    if trailing:
        note = f"{note} {trailing}".strip()
    values = _histograms(number, tier, interval, chosen) if quantiles and number is not None else {}
    adjustments = (
        list(BudgetAdjustment.objects.filter(slo=slo, at__gte=windows[0][0].start, at__lt=interval.end))
        if windows
        else []
    )
    adjustments = [one for one in adjustments if one.labels == dict(labels or {})]
    off = _excluded(slo, windows)
    points = []
    for place in range(count):
        begin = interval.start + place * chosen
        ending, counts = windows[place]
        windowed = Counts(*counts.tolist())
        points.append(
            _point(
                Interval(begin, begin + chosen),
                Counts(*steps[place].tolist()),
                definition,
                view,
                slo,
                windowed,
                budget_of(
                    windowed,
                    target=definition.target,
                    budgeting=definition.budgeting,
                    window_minutes=ending.duration // MINUTE,
                    excluded_minutes=off.within(ending),
                    adjustments=[
                        Adjustment(one.events, one.minutes)
                        for one in adjustments
                        if ending.start <= one.at < min(ending.end, begin + chosen)
                    ],
                    view=view,
                ),
                values.get(place, EMPTY) if quantiles else None,
            )
        )
    return History(slo, dict(labels or {}), view, definition, interval, chosen, tuple(points), note)


def daily_levels(
    slos: Iterable[Slo], at: datetime | None = None, days: int = 30
) -> dict[UUID, list[float | None]]:
    """The level of each of the last UTC days, the oldest first, None without data: what a list shows as a trend."""
    some = list(slos)
    series = whole_series(some)
    last = bucket_number(at or timezone.now(), "day")
    budgeting = {slo.pk: definition_of(slo).budgeting for slo in some}
    found: dict[UUID, list[float | None]] = {slo.pk: [None] * days for slo in some}
    owners = {number: slo for slo, number in series.items()}
    rows = SloDay.objects.filter(series__in=owners, bucket__gt=last - days, bucket__lte=last)
    for number, day, *counts in rows.values_list("series_id", "bucket", *COUNT_FIELDS):
        slo = owners[number]
        level = sli(Counts(*counts), budgeting[slo]).ratio
        found[slo][day - last + days - 1] = None if level is None else float(level)
    return found


def _point(
    interval: Interval,
    counts: Counts,
    definition: Definition,
    view: View,
    slo: Slo,
    windowed: Counts,
    budget: Budget,
    values: Histogram | None,
) -> HistoryPoint:
    level = sli(counts, definition.budgeting, view)
    bad = counts.bad_slices - (counts.excluded_bad_slices if view == "after" else 0)
    return HistoryPoint(
        start=interval.start,
        end=interval.end,
        counts=counts,
        good=level.good,
        total=level.total,
        sli=level.ratio,
        burn=burn_rate(level.error_ratio, definition.target),
        minutes=counts.slices,
        bad_minutes=None if slo.sli.slice_target is None else bad,
        budget=budget,
        windowed=windowed,
        target=definition.target,
        quantiles=() if values is None else tuple(values.quantile(q) for q in QUANTILES),
    )


def _step(start: datetime, end: datetime, asked: timedelta | None) -> tuple[timedelta, str]:
    if start >= end:
        raise Invalid.field_error("?start", "out_of_range", "Comes before end, and before now.")
    now = timezone.now()
    least = (
        timedelta(days=1)
        if start < hours_from(now)
        else timedelta(hours=1)
        if start < minutes_from(now)
        else MINUTE
    )
    fitting = [one for one in STEPS if one >= least and _points(start, end, one) <= MOST_POINTS]
    if asked is None:
        if not fitting:
            raise Invalid.field_error("?start", "out_of_range", "Is too long ago for steps of a week.")
        return fitting[0], ""
    if asked < MINUTE or asked % _width(asked):
        raise Invalid.field_error("?step", "bad_step", "Is a whole number of minutes, hours or days.")
    chosen = max(asked, least)
    if _points(start, end, chosen) > MOST_POINTS:
        detail = f"Makes more than {MOST_POINTS} points: ask for a longer one, or for less time."
        raise Invalid.field_error("?step", "too_many", detail)
    note = (
        ""
        if chosen == asked
        else (
            f"Steps are {format_duration(chosen)}: {format_duration(asked)} is no longer kept that far back."
        )
    )
    return chosen, note


def _width(step: timedelta) -> timedelta:
    return WIDTH[_tier(step)]


def _tier(step: timedelta) -> Tier:
    tier: Tier
    for tier in ("day", "hour"):
        if step % WIDTH[tier] == timedelta(0):
            return tier
    return "minute"


def _points(start: datetime, end: datetime, step: timedelta) -> int:
    return (_ceil(end, step) - _floor(start, step)) // step


def _floor(instant: datetime, step: timedelta) -> datetime:
    return instant - (instant - EPOCH) % step


def _ceil(instant: datetime, step: timedelta) -> datetime:
    floor = _floor(instant, step)
    return floor if floor == instant else floor + step


def _buckets(series: int | None, tier: Tier, interval: Interval, step: timedelta) -> Numbers:
    """The sums of each step."""
    sums = np.zeros((interval.duration // step, len(COUNT_FIELDS)), dtype=np.int64)
    first, per = bucket_number(interval.start, tier), step // WIDTH[tier]
    rows: Any = (
        TIERS[tier]
        ._default_manager.filter(
            series_id=series, bucket__gte=first, bucket__lt=bucket_number(interval.end, tier)
        )
        .values_list("bucket", *COUNT_FIELDS)
    )
    found = np.array(list(rows) if series is not None else [], dtype=np.int64)
    if found.size:
        np.add.at(sums, (found[:, 0] - first) // per, found[:, 1:])
    return sums


def _histograms(series: int, tier: Tier, interval: Interval, step: timedelta) -> dict[int, Histogram]:
    first, per = bucket_number(interval.start, tier), step // WIDTH[tier]
    rows = TIERS[tier]._default_manager.filter(
        series_id=series,
        bucket__gte=first,
        bucket__lt=bucket_number(interval.end, tier),
        histogram__isnull=False,
    )
    parts: dict[int, list[Histogram]] = {}
    for bucket, data in rows.values_list("bucket", "histogram"):
        parts.setdefault((bucket - first) // per, []).append(decode(data))
    return {place: merge(some) for place, some in parts.items()}


def _windowed(
    series: int | None, window: Window, interval: Interval, step: timedelta, tier: Tier, steps: Numbers
) -> tuple[list[tuple[Interval, Numbers]], str]:
    """For each step the window that ends with it, and what that had."""
    numbers = [] if series is None else [series]
    if isinstance(window, RollingWindow):
        return _rolling(numbers, window.length, interval, step, tier, steps)
    found: list[tuple[Interval, Numbers]] = []
    wholes = [
        window_at(window, interval.start + (place + 1) * step - MINUTE)
        for place in range(interval.duration // step)
    ]
    # What lies between the beginning of a window and the first step that ends in it.
    heads: dict[datetime, Interval] = {}
    for place, whole in enumerate(wholes):
        heads.setdefault(whole.start, Interval(whole.start, interval.start + (place + 1) * step))
    read = window_counts(numbers, list(heads.values()))
    begun = dict(zip(heads, range(len(heads))))
    running = np.zeros(len(COUNT_FIELDS), dtype=np.int64)
    for place, whole in enumerate(wholes):
        if place == 0 or whole.start != wholes[place - 1].start:
            running = np.array(read.of(series, begun[whole.start]).values(), dtype=np.int64)
        else:
            running = running + steps[place]
        found.append((whole, running))
    return found, " ".join(dict.fromkeys(tiling.note for tiling in read.tilings if tiling.note))


def _rolling(
    numbers: list[int], length: timedelta, interval: Interval, step: timedelta, tier: Tier, steps: Numbers
) -> tuple[list[tuple[Interval, Numbers]], str]:
    series = numbers[0] if numbers else None
    back = Interval(interval.start - length, interval.end - length)
    now = timezone.now()
    # What leaves the window is read by the buckets that are still there.
    leaving_tier: Tier = "minute"
    for tier_kept, since in (("minute", minutes_from(now)), ("hour", hours_from(now))):
        if back.start < since:
            leaving_tier = "hour" if tier_kept == "minute" else "day"
    width = max(WIDTH[leaving_tier], MINUTE)
    if (back.start - EPOCH) % WIDTH[tier] == timedelta(0) and WIDTH[tier] > width:
        leaving_tier, width = tier, WIDTH[tier]
    wide = Interval(floor_to(back.start, leaving_tier), ceil_to(back.end, leaving_tier))
    base = window_counts(numbers, [Interval(wide.start, interval.start)])
    running = np.array(base.of(series, 0).values(), dtype=np.int64)
    leaving = np.cumsum(_buckets(series, leaving_tier, wide, width), axis=0)
    entering = np.cumsum(steps, axis=0)
    found = []
    for place in range(len(steps)):
        end = interval.start + (place + 1) * step
        gone = (end - length - wide.start) // width
        counts = running + entering[place] - (leaving[gone - 1] if gone else 0)
        found.append((Interval(end - length, end), counts))
    notes = [tilings_of([Interval(wide.start, interval.start)])[0].note]
    if (back.start - wide.start) % width or step % width:
        notes.append(f"The other end of the window is told by whole {leaving_tier}s.")
    return found, " ".join(note for note in dict.fromkeys(notes) if note)


class _Excluded:
    """How many excluded minutes lie in a window, looked up in merged intervals."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self.edges: list[int] = []
        self.before: list[int] = []
        total = 0
        for part in intervals:
            start, end = bucket_number(part.start, "minute"), bucket_number(part.end, "minute")
            self.edges += [start, end]
            self.before += [total, total + end - start]
            total += end - start

    def _until(self, minute: int) -> int:
        place = bisect_left(self.edges, minute)
        if place == 0:
            return 0
        inside = place % 2 == 1
        return self.before[place - 1] + (minute - self.edges[place - 1] if inside else 0)

    def within(self, window: Interval) -> int:
        """Excluded minutes of ``window``."""
        start, end = bucket_number(window.start, "minute"), bucket_number(window.end, "minute")
        return self._until(end) - self._until(start)


def _excluded(slo: Slo, windows: Sequence[tuple[Interval, Numbers]]) -> _Excluded:
    if not windows:
        return _Excluded([])
    span = Interval(windows[0][0].start, max(window.end for window, _ in windows))
    some = windows_of([slo.pk], bucket_number(span.start, "minute"), bucket_number(span.end, "minute"))[
        slo.pk
    ]
    return _Excluded(excluded(some, span) if some else [])
