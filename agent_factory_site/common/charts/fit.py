"""One chart for wide and narrow places: text keeps its size, the plot gives way."""

from __future__ import annotations

from typing import Final, Protocol

from django.utils.safestring import SafeString

WIDE: Final = 960
NARROW: Final = 460


class Draw(Protocol):
    """A chart function with everything but its size filled in, such as a ``functools.partial``."""

    def __call__(self, *, width: float, height: float) -> SafeString: ...


def fitting(draw: Draw, *, height: float = 280) -> SafeString:
    """The chart drawn twice, of which ``charts.css`` shows the one that fits the container.

    What is not shown is not read out either.
    """
    return SafeString(
        '<div class="af-chart-fit">'
        f'<div class="af-chart-wide">{draw(width=WIDE, height=height)}</div>'
        f'<div class="af-chart-narrow">{draw(width=NARROW, height=height)}</div>'
        "</div>"
    )
