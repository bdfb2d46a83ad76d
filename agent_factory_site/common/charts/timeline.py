"""What happened when: a bar a step, one below the other, over the time of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.utils.safestring import SafeString

from agent_factory_site.common.display import duration_text

from .frame import LEGEND_ROW, empty_picture, legend, legend_layout
from .scales import nice_ticks
from .svg import THEMED, Palette, clean, document, element, number, shortened, text, text_width

AXIS: Final = 24
ROW: Final = 26
TALL_ROW: Final = 42
"""Where there is no room beside the bars, the name of a step stands above its bar."""
WIDE_FROM: Final = 640
BAR: Final = 12
INDENT: Final = 14
MOST_INDENTS: Final = 6
MOST_LABEL: Final = 260.0
CROSS: Final = 16.0
"""The room for the mark of a failure before a bar."""
FAILED: Final = "var(--af-bad, #b91c1c)"
_UNITS: Final = ((3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1000, "ms"), (1, "µs"))


@dataclass(frozen=True, slots=True)
class Step:
    """A step: when it began and ended, in microseconds from a beginning that all share.

    ``end`` is None while that is not known. ``depth`` tells within how many others it lies. Its kind gives the
    colour; ``words`` stand beside its bar.
    """

    name: str
    kind: str
    start: int
    end: int | None
    depth: int = 0
    failed: bool = False
    words: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class _Plot:
    """Where the bars lie; ``ticks`` are microseconds."""

    left: float
    right: float
    start: int
    end: int
    ticks: Sequence[Decimal]

    def x(self, at: float) -> float:
        return self.left + (at - self.start) / (self.end - self.start) * (self.right - self.left)


def timeline_chart(
    *,
    title: str,
    steps: Sequence[Step],
    description: str = "",
    empty: str = "No steps yet.",
    left_out: int = 0,
    width: float = 960,
    palette: Palette = THEMED,
) -> SafeString:
    """Each step a bar from its start to its end, in the order given; ``left_out`` says how many more there were.

    A step that failed is outlined, marked with a cross, and named so; one without a known end fades out at the
    end of the picture. Raises ``ValueError`` for a step that ends before it begins.
    """
    for step in steps:
        if step.end is not None and step.end < step.start:
            raise ValueError(f"the step {step.name!r} ends before it begins")
    if not steps:
        picture = empty_picture(width, 120, empty)
        return document(width, 120, title, description or empty, picture, "timeline")
    kinds = list(dict.fromkeys(step.kind for step in steps))
    room = len(palette.series)
    colours = {
        kind: palette.series[place] if place < room else palette.other for place, kind in enumerate(kinds)
    }
    placed, rows = legend_layout([(kind, "", colours[kind]) for kind in kinds], width)
    top = rows * LEGEND_ROW
    plot = _plot(steps, width)
    height = ROW if width >= WIDE_FROM else TALL_ROW
    floor = top + AXIS + height * len(steps)
    body = [*legend(placed), *_axis(plot, top, floor, width)]
    for place, step in enumerate(steps):
        body.append(_row(step, plot, top + AXIS + place * height, height, width, colours[step.kind]))
    if left_out:
        floor += ROW
        body.append(text(0, floor - 8, f"and {left_out:,} more", font_style="italic"))
    said = description or _summary(steps, plot, left_out)
    return document(width, floor + 4, title, said, body, "timeline")


def _plot(steps: Sequence[Step], width: float) -> _Plot:
    start = min(step.start for step in steps)
    end = max(step.end if step.end is not None else step.start for step in steps)
    if any(step.end is None for step in steps):
        # So that what has no end reaches beyond all that has.
        end += max((end - start) // 12, 1)
    end = max(end, start + 1)
    gutter = CROSS if any(step.failed for step in steps) else 0.0
    if width < WIDE_FROM:
        left, right = gutter, width - 4
    else:
        left = min(MOST_LABEL, max(_indent(step) + text_width(step.name) for step in steps)) + 20 + gutter
        right = width - max((text_width(step.words) for step in steps), default=0) - 12
    return _Plot(left, right, start, end, _ticks(end - start, max(2, int((right - left) // 110))))


def _ticks(span: int, count: int) -> list[Decimal]:
    """Round numbers of the unit that suits ``span``, in microseconds from its beginning."""
    size = next((size for size, _ in _UNITS if span >= 2 * size), 1)
    found = [tick * size for tick in nice_ticks(0, Decimal(span) / size, count)]
    return [tick for tick in found if tick <= span]


def _axis(plot: _Plot, top: float, floor: float, width: float) -> list[str]:
    parts = []
    for tick in plot.ticks:
        x = plot.x(plot.start + float(tick))
        parts.append(
            element(
                "path", d=f"M{number(x)} {number(top + AXIS - 4)}V{number(floor)}", stroke="currentColor",
                stroke_opacity=0.32 if tick == 0 else 0.1,
            )
        )  # fmt: skip
        words = _tick_text(tick, plot.end - plot.start)
        half = text_width(words) / 2
        parts.append(text(min(max(x, half), width - half), top + 13, words, text_anchor="middle"))
    return parts


def _tick_text(tick: Decimal, span: int) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if span >= 2 * size), _UNITS[-1])
    return f"{(tick / size).normalize():f}\N{NARROW NO-BREAK SPACE}{unit}" if tick else "0"


def _indent(step: Step) -> int:
    return min(step.depth, MOST_INDENTS) * INDENT


def _row(step: Step, plot: _Plot, top: float, height: float, width: float, colour: str) -> str:
    tall = height == TALL_ROW
    middle = top + (30 if tall else height / 2)
    words_at = top + 15 if tall else middle + 4
    left = plot.x(step.start)
    right = plot.x(step.end if step.end is not None else plot.end)
    # What took next to no time is seen all the same.
    long = max(right - left, 2.0)
    left = min(left, plot.right - long)
    room = width * 0.6 if tall else plot.left - 12 - (CROSS if step.failed else 0)
    parts = [
        element("title", clean(_words(step, plot))),
        element("rect", x=0, y=top, width=width, height=height, fill_opacity=0, class_="af-chart-slot"),
        text(_indent(step), words_at, shortened(step.name, room - _indent(step)), quiet=False),
        element(
            "rect", x=left, y=middle - BAR / 2, width=long, height=BAR, rx=min(3.0, long / 2), fill=colour,
            fill_opacity=0.4 if step.end is None else None,
            stroke=FAILED if step.failed else None, stroke_width=1.5 if step.failed else None,
        ),
    ]  # fmt: skip
    if step.failed:
        parts.append(_cross(left, middle))
    if step.words:
        parts.append(text(width, words_at, step.words, text_anchor="end"))
    group = element("g", *parts)
    return element("a", group, href=step.link) if step.link else group


def _cross(left: float, middle: float) -> str:
    arms = f"M{number(left - 11.5)} {number(middle - 3.5)}l7 7m0 -7l-7 7"
    return element("path", d=arms, stroke=FAILED, stroke_width=2, stroke_linecap="round", fill="none")


def _words(step: Step, plot: _Plot) -> str:
    took = "no end known" if step.end is None else duration_text(step.end - step.start)
    said = [f"{step.name}: {step.kind}, {took}, {duration_text(step.start - plot.start)} after the beginning"]
    if step.failed:
        said.append("failed")
    if step.words:
        said.append(step.words)
    return "\n".join(said)


def _summary(steps: Sequence[Step], plot: _Plot, left_out: int) -> str:
    failed = [step.name for step in steps if step.failed]
    said = [f"{len(steps) + left_out} steps in {duration_text(plot.end - plot.start)}."]
    if failed:
        said.append(f"Failed: {', '.join(failed[:10])}.")
    longest = max(steps, key=lambda step: (step.end or step.start) - step.start)
    if longest.end is not None:
        said.append(f"Longest: {longest.name}, {duration_text(longest.end - longest.start)}.")
    return " ".join(said)
