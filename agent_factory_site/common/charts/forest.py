"""A forest plot: effects with their intervals, one below the other, around a common line of no effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from django.utils.safestring import SafeString

from .formats import NumberFormat
from .frame import empty_picture
from .scales import Number, nice_ticks
from .svg import THEMED, Palette, clean, document, element, number, shortened, text, text_width

Outcome = Literal["better", "worse", "undecided"]

HEAD: Final = 30
AXIS: Final = 26
GAP: Final = 12
ROW: Final = 26
TALL_ROW: Final = 42
"""Where there is no room beside the plot, the words of a row stand above it."""
WORDS_HIGH: Final = 20
WIDE_FROM: Final = 640
MOST_LABEL: Final = 170.0


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect with its interval; ``words`` stand beside it.

    Without ``low`` and ``high`` nothing is drawn: ``words`` then say why, in the place of the interval.
    """

    name: str
    words: str
    effect: Number | None = None
    low: Number | None = None
    high: Number | None = None
    outcome: Outcome = "undecided"
    link: str = ""

    @property
    def drawn(self) -> bool:
        return self.effect is not None and self.low is not None and self.high is not None


@dataclass(frozen=True, slots=True)
class EffectGroup:
    """Effects on one measure, on a scale of their own; ``margin`` is drawn as a dashed line."""

    name: str
    rows: Sequence[Effect]
    style: NumberFormat
    note: str = ""
    margin: Number | None = None


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where a group's effects lie: its scale is the same to both sides of zero."""

    left: float
    right: float
    ticks: Sequence[Decimal]

    def x(self, value: Number) -> float:
        low, high = float(self.ticks[0]), float(self.ticks[-1])
        return self.left + (float(value) - low) / (high - low) * (self.right - self.left)


def forest_chart(
    *,
    title: str,
    groups: Sequence[EffectGroup],
    description: str = "",
    empty: str = "No effects yet.",
    width: float = 960,
    palette: Palette = THEMED,
) -> SafeString:
    """Each group below its name, every effect a square on its interval, the line of no effect through all of them.

    Better effects, worse ones and those undecided differ in colour and in shape: the latter are hollow.
    Raises ``ValueError`` for an interval that is the wrong way round.
    """
    rows = [row for group in groups for row in group.rows]
    for row in rows:
        if row.low is not None and row.high is not None and row.low > row.high:
            raise ValueError(f"the interval of {row.name!r} ends before it begins")
    if not rows:
        return document(width, 120, title, description or empty, empty_picture(width, 120, empty), "forest")
    left, right, height = _room(rows, width)
    body: list[str] = []
    top = 0.0
    for group in groups:
        body += _group(group, top, left, right, height, width, palette)
        top += HEAD + height * len(group.rows) + AXIS + GAP
    said = description or " ".join(
        f"{group.name}: {'; '.join(f'{row.name} {row.words}' for row in group.rows)}." for group in groups
    )
    return document(width, top - GAP, title, said, body, "forest")


def _room(rows: Sequence[Effect], width: float) -> tuple[float, float, float]:
    """From where to where the plot reaches, and how high a row is."""
    if width < WIDE_FROM:
        return 8.0, width - 8, TALL_ROW
    names = max(text_width(row.name) for row in rows)
    words = max((text_width(row.words) for row in rows if row.drawn), default=0.0)
    return min(names, MOST_LABEL) + 20, width - words - 16, ROW


def _group(
    group: EffectGroup, top: float, left: float, right: float, height: float, width: float, palette: Palette
) -> list[str]:
    reach = [0.0, *(abs(float(side)) for row in group.rows if row.drawn for side in _sides(row))]
    if group.margin is not None:
        reach.append(abs(float(group.margin)))
    furthest = max(reach)
    drawn = any(row.drawn for row in group.rows)
    plot = _Plot(left, right, nice_ticks(-furthest, furthest, count=max(2, int((right - left) // 110))))
    head = element("tspan", clean(group.name), font_weight=600)
    if group.note:
        head += element("tspan", clean(group.note), dx=8, fill_opacity=0.66)
    parts = [element("text", head, x=0, y=top + 16)]
    floor = top + HEAD + height * len(group.rows)
    if drawn:
        parts += _axis(plot, group, top + HEAD, floor, width)
        if group.margin is not None:
            x = number(plot.x(group.margin))
            # Words above their interval stay clear of it.
            spans = (
                [
                    (top + HEAD + place * height + WORDS_HIGH, top + HEAD + (place + 1) * height)
                    for place in range(len(group.rows))
                ]
                if height == TALL_ROW
                else [(top + HEAD, floor)]
            )
            line = "".join(f"M{x} {number(start)}V{number(end)}" for start, end in spans)
            parts.append(
                element(
                    "path", element("title", clean(f"margin {group.style.full(group.margin)}")),
                    d=line, stroke=palette.series[2], stroke_width=1.5,
                    stroke_dasharray="5 4",
                )
            )  # fmt: skip
    for place, row in enumerate(group.rows):
        parts.append(_row(row, plot, top + HEAD + place * height, height, width, palette))
    return parts


def _sides(row: Effect) -> tuple[Number, Number, Number]:
    assert row.low is not None
    assert row.high is not None
    assert row.effect is not None
    return row.low, row.effect, row.high


def _axis(plot: _Plot, group: EffectGroup, top: float, floor: float, width: float) -> list[str]:
    step = plot.ticks[1] - plot.ticks[0]
    parts = []
    for tick in plot.ticks:
        x = number(plot.x(tick))
        parts.append(
            element(
                "path", d=f"M{x} {number(top)}V{number(floor)}", stroke="currentColor",
                stroke_opacity=0.5 if tick == 0 else 0.1,
            )
        )  # fmt: skip
        words = group.style.tick(tick, step)
        half = text_width(words) / 2
        middle = min(max(plot.x(tick), half), width - half)
        parts.append(text(middle, floor + 16, words, text_anchor="middle"))
    return parts


def _row(row: Effect, plot: _Plot, top: float, height: float, width: float, palette: Palette) -> str:
    tall = height == TALL_ROW
    middle = top + (30 if tall else height / 2)
    words_at = top + 15 if tall else middle + 4
    parts = [
        element("title", clean(f"{row.name}: {row.words}")),
        element("rect", x=0, y=top, width=width, height=height, fill_opacity=0, class_="af-chart-slot"),
        text(0, words_at, shortened(row.name, MOST_LABEL if not tall else width * 0.35), quiet=False),
    ]
    if row.drawn:
        low, effect, high = (plot.x(side) for side in _sides(row))
        colours = {"better": palette.series[1], "worse": palette.series[3]}
        colour = colours.get(row.outcome, palette.series[0])
        solid = row.outcome != "undecided"
        parts += [
            element(
                "path", d=f"M{number(low)} {number(middle)}H{number(high)}", stroke=colour, stroke_width=2,
                stroke_linecap="round",
            ),
            element(
                "rect", x=effect - 4.5, y=middle - 4.5, width=9, height=9, rx=1.5, stroke=colour, stroke_width=2,
                fill=colour if solid else palette.ground,
            ),
            text(width, words_at, row.words, quiet=False, text_anchor="end"),
        ]  # fmt: skip
    elif tall:
        parts.append(text(0, top + 34, shortened(row.words, width), font_style="italic"))
    else:
        parts.append(text(plot.left, words_at, shortened(row.words, width - plot.left), font_style="italic"))
    group = element("g", *parts)
    return element("a", group, href=row.link) if row.link else group
