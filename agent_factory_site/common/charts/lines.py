"""Lines over time, and the small ones that stand in a row of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from django.utils.safestring import SafeString

from .formats import NumberFormat
from .frame import (
    BOTTOM,
    Frame,
    Mark,
    Series,
    Slot,
    check,
    empty_picture,
    folded,
    grid,
    is_empty,
    legend,
    legend_layout,
    make_frame,
    marks,
    pointer_slots,
    slot_labels,
)
from .lanes import Lane, draw_lanes, lanes_height, lanes_words
from .scales import Number, decimate
from .svg import THEMED, Palette, document, element, number, text

MAX_COLUMNS: Final = 100
Point = tuple[float, float]


def line_chart(
    *,
    title: str,
    slots: Sequence[Slot],
    series: Sequence[Series],
    style: NumberFormat,
    description: str = "",
    lines: Sequence[Mark] = (),
    lanes: Sequence[Lane] = (),
    from_zero: bool = True,
    empty: str = "No data yet.",
    width: float = 960,
    height: float = 280,
    palette: Palette = THEMED,
) -> SafeString:
    """One line per series over the slots; a gap where a value is not known. ``lanes`` stand below, on the same axis.

    Long series are thinned to 600 points that keep every peak. A single line is underlaid. With
    ``from_zero`` off the axis covers the values alone, for shares that are all close to one.
    """
    check(slots, series)
    below = lanes_height(lanes)
    if is_empty(series) and not lanes:
        return document(
            width, height, title, description or empty, empty_picture(width, height, empty), "lines"
        )
    coloured = folded(series, palette)
    known = [value for one, _ in coloured for value in one.values if value is not None]
    known += [mark.value for mark in lines]
    known = known or [0, 1]
    entries = [(one.name, style.full(_last(one)), colour) for one, colour in coloured]
    placed, rows = legend_layout(entries if len(entries) > 1 else [], width)
    height += below
    frame = make_frame(
        (width, height), (min(known), max(known)), len(slots), style, rows, from_zero=from_zero, below=below
    )
    body = [*legend(placed), *grid(frame, style), *slot_labels(frame, slots)]
    if is_empty(series):
        body.append(
            text(width / 2, (frame.top + frame.bottom) / 2, empty, text_anchor="middle", font_size=13)
        )
    solid = [one for one in series if not one.dashed]
    for one, colour in coloured:
        body += _line(frame, one, colour, underlaid=len(solid) == 1 and from_zero and not one.dashed)
    body += marks(frame, lines, style, palette)
    body += _pointer(frame, slots, coloured, style)
    body += draw_lanes(frame, lanes, frame.bottom + BOTTOM, palette)
    said = description or _summary(slots, coloured, style)
    if lanes:
        said = f"{said} {lanes_words(lanes, len(slots))}"
    return document(width, height, title, said, body, "lines")


def _last(series: Series) -> Number:
    return next((value for value in reversed(series.values) if value is not None), 0)


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[Point]]:
    """The stretches without a gap."""
    runs: list[list[Point]] = [[]]
    for x, y in points:
        if y is not None:
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(run: Sequence[Point]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in run)


def _line(frame: Frame, series: Series, colour: str, underlaid: bool) -> list[str]:
    points = [
        (frame.x(index), None if value is None else frame.y(value))
        for index, value in decimate(series.values)
    ]
    runs = _runs(points)
    parts = []
    if underlaid:
        floor = number(frame.y(0))
        areas = "".join(f"{_path(run)}V{floor}H{number(run[0][0])}Z" for run in runs if len(run) > 1)
        if areas:
            parts.append(element("path", d=areas, fill=colour, fill_opacity=0.12))
    strokes = "".join(_path(run) for run in runs if len(run) > 1)
    if strokes:
        parts.append(
            element(
                "path", d=strokes, fill="none", stroke=colour,
                stroke_width=1.5 if series.dashed else 2 if len(points) <= 200 else 1.25,
                stroke_linejoin="round", stroke_linecap="round",
                stroke_dasharray="6 5" if series.dashed else None,
            )
        )  # fmt: skip
    if series.dashed:
        return parts
    # A value between two gaps has no line: it is a dot. So is where the line stands now.
    dots = [run[0] for run in runs[:-1] if len(run) == 1] + [runs[-1][-1]] if runs else []
    parts += [element("circle", cx=x, cy=y, r=3, fill=colour) for x, y in dots]
    return parts


def _pointer(
    frame: Frame, slots: Sequence[Slot], coloured: Sequence[tuple[Series, str]], style: NumberFormat
) -> list[str]:
    """One column per slot, or per stretch of slots when there are more than can be pointed at."""
    columns = min(len(slots), MAX_COLUMNS)
    told: list[Slot] = []
    words: list[str] = []
    for column in range(columns):
        start, end = column * len(slots) // columns, (column + 1) * len(slots) // columns
        first, last = slots[start], slots[end - 1]
        name = first.full_name if start == end - 1 else f"{first.full_name} – {last.full_name}"
        told.append(Slot("", name, first.link if start == end - 1 else ""))
        said = [_range(one, start, end, style) for one, _ in coloured]
        if len(coloured) == 1:
            words.append(f"{name}: {said[0]}")
        else:
            words.append("\n".join([name, *(f"{one.name}: {s}" for (one, _), s in zip(coloured, said))]))
    coarse = replace(frame, slots=columns)
    return pointer_slots(coarse, told, words)


def _range(series: Series, start: int, end: int, style: NumberFormat) -> str:
    known = [value for value in series.values[start:end] if value is not None]
    if not known:
        return "unknown"
    low, high = style.full(min(known)), style.full(max(known))
    return low if low == high else f"{low} – {high}"


def _summary(slots: Sequence[Slot], coloured: Sequence[tuple[Series, str]], style: NumberFormat) -> str:
    parts = [f"{len(slots)} points from {slots[0].full_name} to {slots[-1].full_name}."]
    for one, _ in coloured:
        known = [value for value in one.values if value is not None]
        if known:
            parts.append(
                f"{one.name}: last {style.full(_last(one))}, lowest {style.full(min(known))}, "
                f"highest {style.full(max(known))}."
            )
        else:
            parts.append(f"{one.name}: unknown.")
    return " ".join(parts)


def sparkline(
    *,
    title: str,
    values: Sequence[Number | None],
    style: NumberFormat,
    width: float = 120,
    height: float = 32,
    palette: Palette = THEMED,
) -> SafeString:
    """A line without axes, to stand beside a number: its shape from the lowest to the highest value."""
    known = [value for value in values if value is not None]
    colour = palette.series[0]
    if not known:
        middle = number(height / 2)
        dashes = element(
            "path", d=f"M2 {middle}H{number(width - 2)}", stroke="currentColor", stroke_opacity=0.3,
            stroke_dasharray="3 4",
        )  # fmt: skip
        return document(width, height, title, "No data yet.", [dashes], "spark")
    low, high = float(min(known)), float(max(known))
    margin = 4.0
    step = (width - 2 * margin) / max(len(values) - 1, 1)

    def y(value: Number) -> float:
        share = (float(value) - low) / (high - low) if high > low else 0.5
        return height - margin - share * (height - 2 * margin)

    points = [
        (margin + index * step, None if value is None else y(value))
        for index, value in decimate(values, max(int(width), 2))
    ]
    runs = _runs(points)
    strokes = "".join(_path(run) for run in runs if len(run) > 1)
    areas = "".join(f"{_path(run)}V{number(height)}H{number(run[0][0])}Z" for run in runs if len(run) > 1)
    end = runs[-1][-1]
    body = [
        element("path", d=areas, fill=colour, fill_opacity=0.12) if areas else "",
        element("path", d=strokes, fill="none", stroke=colour, stroke_width=1.75, stroke_linejoin="round")
        if strokes
        else "",
        element("circle", cx=end[0], cy=end[1], r=2.5, fill=colour),
    ]
    said = f"Last {style.full(known[-1])}, lowest {style.full(min(known))}, highest {style.full(max(known))}."
    return document(width, height, title, said, body, "spark")
