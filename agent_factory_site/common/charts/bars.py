"""Bars over time, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from django.utils.safestring import SafeString

from .formats import NumberFormat
from .frame import (
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
    total,
)
from .scales import Number
from .svg import THEMED, Palette, document, element, number, text

GAP = 1.0


def bar_chart(
    *,
    title: str,
    slots: Sequence[Slot],
    series: Sequence[Series],
    style: NumberFormat,
    description: str = "",
    lines: Sequence[Mark] = (),
    empty: str = "No data yet.",
    width: float = 960,
    height: float = 280,
    palette: Palette = THEMED,
) -> SafeString:
    """Stacked bars, one per slot; what is below zero hangs from the axis.

    A slot where no series knows a value is shown as unknown, not as zero.
    """
    check(slots, series)
    if is_empty(series):
        return document(
            width, height, title, description or empty, empty_picture(width, height, empty), "bars"
        )
    coloured = folded(series, palette)
    highs, lows = [], []
    for index in range(len(slots)):
        values = [value for one, _ in coloured if (value := one.values[index]) is not None]
        highs.append(sum(value for value in values if value > 0))
        lows.append(sum(value for value in values if value < 0))
    top = max([*highs, *(mark.value for mark in lines)])
    bottom = min([*lows, *(mark.value for mark in lines)])
    entries = [(one.name, style.full(total(one)), colour) for one, colour in coloured]
    placed, rows = legend_layout(entries if len(entries) > 1 else [], width)
    frame = make_frame((width, height), (bottom, top), len(slots), style, rows)
    body = [*legend(placed), *grid(frame, style), *slot_labels(frame, slots)]
    body += _bars(frame, slots, coloured)
    body += marks(frame, lines, style, palette)
    body += pointer_slots(
        frame, slots, [_words(slot, index, coloured, style) for index, slot in enumerate(slots)]
    )
    return document(width, height, title, description or _summary(slots, coloured, style), body, "bars")


def _bars(frame: Frame, slots: Sequence[Slot], coloured: Sequence[tuple[Series, str]]) -> list[str]:
    wide = min(max(frame.step * 0.72, 1.0), 44.0)
    parts: list[str] = []
    for index, slot in enumerate(slots):
        left = frame.x(index) - wide / 2
        values = [one.values[index] for one, _ in coloured]
        if all(value is None for value in values):
            parts += _unknown(frame, left, wide)
            continue
        bar = [
            piece
            for sign in (1, -1)
            for piece in _stack(
                frame,
                left,
                wide,
                [(v, c) for v, (_, c) in zip(values, coloured) if v is not None and v * sign > 0],
            )
        ]
        parts += [element("g", *bar, fill_opacity=0.5)] if slot.partial and bar else bar
    return parts


def _unknown(frame: Frame, left: float, wide: float) -> list[str]:
    column = element(
        "rect", x=left, y=frame.top, width=wide, height=frame.bottom - frame.top, fill_opacity=0.05
    )
    mark = text(left + wide / 2, frame.bottom - 8, "?", text_anchor="middle") if wide >= 10 else ""
    return [column, mark]


def _stack(frame: Frame, left: float, wide: float, stack: Sequence[tuple[Number, str]]) -> list[str]:
    pieces = []
    edges = list(accumulate((float(value) for value, _ in stack), initial=0.0))
    for (base, top), (_, colour) in zip(pairwise(edges), stack):
        outermost = top == edges[-1]
        pieces.append(_piece(left, wide, frame.y(base), frame.y(top), colour, outermost))
    return pieces


def _piece(left: float, wide: float, start: float, end: float, colour: str, outermost: bool) -> str:
    """A piece of a bar from ``start`` towards ``end``; the outermost has round corners, the others a gap."""
    # What is there is seen, however little it is.
    if abs(end - start) < 1:
        end = start - 1 if end <= start else start + 1
    if not outermost:
        inner = end + GAP if end < start else end - GAP
        if abs(inner - start) >= 1:
            end = inner
        return element("rect", x=left, y=min(start, end), width=wide, height=abs(end - start), fill=colour)
    radius = min(3.0, wide / 2, abs(end - start))
    towards = radius if end < start else -radius
    right = left + wide
    n = number
    path = (
        f"M{n(left)} {n(start)}V{n(end + towards)}Q{n(left)} {n(end)} {n(left + radius)} {n(end)}"
        f"H{n(right - radius)}Q{n(right)} {n(end)} {n(right)} {n(end + towards)}V{n(start)}Z"
    )
    return element("path", d=path, fill=colour)


def _words(slot: Slot, index: int, coloured: Sequence[tuple[Series, str]], style: NumberFormat) -> str:
    values = [(one.name, one.values[index]) for one, _ in coloured]
    known = [value for _, value in values if value is not None]
    if not known:
        return f"{slot.full_name}: unknown"
    whole = style.full(sum(known))
    if len(coloured) == 1:
        return f"{slot.full_name}: {whole}"
    # The stack is read from the top; what adds nothing is left out, what is not known is not.
    each = [
        f"{name}: {'unknown' if value is None else style.full(value)}"
        for name, value in reversed(values)
        if value is None or value
    ]
    return "\n".join([f"{slot.full_name}: {whole}", *each])


def _summary(slots: Sequence[Slot], coloured: Sequence[tuple[Series, str]], style: NumberFormat) -> str:
    sums = [(sum(v for one, _ in coloured if (v := one.values[i]) is not None), i) for i in range(len(slots))]
    highest, where = max(sums)
    parts = [
        f"{len(slots)} bars from {slots[0].full_name} to {slots[-1].full_name}.",
        f"Total {style.full(sum(total(one) for one, _ in coloured))}.",
        f"Highest {style.full(highest)}, {slots[where].full_name}.",
    ]
    if len(coloured) > 1:
        parts.append("; ".join(f"{one.name} {style.full(total(one))}" for one, _ in coloured) + ".")
    unknown = sum(all(one.values[i] is None for one, _ in coloured) for i in range(len(slots)))
    if unknown:
        parts.append(f"{unknown} unknown.")
    return " ".join(parts)
