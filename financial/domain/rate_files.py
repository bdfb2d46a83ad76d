"""Reading exchange rates from CSV as the European Central Bank publishes them: a day a row, a currency a column."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.money import MoneyError

from .fixed_point import parse_fixed

GAPS: Final = frozenset({"", "N/A", "NA", "-"})
MAX_PROBLEMS: Final = 20
_CODE: Final = re.compile(r"[A-Z]{3}\Z")


@dataclass(frozen=True, slots=True)
class DatedRate:
    """One unit of ``base`` is worth ``rate`` (in 1e-12) of ``quote`` on ``day``; ``row`` counts the header as 1."""

    base: str
    quote: str
    day: date
    rate: int
    row: int


@dataclass(frozen=True, slots=True)
class RateFile:
    """The rates of a file, the columns of currencies that are no longer used, the gaps, and what is wrong."""

    rates: list[DatedRate]
    left_out: list[str]
    gaps: int
    problems: list[str]


def read_rates(lines: Iterable[str], base: str) -> RateFile:
    """The rates in ``lines`` of CSV against ``base``: header ``Date,USD,JPY,…``, ``N/A`` where there is none.

    Dates are ``2026-11-20`` or ``20 November 2026``. A trailing comma is no column. Every problem names
    its row (at most 20 are told); a file with problems is not to be used.
    """
    rates: list[DatedRate] = []
    problems: list[str] = []
    gaps = 0
    reader = csv.reader(lines, skipinitialspace=True)
    try:
        header = [cell.strip().lstrip("\ufeff") for cell in next(reader, [])]
        columns = _columns(header, base, problems)
        seen: dict[date, int] = {}
        for cells in () if problems else reader:
            row = reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            day = _day(cells[0].strip())
            if day is None:
                problems.append(f'Row {row}: "{cells[0].strip()[:40]}" is not a date such as 2026-11-20.')
            elif day in seen:
                problems.append(f"Row {row}: {day} stands in row {seen[day]} already.")
            elif len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
                problems.append(f"Row {row}: has more values than the header has columns.")
            else:
                seen[day] = row
                found = list(_read_row(cells, columns, base, day, row, problems))
                rates += found
                gaps += len(columns) - len(found)
            if len(problems) >= MAX_PROBLEMS:
                break
    except csv.Error as error:
        problems.append(f"Row {reader.line_num}: {error}.")
    known = {name for _, name in _columns(header, base, [])} if header else set()
    return RateFile(rates, [name for name in header[1:] if name and name not in known], gaps, problems)


def _columns(header: list[str], base: str, problems: list[str]) -> list[tuple[int, str]]:
    if not header or header[0].lower() != "date":
        problems.append(
            'Row 1: the header begins with "Date" and goes on with currencies, such as Date,USD,JPY.'
        )
        return []
    columns: list[tuple[int, str]] = []
    for index, name in enumerate(header[1:], start=1):
        if name in CURRENCIES:
            if name == base:
                problems.append(f"Row 1: {name} is what the rates are against, and has no column of its own.")
            elif name in (known for _, known in columns):
                problems.append(f"Row 1: {name} stands twice.")
            columns.append((index, name))
        elif name and not _CODE.match(name):
            problems.append(f'Row 1: "{name[:40]}" is not a currency.')
    if not columns and not problems:
        problems.append("Row 1: names no currency.")
    return columns


def _read_row(
    cells: list[str], columns: list[tuple[int, str]], base: str, day: date, row: int, problems: list[str]
) -> Iterator[DatedRate]:
    for index, quote in columns:
        text = cells[index].strip() if index < len(cells) else ""
        if text.upper() in GAPS:
            continue
        try:
            rate = parse_fixed(text)
        except MoneyError as error:
            problems.append(f'Row {row}: {quote} "{text[:40]}": {error.detail}')
        else:
            if rate:
                yield DatedRate(base, quote, day, rate, row)
            else:
                problems.append(f"Row {row}: {quote} is 0, and a rate is above 0.")


def _day(text: str) -> date | None:
    for form in ("%Y-%m-%d", "%d %B %Y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    return None
