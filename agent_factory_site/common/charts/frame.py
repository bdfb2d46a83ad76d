"""What bar and line charts share: series, axes, grid, legend, slots that answer to the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final

from .formats import NumberFormat
from .scales import Number, label_every, nice_ticks
from .svg import FONT_SIZE, Palette, clean, element, text, text_width

LEGEND_ROW: Final = 22
BOTTOM: Final = 28
TOP: Final = 10
RIGHT: Final = 10
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class Series:
    """One name and its values, one per slot; ``None`` where the value is not known.

    A ``dashed`` line is what should be, beside what is.
    """

    name: str
    values: Sequence[Number | None]
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Slot:
    """One step along the axis: what is printed below it, its full name, and where a click leads.

    ``partial`` marks one that is not over yet, such as today.
    """

    label: str
    name: str = ""
    link: str = ""
    partial: bool = False

    @property
    def full_name(self) -> str:
        return (self.name or self.label) + (" so far" if self.partial else "")


@dataclass(frozen=True, slots=True)
class Mark:
    """A reference line across the chart, such as a budget or an objective."""

    name: str
    value: Number


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot area and its scale."""

    width: float
    height: float
    left: float
    top: float
    ticks: Sequence[Decimal]
    slots: int
    below: float = 0
    """What is kept free under the labels, for lanes."""

    @property
    def bottom(self) -> float:
        return self.height - BOTTOM - self.below

    @property
    def right(self) -> float:
        return self.width - RIGHT

    @property
    def step(self) -> float:
        """The width of a slot."""
        return (self.right - self.left) / max(self.slots, 1)

    def x(self, slot: float) -> float:
        """The middle of a slot."""
        return self.left + (slot + 0.5) * self.step

    def y(self, value: Number) -> float:
        """The height of a value."""
        low, high = float(self.ticks[0]), float(self.ticks[-1])
        return self.bottom - (float(value) - low) / (high - low) * (self.bottom - self.top)


def folded(series: Sequence[Series], palette: Palette) -> list[tuple[Series, str]]:
    """The series with their colours; those beyond the palette, least first, are summed as one."""
    room = len(palette.series)
    if len(series) <= room:
        return list(zip(series, palette.series))
    totals = sorted(range(len(series)), key=lambda index: -total(series[index]))
    kept = set(totals[:room])
    shown = [one for index, one in enumerate(series) if index in kept]
    rest = [one for index, one in enumerate(series) if index not in kept]
    sums: list[Number | None] = []
    for values in zip(*(one.values for one in rest)):
        known = [value for value in values if value is not None]
        sums.append(sum(known) if known else None)
    return [*zip(shown, palette.series), (Series(f"{len(rest)} {OTHERS}", sums), palette.other)]


def total(series: Series) -> Number:
    """The sum of what is known."""
    return sum(value for value in series.values if value is not None)


def is_empty(series: Sequence[Series]) -> bool:
    """Whether there is nothing at all to show."""
    return all(value is None for one in series for value in one.values)


def check(slots: Sequence[Slot], series: Sequence[Series]) -> None:
    """Refuse series that do not fit the slots."""
    for one in series:
        if len(one.values) != len(slots):
            raise ValueError(f"the series {one.name!r} has {len(one.values)} values for {len(slots)} slots")


def make_frame(
    size: tuple[float, float],
    span: tuple[Number, Number],
    slots: int,
    style: NumberFormat,
    legend_rows: int,
    *,
    from_zero: bool = True,
    below: float = 0,
) -> Frame:
    """The frame for values over ``span``, lowest and highest, with room for its labels, and ``below`` for lanes."""
    width, height = size
    ticks = nice_ticks(
        *span, count=max(2, int((height - below) // 56)), least=style.least, from_zero=from_zero
    )
    step = ticks[1] - ticks[0]
    left = max(text_width(style.tick(tick, step)) for tick in ticks) + 12
    return Frame(width, height, left, TOP + legend_rows * LEGEND_ROW, ticks, slots, below)


def grid(frame: Frame, style: NumberFormat) -> list[str]:
    """Horizontal lines at the ticks, with their numbers; zero is drawn stronger."""
    step = frame.ticks[1] - frame.ticks[0]
    parts = []
    for tick in frame.ticks:
        y = round(frame.y(tick)) + 0.5
        parts.append(
            element(
                "path",
                d=f"M{frame.left:.0f} {y}H{frame.right:.0f}",
                stroke="currentColor",
                stroke_opacity=0.32 if tick == 0 else 0.1,
            )
        )
        parts.append(text(frame.left - 10, y + 4, style.tick(tick, step), text_anchor="end"))
    return parts


def slot_labels(frame: Frame, slots: Sequence[Slot]) -> list[str]:
    """As many labels below the axis as fit, the last one always."""
    widest = max((text_width(slot.label) for slot in slots), default=0)
    every = label_every(len(slots), frame.step, widest)
    parts = []
    for index in range(len(slots) - 1, -1, -every):
        x, half = frame.x(index), text_width(slots[index].label) / 2
        anchor = "end" if x + half > frame.width else "middle"
        parts.append(
            text(
                frame.right if anchor == "end" else x,
                frame.bottom + 19,
                slots[index].label,
                text_anchor=anchor,
            )
        )
    return parts


def marks(frame: Frame, lines: Sequence[Mark], style: NumberFormat, palette: Palette) -> list[str]:
    """Dashed reference lines with their names, legible over whatever they cross."""
    parts = []
    for mark in lines:
        y = round(frame.y(mark.value)) + 0.5
        words = f"{mark.name} {style.full(mark.value)}"
        parts.append(
            element(
                "path",
                d=f"M{frame.left:.0f} {y}H{frame.right:.0f}",
                stroke="currentColor",
                stroke_opacity=0.55,
                stroke_dasharray="5 4",
            )
        )
        halo = {
            "stroke": palette.ground,
            "stroke_width": 4,
            "paint_order": "stroke",
            "stroke_linejoin": "round",
        }
        parts.append(text(frame.right, y - 6, words, quiet=False, text_anchor="end", font_weight=500, **halo))
    return parts


def legend_layout(
    entries: Sequence[tuple[str, str, str]], width: float
) -> tuple[list[tuple[float, int, str, str, str]], int]:
    """Where each (name, value, colour) of a legend goes, row by row, and how many rows that takes."""
    placed: list[tuple[float, int, str, str, str]] = []
    x, row = 0.0, 0
    for name, value, colour in entries:
        name = name if len(name) <= 40 else f"{name[:39]}…"
        need = 18 + text_width(name) + (8 + text_width(value) if value else 0) + 20
        if x and x + need > width:
            x, row = 0.0, row + 1
        placed.append((x, row, name, value, colour))
        x += need
    return placed, row + 1 if placed else 0


def legend(placed: Sequence[tuple[float, int, str, str, str]]) -> list[str]:
    """The legend: a swatch, the name, and quietly the sum."""
    parts = []
    for x, row, name, value, colour in placed:
        y = 6 + row * LEGEND_ROW
        parts.append(element("rect", x=x, y=float(y), width=10, height=10, rx=2.5, fill=colour))
        words = element("tspan", clean(name), font_weight=500)
        if value:
            words += element("tspan", clean(value), dx=6, fill_opacity=0.66)
        parts.append(element("text", words, x=x + 16, y=y + 9.0))
    return parts


def pointer_slots(frame: Frame, slots: Sequence[Slot], words: Sequence[str]) -> list[str]:
    """Invisible columns over the plot that tell their values when pointed at, and lead where they link."""
    parts = []
    edges = [frame.left + index * frame.step for index in range(len(slots) + 1)]
    for slot, (left, right), said in zip(slots, pairwise(edges), words):
        column = element(
            "rect",
            element("title", clean(said)),
            x=left,
            y=frame.top,
            width=right - left,
            height=frame.bottom - frame.top,
            fill_opacity=0,
            class_="af-chart-slot",
        )
        parts.append(element("a", column, href=slot.link) if slot.link else column)
    return parts


def empty_picture(width: float, height: float, words: str) -> list[str]:
    """What stands where there is nothing to show."""
    return [
        element(
            "rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=8,
            fill="none", stroke="currentColor", stroke_opacity=0.2, stroke_dasharray="4 5",
        ),
        text(width / 2, height / 2 + FONT_SIZE / 3, words, text_anchor="middle", font_size=13),
    ]  # fmt: skip
