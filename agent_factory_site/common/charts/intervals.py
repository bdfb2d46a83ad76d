"""Lines in their bands: estimates over time with intervals, or statistics against their boundaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from .formats import NumberFormat
from .frame import (
    Frame,
    Mark,
    Series,
    Slot,
    check,
    empty_picture,
    grid,
    is_empty,
    legend,
    legend_layout,
    make_frame,
    marks,
    pointer_slots,
    slot_labels,
)
from .scales import Number
from .svg import THEMED, Palette, document, element, number

MAX_POINTED: Final = 120


@dataclass(frozen=True, slots=True)
class Banded:
    """A line with its band; either may be unknown at a slot, and then is a gap.

    Without any value it is the band alone, drawn with its edges, such as boundaries that are the same for all lines.
    """

    name: str
    values: Sequence[Number | None]
    low: Sequence[Number | None]
    high: Sequence[Number | None]

    @property
    def is_band_alone(self) -> bool:
        return all(value is None for value in self.values)


def interval_chart(
    *,
    title: str,
    slots: Sequence[Slot],
    series: Sequence[Banded],
    style: NumberFormat,
    description: str = "",
    lines: Sequence[Mark] = (),
    within: tuple[Number, Number] | None = None,
    empty: str = "No data yet.",
    width: float = 960,
    height: float = 300,
    palette: Palette = THEMED,
) -> SafeString:
    """Every line in its band, zero drawn stronger. At most as many series as the palette has colours.

    What lies beyond ``within`` is drawn to its edge and told as it is, so that wide bands at the beginning do not
    flatten all that follows.
    """
    for one in series:
        check(slots, [Series(one.name, side) for side in (one.values, one.low, one.high)])
    if len(series) > len(palette.series):
        raise ValueError(f"{len(series)} series: there are colours for {len(palette.series)}")
    sides = [Series(one.name, side) for one in series for side in (one.values, one.low, one.high)]
    if is_empty(sides):
        return document(
            width, height, title, description or empty, empty_picture(width, height, empty), "intervals"
        )
    coloured = list(zip(series, _colours(series, palette), strict=True))
    entries = [(one.name, _last_words(one, style), colour) for one, colour in coloured]
    placed, rows = legend_layout(entries, width)
    known = [value for one in sides for value in one.values if value is not None]
    known += [mark.value for mark in lines]
    low, high = (min(known), max(known)) if within is None else within
    frame = make_frame((width, height), (low, high), len(slots), style, rows)
    body = [*legend(placed), *grid(frame, style), *slot_labels(frame, slots)]
    for one, colour in coloured:
        body += _band(frame, one, colour)
    for one, colour in coloured:
        body += _line(frame, one, colour)
    body += marks(frame, lines, style, palette)
    body += _pointed(frame, slots, series, style)
    said = description or _summary(slots, series, style)
    return document(width, height, title, said, body, "intervals")


def _colours(series: Sequence[Banded], palette: Palette) -> list[str]:
    """Bands alone are quiet; lines take the palette in order."""
    lines = iter(palette.series)
    return [palette.other if one.is_band_alone else next(lines) for one in series]


def _last_words(one: Banded, style: NumberFormat) -> str:
    return next((style.full(value) for value in reversed(one.values) if value is not None), "")


def _runs(known: Sequence[bool]) -> list[list[int]]:
    """The stretches of slots without a gap."""
    runs: list[list[int]] = [[]]
    for index, there in enumerate(known):
        if there:
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _points(frame: Frame, run: Sequence[int], values: Sequence[Number | None]) -> list[tuple[float, float]]:
    return [
        (frame.x(index), min(max(frame.y(value), frame.top), frame.bottom))
        for index in run
        if (value := values[index]) is not None
    ]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _band(frame: Frame, one: Banded, colour: str) -> list[str]:
    there = [low is not None and high is not None for low, high in zip(one.low, one.high, strict=True)]
    parts = []
    for run in _runs(there):
        above, below = _points(frame, run, one.high), _points(frame, run, one.low)
        if len(run) == 1:
            (x, top), (_, bottom) = above[0], below[0]
            parts.append(
                element(
                    "path", d=f"M{number(x)} {number(top)}V{number(bottom)}", stroke=colour, stroke_width=8,
                    stroke_opacity=0.18, stroke_linecap="round",
                )
            )  # fmt: skip
            continue
        parts.append(
            element("path", d=f"{_path(above + below[::-1])}Z", fill=colour, fill_opacity=0.15, stroke="none")
        )
        if one.is_band_alone:
            parts.append(
                element("path", d=_path(above) + _path(below), fill="none", stroke=colour, stroke_width=1.5)
            )
    return parts


def _line(frame: Frame, one: Banded, colour: str) -> list[str]:
    parts = []
    for run in _runs([value is not None for value in one.values]):
        points = _points(frame, run, one.values)
        if len(points) > 1:
            parts.append(
                element(
                    "path", d=_path(points), fill="none", stroke=colour, stroke_width=2, stroke_linejoin="round",
                    stroke_linecap="round",
                )
            )  # fmt: skip
        dots = points if len(one.values) <= 12 else points[-1:]
        parts += [element("circle", cx=x, cy=y, r=3.5, fill=colour) for x, y in dots]
    return parts


def _pointed(frame: Frame, slots: Sequence[Slot], series: Sequence[Banded], style: NumberFormat) -> list[str]:
    """Columns that tell their values; of many slots every so manieth, the last of each stretch."""
    columns = min(len(slots), MAX_POINTED)
    told, words = [], []
    for column in range(columns):
        index = (column + 1) * len(slots) // columns - 1
        said = [slots[index].full_name, *(f"{one.name}: {_at(one, index, style)}" for one in series)]
        told.append(Slot("", slots[index].name, slots[index].link, slots[index].partial))
        words.append("\n".join(said))
    coarse = Frame(frame.width, frame.height, frame.left, frame.top, frame.ticks, columns)
    return pointer_slots(coarse, told, words)


def _at(one: Banded, index: int, style: NumberFormat) -> str:
    value, low, high = one.values[index], one.low[index], one.high[index]
    band = "" if low is None or high is None else f"{style.full(low)} to {style.full(high)}"
    if value is None:
        return band or "unknown"
    return f"{style.full(value)} ({band})" if band else style.full(value)


def _summary(slots: Sequence[Slot], series: Sequence[Banded], style: NumberFormat) -> str:
    parts = [f"{len(slots)} points from {slots[0].full_name} to {slots[-1].full_name}."]
    for one in series:
        last = next((at for at in reversed(range(len(slots))) if _at(one, at, style) != "unknown"), None)
        parts.append(f"{one.name}: {'unknown' if last is None else f'last {_at(one, last, style)}'}.")
    return " ".join(parts)
