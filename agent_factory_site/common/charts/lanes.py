"""Lanes below a chart: what happened when, on the chart's own time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from .frame import Frame
from .svg import Palette, clean, element, text

LANE: Final = 34
GAP: Final = 10
_BAR: Final = 10
_LEAST: Final = 3.0

Tone = Literal["bad", "warn", "quiet", "note", "plain"]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted, in slots: 0 is the beginning of the first, 1.5 the middle of the second.

    Without an ``end`` it is a moment. ``words`` tell what it was; ``link`` is where a click leads.
    """

    start: float
    end: float | None
    words: str
    tone: Tone = "plain"
    link: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """One row of the same sort of thing; without spans it says so."""

    name: str
    spans: Sequence[Span]
    empty: str = "none"


def lanes_height(lanes: Sequence[Lane]) -> float:
    """How much lower a picture gets by its lanes."""
    return GAP + LANE * len(lanes) if lanes else 0


def draw_lanes(frame: Frame, lanes: Sequence[Lane], top: float, palette: Palette) -> list[str]:
    """The lanes from ``top`` on, spans cut at the edges of the plot; those wholly outside are left out."""
    parts = []
    for row, lane in enumerate(lanes):
        y = top + GAP + row * LANE
        shown = [span for span in lane.spans if _touches(span, frame.slots)]
        name = lane.name if shown else f"{lane.name}: {lane.empty}"
        parts.append(text(frame.left, y + 10, name, font_size=11))
        parts.append(
            element(
                "rect", x=frame.left, y=y + 15, width=frame.right - frame.left, height=_BAR, rx=3,
                fill="currentColor", fill_opacity=0.06,
            )
        )  # fmt: skip
        parts += [_span(frame, span, y + 15, palette) for span in shown]
    return parts


def lanes_words(lanes: Sequence[Lane], slots: int) -> str:
    """The lanes for who cannot see them."""
    said = []
    for lane in lanes:
        told = [span.words.replace("\n", ", ") for span in lane.spans if _touches(span, slots)]
        more = f" and {len(told) - 10} more" if len(told) > 10 else ""
        said.append(f"{lane.name}: {'; '.join(told[:10]) + more if told else lane.empty}.")
    return " ".join(said)


def _touches(span: Span, slots: int) -> bool:
    if span.end is None:
        return 0 <= span.start <= slots
    return span.start < slots and span.end > 0 and span.end >= span.start


def _colour(tone: Tone, palette: Palette) -> tuple[str, float]:
    return {
        "bad": (palette.alarm, 0.9),
        "warn": (palette.series[2], 0.9),
        "quiet": (palette.other, 0.7),
        "note": (palette.series[4], 0.95),
        "plain": (palette.series[0], 0.85),
    }[tone]


def _span(frame: Frame, span: Span, y: float, palette: Palette) -> str:
    colour, opacity = _colour(span.tone, palette)
    said = element("title", clean(span.words))
    left = frame.left + max(span.start, 0) * frame.step
    if span.end is None:
        middle = y + _BAR / 2
        shape = element(
            "path", said, d=f"M{left:.1f} {middle - 6:.1f}l6 6l-6 6l-6 -6Z", fill=colour, fill_opacity=opacity
        )
    else:
        right = frame.left + min(span.end, frame.slots) * frame.step
        # What lasted less than three pixels is still to be seen.
        width = max(right - left, _LEAST)
        left = min(left, frame.right - width)
        shape = element(
            "rect", said, x=left, y=y, width=width, height=_BAR, rx=2, fill=colour, fill_opacity=opacity
        )
    return element("a", shape, href=span.link) if span.link else shape
