"""The pictures of an SLO: its budget going down, its level with all that happened, the heat of bad minutes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any, Final

from django.utils.safestring import SafeString

from agent_factory_site.common.charts import (
    Cell,
    Lane,
    Mark,
    Series,
    Slot,
    heat_chart,
    line_chart,
    plain_format,
    ratio_format,
)
from agent_factory_site.common.charts.formats import NumberFormat
from agent_factory_site.common.periods import Interval
from operations.slo.domain.sentences import level, number
from operations.slo.models import BudgetAdjustment
from operations.slo.selectors.history import History, HistoryPoint
from operations.slo.selectors.hourly import Hour
from operations.slo.selectors.status import Status

WIDE: Final = 960
NARROW: Final = 340
HEAT_STEPS: Final = (1, 5, 15, 60)
_DAY: Final = timedelta(days=1)


def step_of(length: timedelta) -> timedelta:
    """The steps of a chart over so long a time: some 100 to 200 of them."""
    for most, step in ((2, 15), (8, 60), (35, 360), (100, 1440)):
        if length <= most * _DAY:
            return timedelta(minutes=step)
    return timedelta(days=7) if length > 400 * _DAY else _DAY * 3


def slots_of(history: History, whole: Interval, zone: tzinfo) -> list[Slot]:
    """The steps of the history, and those still to come in the window."""
    starts = [point.start for point in history.points]
    begin = starts[-1] + history.step if starts else whole.start
    while begin < whole.end:
        starts.append(begin)
        begin += history.step
    by_day = history.step >= timedelta(hours=3)
    return [
        _slot(start, history.step, zone, by_day, past=n < len(history.points))
        for n, start in enumerate(starts)
    ]


def _slot(start: datetime, step: timedelta, zone: tzinfo, by_day: bool, past: bool) -> Slot:
    local = start.astimezone(zone)
    label = f"{local.day} {local:%b}" if by_day else f"{local.day} {local:%b %H:%M}"
    name = f"{local:%a %Y-%m-%d}" if step >= _DAY else f"{local:%a %Y-%m-%d %H:%M}"
    return Slot(label, name if past else f"{name}, to come")


def place_in(history: History, moment: datetime) -> float:
    """Where a moment lies on the axis of the steps."""
    return (moment - history.interval.start) / history.step


def level_chart(
    status: Status, history: History, slots: Sequence[Slot], lanes: Sequence[Lane], width: float
) -> SafeString:
    """The level of each step with the objective, and below it what happened."""
    values = [None if point.sli is None else float(point.sli) for point in history.points]
    return line_chart(
        title=f"{status.slo.name}: level over time",
        slots=slots,
        series=[Series("Level", _padded(values, slots))],
        style=_levels(values, float(status.definition.target)),
        lines=[Mark("Objective", float(status.definition.target))]
        if any(value is not None for value in values)
        else [],
        lanes=lanes,
        from_zero=False,
        empty="No data in this window.",
        width=width,
        height=240,
    )


def _levels(values: Sequence[float | None], target: float) -> NumberFormat:
    """Per cents, cut off as everywhere so that nothing short of it reads as 100 %."""
    ticks = ratio_format()
    return NumberFormat(lambda value: level(Fraction(str(value))), ticks.tick)


def budget_left(
    status: Status, points: Sequence[HistoryPoint], adjustments: Sequence[BudgetAdjustment]
) -> list[float | None]:
    """The share of the window's budget that was left at the end of each step, seen from now: the last one is what the
    status says, and before it what has been spent since was still there. None without a budget.
    """
    budget = status.budget
    if budget.left is None or not budget.total:
        return [None] * len(points)
    rate = budget.total / budget.minutes if budget.minutes else Fraction(0)
    left = budget.left
    found: list[float | None] = []
    for point in reversed(points):
        found.append(float(left / budget.total))
        left += point.total - point.good
        for row in adjustments:
            if point.start <= row.at < point.end:
                minutes = Fraction(row.minutes or 0)
                by_events = status.definition.budgeting == "occurrences"
                left -= (
                    Fraction(row.events) if row.events is not None else minutes * (rate if by_events else 1)
                )
    return found[::-1]


def burn_down_chart(
    status: Status,
    history: History,
    slots: Sequence[Slot],
    adjustments: Sequence[BudgetAdjustment],
    width: float,
) -> SafeString:
    """What is left of the budget over the window, beside even spending."""
    left = budget_left(status, history.points, adjustments)
    count = len(slots)
    ideal = [1 - (place + 1) / count for place in range(count)]
    return line_chart(
        title=f"{status.slo.name}: error budget left",
        slots=slots,
        series=[
            Series("Budget left", _padded(left, slots)),
            Series(
                "Even spending",
                ideal if any(one is not None for one in left) else [None] * count,
                dashed=True,
            ),
        ],
        style=ratio_format(),
        empty="No data in this window.",
        width=width,
        height=240,
    )


def _padded(values: Sequence[float | None], slots: Sequence[Slot]) -> list[float | None]:
    return [*values, *[None] * (len(slots) - len(values))]


def heat_picture(hours: Sequence[Hour], zone: tzinfo, by_slices: bool, width: float) -> SafeString | str:
    """Bad minutes by day and hour of the zone; without data it is an empty text."""
    if all(hour.bad_minutes is None for hour in hours):
        return ""
    found = {hour.start.astimezone(zone).replace(tzinfo=None): hour for hour in hours}
    days = sorted({local.date() for local in found})
    nowhere = Cell(there=False)
    cells: list[list[Cell]] = [[nowhere] * len(days) for _ in range(24)]
    for local, hour in found.items():
        # An hour that the clock repeats shows its second half; both lie in the chart above.
        cells[local.hour][days.index(local.date())] = _cell(hour, by_slices)
    return heat_chart(
        title="Bad minutes by day and hour",
        columns=[f"{day.day} {day:%b}" for day in days],
        rows=[f"{hour:02}:00" for hour in range(24)],
        cells=cells,
        steps=HEAT_STEPS,
        style=plain_format("min", 1),
        marked="maintenance",
        row_every=3,
        cell_height=11,
        width=width,
    )


def _cell(hour: Hour, by_slices: bool) -> Cell:
    counts = hour.counts
    if hour.bad_minutes is None:
        return Cell(None)
    good, total = counts.parts("timeslices" if by_slices else "occurrences", "before")
    what = "minutes" if by_slices else "events"
    words = f"{number(hour.bad_minutes)} bad minutes ({total - good:,} of {total:,} {what} bad)"
    marked = counts.excluded_total > 0
    return Cell(float(hour.bad_minutes), words + (", partly in maintenance" if marked else ""), marked)


def chart_context(**charts: Any) -> dict[str, Any]:
    """Each picture at two widths: for a page, and for a phone."""
    return {name: {"wide": draw(WIDE), "narrow": draw(NARROW)} for name, draw in charts.items()}
