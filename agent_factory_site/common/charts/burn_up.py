"""What has gone of a limit and where that is heading: sums that grow, what is set aside, a forecast with its bands."""

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
    pointer_slots,
    slot_labels,
)
from .scales import Number
from .svg import THEMED, Palette, document, element, number, text

MAX_SLOTS: Final = 800
MAX_POINTED: Final = 120
CLEARANCE: Final = 15
"""Pixels between the words of two reference lines."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """An interval around a forecast: one low and one high value per slot, ``None`` where there is none."""

    name: str
    low: Sequence[Number | None]
    high: Sequence[Number | None]


def burn_up_chart(
    *,
    title: str,
    slots: Sequence[Slot],
    spent: Series,
    held: Series | None = None,
    expected: Series | None = None,
    bands: Sequence[Stretch] = (),
    limit: Mark | None = None,
    lines: Sequence[Mark] = (),
    style: NumberFormat,
    description: str,
    empty: str = "Nothing yet.",
    width: float = 960,
    height: float = 320,
    palette: Palette = THEMED,
) -> SafeString:
    """``spent`` as an underlaid line that ends where time has come to, ``held`` as a column on top of it.

    ``expected`` goes on from there, dashed, in its ``bands``, the widest first. ``limit`` is drawn stronger
    than the other ``lines``; a name that has no room beside others is left out, its line is not. Raises
    ``ValueError`` for more than 800 slots or series that do not fit them.
    """
    check(slots, [spent, *(one for one in (held, expected) if one is not None)])
    check(slots, [Series(band.name, side) for band in bands for side in (band.low, band.high)])
    if len(slots) > MAX_SLOTS:
        raise ValueError(f"{len(slots)} slots: a burn-up has at most {MAX_SLOTS}")
    if is_empty([spent]):
        return document(width, height, title, description, empty_picture(width, height, empty), "burn-up")
    colours = {"spent": palette.series[0], "held": palette.series[2], "expected": palette.series[1]}
    entries = [(spent.name, style.full(_last(spent)), colours["spent"])]
    if held is not None and not is_empty([held]):
        entries.append((held.name, style.full(_last(held)), colours["held"]))
    if expected is not None:
        entries.append((expected.name, style.full(_last(expected)), colours["expected"]))
    placed, rows = legend_layout(entries, width)
    frame = make_frame(
        (width, height), _span(spent, held, expected, bands, limit, lines), len(slots), style, rows
    )
    body = [*legend(placed), *grid(frame, style), *slot_labels(frame, slots)]
    for band in bands:
        body += _band(frame, band, colours["expected"])
    body += _spent(frame, spent, colours["spent"])
    if expected is not None:
        body.append(_dashed(frame, spent, expected, colours["expected"]))
    if held is not None:
        body += _held(frame, spent, held, colours["held"])
    body += _marks(frame, limit, lines, style, palette)
    body += _pointed(frame, slots, spent, held, expected, bands, style)
    return document(width, height, title, description, body, "burn-up")


def _last(series: Series) -> Number:
    return next((value for value in reversed(series.values) if value is not None), 0)


def _span(
    spent: Series,
    held: Series | None,
    expected: Series | None,
    bands: Sequence[Stretch],
    limit: Mark | None,
    lines: Sequence[Mark],
) -> tuple[Number, Number]:
    values: list[Number] = [value for value in spent.values if value is not None]
    if held is not None:
        values += [
            float(low) + float(more)
            for low, more in zip(spent.values, held.values)
            if low is not None and more
        ]
    if expected is not None:
        values += [value for value in expected.values if value is not None]
    values += [value for band in bands for value in band.high if value is not None]
    values += [mark.value for mark in lines]
    if limit is not None:
        values.append(limit.value)
    return min(values), max(values)


def _points(frame: Frame, values: Sequence[Number | None]) -> list[tuple[float, float]]:
    return [(frame.x(index), frame.y(value)) for index, value in enumerate(values) if value is not None]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def _band(frame: Frame, band: Stretch, colour: str) -> list[str]:
    outline = _points(frame, band.high) + _points(frame, band.low)[::-1]
    if len(outline) < 4:
        return []
    return [element("path", d=f"{_path(outline)}Z", fill=colour, fill_opacity=0.16)]


def _spent(frame: Frame, spent: Series, colour: str) -> list[str]:
    points = _points(frame, spent.values)
    floor = number(frame.y(0))
    parts = []
    if len(points) > 1:
        area = f"{_path(points)}V{floor}H{number(points[0][0])}Z"
        parts = [
            element("path", d=area, fill=colour, fill_opacity=0.12),
            element(
                "path", d=_path(points), fill="none", stroke=colour, stroke_width=2, stroke_linejoin="round",
                stroke_linecap="round",
            ),
        ]  # fmt: skip
    x, y = points[-1]
    return [*parts, element("circle", cx=x, cy=y, r=3.5, fill=colour)]


def _dashed(frame: Frame, spent: Series, expected: Series, colour: str) -> str:
    points = _points(frame, spent.values)[-1:] + _points(frame, expected.values)
    return element(
        "path", d=_path(points), fill="none", stroke=colour, stroke_width=2, stroke_dasharray="6 4",
        stroke_linejoin="round",
    )  # fmt: skip


def _held(frame: Frame, spent: Series, held: Series, colour: str) -> list[str]:
    width = max(4.0, min(12.0, frame.step * 0.6))
    parts = []
    for index, (low, more) in enumerate(zip(spent.values, held.values)):
        if low is not None and more:
            top, bottom = frame.y(float(low) + float(more)), frame.y(low)
            # A pixel and a half for what is held at all.
            height = max(bottom - top, 1.5)
            parts.append(
                element(
                    "rect", x=frame.x(index) - width / 2, y=bottom - height, width=width, height=height, rx=1.5,
                    fill=colour,
                )
            )  # fmt: skip
    return parts


def _marks(
    frame: Frame, limit: Mark | None, lines: Sequence[Mark], style: NumberFormat, palette: Palette
) -> list[str]:
    parts = []
    named: list[float] = []
    ordered = ([(limit, True)] if limit is not None else []) + [(mark, False) for mark in reversed(lines)]
    for mark, strong in ordered:
        y = round(frame.y(mark.value)) + 0.5
        parts.append(
            element(
                "path", d=f"M{frame.left:.0f} {y}H{frame.right:.0f}", stroke="currentColor",
                stroke_opacity=0.8 if strong else 0.4, stroke_width=1.5 if strong else 1,
                stroke_dasharray=None if strong else "2 4",
            )
        )  # fmt: skip
        if all(abs(y - other) >= CLEARANCE for other in named):
            named.append(y)
            words = f"{mark.name} {style.full(mark.value)}"
            halo = {
                "stroke": palette.ground,
                "stroke_width": 4,
                "paint_order": "stroke",
                "stroke_linejoin": "round",
            }
            # On the left, where little has been spent yet and the bands have not begun; above the line, unless
            # the legend stands there.
            baseline = y - 5 if y - frame.top >= CLEARANCE else y + 13
            parts.append(
                text(
                    frame.left + 6,
                    baseline,
                    words,
                    quiet=not strong,
                    font_weight=600 if strong else 400,
                    **halo,
                )
            )
    return parts


def _pointed(
    frame: Frame,
    slots: Sequence[Slot],
    spent: Series,
    held: Series | None,
    expected: Series | None,
    bands: Sequence[Stretch],
    style: NumberFormat,
) -> list[str]:
    """Columns that tell their values; of many slots every so manieth, the last of each stretch."""
    columns = min(len(slots), MAX_POINTED)
    told, words = [], []
    for column in range(columns):
        index = (column + 1) * len(slots) // columns - 1
        said = [slots[index].full_name]
        for one in (spent, held, expected):
            if one is not None and (value := one.values[index]) is not None:
                said.append(f"{one.name}: {style.full(value)}")
        for band in bands:
            low, high = band.low[index], band.high[index]
            if low is not None and high is not None:
                said.append(f"{band.name}: {style.full(low)} – {style.full(high)}")
        told.append(Slot("", slots[index].name, slots[index].link, slots[index].partial))
        words.append("\n".join(said))
    coarse = Frame(frame.width, frame.height, frame.left, frame.top, frame.ticks, columns)
    return pointer_slots(coarse, told, words)
