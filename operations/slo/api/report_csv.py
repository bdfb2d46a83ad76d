"""A report as CSV: a line for every figure, in the order of its page."""

from __future__ import annotations

import csv
import io

from .report_rows import Document

COLUMNS = ("table", "row", "column", "value")


def report_csv(document: Document) -> str:
    """A header and a line for each cell, named by its table, the first cell of its row, and its column."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\r\n")
    write.writerow(COLUMNS)
    write.writerow(("Report", document.title, "Period", document.subtitle))
    write.writerow(("Report", document.title, "Result", document.result))
    for table in document.tables:
        for row in table.rows:
            for column, cell in zip(table.columns[1:], row[1:]):
                write.writerow([_plain(text) for text in (table.title, row[0], column, cell)])
    return out.getvalue()


def _plain(text: str) -> str:
    # A cell that begins like a formula is run by spreadsheets; a number is not.
    if text[:1] in ("=", "@", "\t", "\r") or (text[:1] in ("+", "-") and not text[1:2].isdigit()):
        return f"'{text}"
    return text
