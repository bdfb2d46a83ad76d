"""A ranking: one bar per row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.utils.safestring import SafeString

from .formats import THIN, NumberFormat
from .frame import empty_picture
from .scales import Number
from .svg import THEMED, Palette, clean, document, element, text, text_width

ROW: Final = 34
BAR: Final = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A name, its value (``None`` when it is not known), and where a click leads."""

    name: str
    value: Number | None
    link: str = ""
    note: str = ""


def horizontal_bars(
    *,
    title: str,
    rows: Sequence[Row],
    style: NumberFormat,
    description: str = "",
    shares: bool = False,
    empty: str = "No data yet.",
    width: float = 460,
    palette: Palette = THEMED,
) -> SafeString:
    """Rows in the order given, names above their bars, numbers on the right; ``shares`` adds per cent."""
    if not rows:
        return document(width, 120, title, description or empty, empty_picture(width, 120, empty), "ranks")
    known = [row.value for row in rows if row.value is not None]
    longest = max((abs(float(value)) for value in known), default=0.0)
    whole = sum(float(value) for value in known)
    body = []
    for index, row in enumerate(rows):
        body.append(_row(index * ROW, row, style, longest, whole if shares else 0.0, width, palette))
    said = "; ".join(f"{row.name} {_value(row, style)}" for row in rows) + "."
    return document(width, len(rows) * ROW, title, description or said, body, "ranks")


def _value(row: Row, style: NumberFormat) -> str:
    return "unknown" if row.value is None else style.full(row.value)


def _row(
    top: float, row: Row, style: NumberFormat, longest: float, whole: float, width: float, palette: Palette
) -> str:
    value = _value(row, style)
    share = ""
    if whole > 0 and row.value is not None and row.value >= 0:
        share = f"{float(row.value) / whole * 100:.1f}{THIN}%"
    room = int((width - text_width(value) - text_width(share) - 40) / text_width("x"))
    name = row.name if len(row.name) <= room else f"{row.name[: max(room - 1, 1)]}…"
    said = " ".join(part for part in (f"{row.name}: {value}", share, row.note) if part)
    numbers = element("tspan", clean(value), font_weight=500)
    if share:
        numbers = element("tspan", clean(share), fill_opacity=0.66) + element(
            "tspan", clean(value), dx=10, font_weight=500
        )
    y = top + 20
    parts = [
        element("title", clean(said)),
        element("rect", x=0, y=top, width=width, height=ROW, fill_opacity=0, class_="af-chart-slot"),
        text(0, top + 14, name, quiet=False),
        element("text", numbers, x=width, y=top + 14.0, text_anchor="end"),
        element("rect", x=0, y=y, width=width, height=BAR, rx=BAR / 2, fill_opacity=0.07),
    ]
    if row.value and longest:
        length = max(abs(float(row.value)) / longest * width, float(BAR))
        colour = palette.series[0] if row.value > 0 else palette.other
        parts.append(element("rect", x=0, y=y, width=length, height=BAR, rx=BAR / 2, fill=colour))
    group = element("g", *parts)
    return element("a", group, href=row.link) if row.link else group
