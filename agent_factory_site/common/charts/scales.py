"""Arithmetic of axes: round ticks, which labels fit, and fewer points that look the same."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

Number = int | float | Decimal

MAX_POINTS: Final = 600


def nice_step(span: Decimal, count: int, least: Decimal = Decimal(0)) -> Decimal:
    """The round step that divides ``span`` into at most ``count`` parts.

    It is 1, 2, 2.5 or 5 times a power of ten, and a multiple of ``least`` unless that is zero.
    """
    rough = span / count
    power = Decimal(1).scaleb(rough.adjusted())
    for factor in ("1", "2", "2.5", "5", "10"):
        step = power * Decimal(factor)
        if step >= rough and (not least or step % least == 0):
            return step
    return least


def nice_ticks(
    low: Number, high: Number, count: int = 4, least: Decimal = Decimal(0), from_zero: bool = True
) -> list[Decimal]:
    """Round ticks that enclose ``low`` and ``high``, and zero too unless told not to."""
    bottom, top = _exact(low), _exact(high)
    if from_zero:
        bottom, top = min(bottom, Decimal(0)), max(top, Decimal(0))
    if bottom == top:
        spread = abs(top) / 10 if top else Decimal(1)
        bottom, top = (Decimal(0), max(least, spread)) if from_zero else (bottom - spread, top + spread)
    step = nice_step(top - bottom, count, least)
    first = (bottom / step).to_integral_value(rounding="ROUND_FLOOR")
    last = (top / step).to_integral_value(rounding="ROUND_CEILING")
    return [step * number for number in range(int(first), int(last) + 1)]


def _exact(number: Number) -> Decimal:
    # A float's shortest text is what people mean by it; its binary digits would only make long ticks.
    return Decimal(str(number)) if isinstance(number, float) else Decimal(number)


def label_every(count: int, spacing: float, width: float, gap: float = 12) -> int:
    """Print each n-th of ``count`` labels, ``width`` wide and ``spacing`` apart, so that none touch."""
    for every in (1, 2, 3, 4, 5, 7, 10, 14, 20, 28):
        # Half a label more, because the last is moved inwards where it would stand out.
        if every * spacing >= 1.5 * width + gap:
            return every
    return max(1, min(count, int((1.5 * width + gap) / spacing) + 1))


def decimate(values: Sequence[Number | None], limit: int = MAX_POINTS) -> list[tuple[int, Number | None]]:
    """At most ``limit`` points, as (index, value), that draw the same line.

    Of each stretch the least and the greatest value stay, in their order, so that no peak is lost; a
    stretch without any value stays a gap, and so does a gap longer than a stretch.
    """
    if len(values) <= limit:
        return list(enumerate(values))
    stretches = max(limit // 2, 1)
    points: list[tuple[int, Number | None]] = []
    for number in range(stretches):
        start, end = number * len(values) // stretches, (number + 1) * len(values) // stretches
        known = [(value, index) for index in range(start, end) if (value := values[index]) is not None]
        if not known:
            points.append((start, None))
            continue
        for index in sorted({min(known)[1], max(known)[1]}):
            points.append((index, values[index]))
    return points
