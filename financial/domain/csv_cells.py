"""CSV that spreadsheets read as data: text never becomes a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Final

# What spreadsheets take for the beginning of a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_text(text: str) -> str:
    """``text`` with a quote before it where a spreadsheet would compute it; for text alone, not for amounts."""
    return f"'{text}" if text.startswith(_FORMULA) else text


class _Lines(list[str]):
    """What the writer of CSV takes for a file."""

    write = list.append


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """RFC 4180 lines of ``rows``; None is an empty cell."""
    lines = _Lines()
    csv.writer(lines, lineterminator="\r\n").writerows(rows)
    return "".join(lines)
