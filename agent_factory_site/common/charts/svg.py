"""Writing SVG: elements, text and colours that follow the page's theme.

Colours and sizes are presentation attributes, never ``style``: a strict content security policy
allows them. Text and lines take the page's own colour; series take the theme's variables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Final

from django.utils.safestring import SafeString

FONT_SIZE: Final = 12
_INVISIBLE: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32)), " ")


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of series, in order, of what is summed up as the rest, of the page beneath, and of what is bad."""

    series: tuple[str, ...]
    other: str
    ground: str
    alarm: str = "#b91c1c"


_LIGHT: Final = ("#4f46e5", "#0d9488", "#d97706", "#db2777", "#0284c7", "#65a30d", "#9333ea")
_REST: Final = "#94a3b8"

PRINTED: Final = Palette(_LIGHT, _REST, "#ffffff")
"""Fixed colours, for documents that leave the site."""

THEMED: Final = Palette(
    tuple(f"var(--af-series-{number}, {colour})" for number, colour in enumerate(_LIGHT, 1)),
    f"var(--af-series-other, {_REST})",
    "var(--af-ground, Canvas)",
    "var(--af-bad, #b91c1c)",
)
"""The colours of the page's theme, light or dark."""


def clean(text: str) -> str:
    """``text`` safe within SVG, in an HTML page or a file of its own."""
    return escape(text.translate(_INVISIBLE), quote=True)


def element(name: str, *children: str, **attributes: object) -> str:
    """``<name …>children</name>``; children are SVG, attribute values are escaped.

    An underscore in an attribute's name stands for a hyphen; ``None`` leaves the attribute out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = "".join(children)
    return f"<{name}{written}>{inner}</{name}>" if inner else f"<{name}{written}/>"


def _value(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    return clean(str(value))


def number(value: float) -> str:
    """A coordinate to a hundredth of a pixel, without trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def text(x: float, y: float, words: str, *, quiet: bool = True, **attributes: object) -> str:
    """A line of text; ``quiet`` for labels beside what matters."""
    opacity = 0.66 if quiet else 1.0
    return element("text", clean(words), x=x, y=y, fill_opacity=opacity, **attributes)


def text_width(words: str, size: float = FONT_SIZE) -> float:
    """About how wide ``words`` come out; fonts differ."""
    return 0.58 * size * len(words)


def shortened(words: str, room: float) -> str:
    """``words``, cut to about what fits into ``room``."""
    most = max(2, int(room / text_width("x")))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def document(
    width: float, height: float, title: str, description: str, body: Iterable[str], kind: str
) -> SafeString:
    """The whole picture, as wide as its container, with its name and description for screen readers."""
    content = "".join(body)
    # Two pictures on one page must not share ids.
    mark = sha256(f"{kind}{width}{title}{description}{content}".encode()).hexdigest()[:10]
    return SafeString(  # nosec B703 - text and attributes were escaped where they were written
        element(
            "svg",
            element("title", clean(title), id=f"t{mark}"),
            element("desc", clean(description), id=f"d{mark}"),
            content,
            xmlns="http://www.w3.org/2000/svg",
            class_=f"af-chart af-chart-{kind}",
            role="img",
            aria_labelledby=f"t{mark} d{mark}",
            viewBox=f"0 0 {number(width)} {number(height)}",
            width="100%",
            font_family="inherit",
            font_size=FONT_SIZE,
            fill="currentColor",
        )
    )
