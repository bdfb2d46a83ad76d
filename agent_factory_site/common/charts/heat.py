"""Heat maps: how much of something lies in each cell of a grid, such as bad minutes by day and hour."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from .formats import NumberFormat
from .scales import Number, label_every
from .svg import THEMED, Palette, clean, document, element, text, text_width

LEGEND: Final = 28
BOTTOM: Final = 24
_EMPTY_OPACITY: Final = 0.07


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, None where it is not known; ``marked`` cells are struck through, such as those in maintenance.

    ``words`` are told in the place of the value; a cell of which there cannot be any is not ``there``, such as
    hours to come.
    """

    value: Number | None = None
    words: str = ""
    marked: bool = False
    there: bool = True


NOWHERE: Final = Cell(there=False)


def heat_chart(
    *,
    title: str,
    columns: Sequence[str],
    rows: Sequence[str],
    cells: Sequence[Sequence[Cell]],
    steps: Sequence[Number],
    style: NumberFormat,
    description: str = "",
    marked: str = "",
    row_every: int = 1,
    cell_height: float = 12,
    width: float = 960,
    palette: Palette = THEMED,
) -> SafeString:
    """A grid, ``cells[row][column]``, the darker the more, in the colour of what is bad.

    ``steps`` are the upper bounds of the shades, rising; more than the last is as dark as it. Zero has no colour, and
    what is not known is a dot. ``marked`` says what marked cells are; each ``row_every``-th row is named.
    """
    _check(columns, rows, cells, steps)
    height = LEGEND + cell_height * len(rows) + BOTTOM
    left = max((text_width(name) for name in rows), default=0) + 10
    step = (width - left) / max(len(columns), 1)
    body = _legend(steps, style, marked, palette)
    for number, name in enumerate(rows):
        if number % row_every == 0:
            y = LEGEND + (number + 0.5) * cell_height + 4
            body.append(text(left - 8, y, name, text_anchor="end", font_size=11))
    gap = 1 if step >= 6 else 0.5
    for number, row in enumerate(cells):
        for place, cell in enumerate(row):
            if cell.there:
                box = (left + place * step, LEGEND + number * cell_height, step - gap, cell_height - 1)
                body += _cell(cell, box, f"{columns[place]}, {rows[number]}", steps, style, palette)
    body += _column_names(columns, left, step, LEGEND + cell_height * len(rows) + 16, width)
    said = description or _summary(columns, rows, cells, style)
    return document(width, height, title, said, body, "heat")


def shade_of(value: Number, steps: Sequence[Number]) -> int:
    """0 for nothing, else the number of the shade, from 1."""
    return 0 if value <= 0 else min(bisect_left(steps, value), len(steps) - 1) + 1


def _check(
    columns: Sequence[str], rows: Sequence[str], cells: Sequence[Sequence[Cell]], steps: Sequence[Number]
) -> None:
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        raise ValueError(f"the grid is not of {len(rows)} rows and {len(columns)} columns")
    if not steps or list(steps) != sorted(set(steps)) or steps[0] <= 0:
        raise ValueError("steps rise, from above 0")


def _opacity(shade: int, shades: int) -> float:
    # What lies in the lowest shade is hardly to be seen, so that what matters is.
    return 0.18 + 0.82 * (shade - 1) / max(shades - 1, 1) if shade else _EMPTY_OPACITY


def _cell(
    cell: Cell,
    box: tuple[float, float, float, float],
    name: str,
    steps: Sequence[Number],
    style: NumberFormat,
    palette: Palette,
) -> list[str]:
    x, y, width, height = box
    words = cell.words or ("no data" if cell.value is None else style.full(cell.value))
    said = element("title", clean(f"{name}: {words}"))
    shade = 0 if cell.value is None else shade_of(cell.value, steps)
    parts = [
        element(
            "rect", said, x=x, y=y, width=width, height=height, rx=1.5,
            fill=palette.alarm if shade else "currentColor",
            fill_opacity=0 if cell.value is None else _opacity(shade, len(steps)),
            class_="af-heat-cell",
        )
    ]  # fmt: skip
    if cell.value is None:
        parts.append(_dot(x + width / 2, y + height / 2))
    if cell.marked:
        parts.append(_strike(x, y, width, height))
    return parts


def _dot(x: float, y: float) -> str:
    return element("circle", cx=x, cy=y, r=1, fill="currentColor", fill_opacity=0.35, pointer_events="none")


def _strike(x: float, y: float, width: float, height: float) -> str:
    return element(
        "path", d=f"M{x:.1f} {y + height:.1f}L{x + width:.1f} {y:.1f}", stroke="currentColor", stroke_opacity=0.75,
        pointer_events="none",
    )  # fmt: skip


def _legend(steps: Sequence[Number], style: NumberFormat, marked: str, palette: Palette) -> list[str]:
    parts: list[str] = []
    x = 0.0

    def entry(swatch: list[str], words: str) -> None:
        nonlocal x
        parts.extend(swatch)
        parts.append(text(x + 18, 13, words, font_size=11))
        x += 18 + text_width(words, 11) + 14

    def box(shade: int) -> str:
        return element(
            "rect", x=x, y=4, width=12, height=11, rx=1.5, fill=palette.alarm if shade else "currentColor",
            fill_opacity=_opacity(shade, len(steps)),
        )  # fmt: skip

    entry([_dot(x + 6, 9.5)], "no data")
    entry([box(0)], "none")
    for number, bound in enumerate(steps, 1):
        words = f"up to {style.full(bound)}" if number < len(steps) else "more"
        entry([box(number)], words)
    if marked:
        entry([box(0), _strike(x, 4, 12, 11)], marked)
    return parts


def _column_names(columns: Sequence[str], left: float, step: float, y: float, width: float) -> list[str]:
    widest = max((text_width(name, 11) for name in columns), default=0)
    every = label_every(len(columns), step, widest)
    parts = []
    for place in range(len(columns) - 1, -1, -every):
        x = left + (place + 0.5) * step
        end = x + text_width(columns[place], 11) / 2 > width
        parts.append(
            text(width if end else x, y, columns[place], text_anchor="end" if end else "middle", font_size=11)
        )
    return parts


def _summary(
    columns: Sequence[str], rows: Sequence[str], cells: Sequence[Sequence[Cell]], style: NumberFormat
) -> str:
    known = [
        (cell.value, f"{columns[place]}, {rows[number]}")
        for number, row in enumerate(cells)
        for place, cell in enumerate(row)
        if cell.there and cell.value is not None
    ]
    if not known:
        return "No data yet."
    worst = sorted((one for one in known if one[0] > 0), key=lambda one: -one[0])[:3]
    total = sum(value for value, _ in known)
    if not worst:
        return f"Nothing in {len(known)} cells with data."
    told = "; ".join(f"{name}: {style.full(value)}" for value, name in worst)
    return f"{style.full(total)} in all, in {len(known)} cells with data. Most: {told}."
