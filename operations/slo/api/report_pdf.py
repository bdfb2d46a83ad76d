"""A report as PDF, on A4, with the typeface that comes with the library.

Bitstream Vera has the letters of Western Europe; others are shown as a question mark.
"""

from __future__ import annotations

import io
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

import reportlab
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, TableStyle
from reportlab.platypus import Table as PdfTable

from .report_rows import Document, Table

COLOURS: Final = {"Met": "#1a7f37", "Missed": "#b42318", "No data": "#57606a"}
_WIDTH: Final = A4[0] - 36 * mm


def report_pdf(document: Document) -> bytes:
    """The bytes of the file."""
    _fonts()
    out = io.BytesIO()
    pages = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=18 * mm, rightMargin=18 * mm, topMargin=18 * mm, bottomMargin=18 * mm,
        title=document.title, author="Agent Factory", subject=document.subtitle,
    )  # fmt: skip
    body = ParagraphStyle("body", fontName="Vera", fontSize=9, leading=13, spaceAfter=4)
    small = ParagraphStyle("small", parent=body, fontSize=7.5, leading=10, spaceAfter=0)
    right = ParagraphStyle("right", parent=small, alignment=2)
    heading = ParagraphStyle("heading", parent=body, fontName="VeraBd", fontSize=11, spaceBefore=10)
    title = ParagraphStyle("title", parent=heading, fontSize=18, leading=22)
    verdict = ParagraphStyle(
        "verdict",
        parent=heading,
        fontSize=14,
        leading=18,
        textColor=colors.HexColor(COLOURS[document.result]),
    )
    story: list[Any] = [
        Paragraph(_text(document.title), title),
        Paragraph(_text(document.subtitle), body),
        Paragraph(_text(document.result), verdict),
        *(Paragraph(_text(sentence), body) for sentence in document.sentences),
    ]
    for table in document.tables:
        story += [Paragraph(_text(table.title), heading), _table(table, small, right), Spacer(1, 2 * mm)]
        if table.note:
            story.append(Paragraph(_text(table.note), small))
    pages.build(story, onFirstPage=_foot, onLaterPages=_foot)
    return out.getvalue()


def _table(table: Table, small: ParagraphStyle, right: ParagraphStyle) -> PdfTable:
    rows = [
        [
            Paragraph(_text(cell), right if place in table.numeric else small)
            for place, cell in enumerate(row)
        ]
        for row in (table.columns, *table.rows)
    ]  # fmt: skip
    # Columns of words are given the room that those of numbers leave.
    words = max(1, len(table.columns) - len(table.numeric))
    number = 24 * mm if len(table.numeric) < 4 else 20 * mm
    rest = (_WIDTH - number * len(table.numeric)) / words
    widths = [number if place in table.numeric else rest for place in range(len(table.columns))]
    style = TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.HexColor("#57606a")),
            ("LINEBELOW", (0, 1), (-1, -1), 0.25, colors.HexColor("#d0d7de")),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]
    )
    # A cell is never higher than a page: texts are cut long before.
    return PdfTable(rows, colWidths=widths, repeatRows=1, style=style, hAlign="LEFT")


def _foot(canvas: Any, pages: Any) -> None:
    canvas.saveState()
    canvas.setFont("Vera", 7)
    canvas.drawRightString(A4[0] - 18 * mm, 10 * mm, f"{canvas.getPageNumber()}")
    canvas.restoreState()


@cache
def _fonts() -> None:
    folder = Path(reportlab.__file__).parent / "fonts"
    for name in ("Vera", "VeraBd"):
        pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))


@cache
def _letters() -> frozenset[int]:
    return frozenset(pdfmetrics.getFont("Vera").face.charToGlyph)


def _text(text: str) -> str:
    shown = "".join(one if ord(one) in _letters() else " " if one.isspace() else "?" for one in text[:1000])
    return escape(shown, quote=False)
