"""Unit prices from a CSV file, all of them or none."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from django.db import transaction

from agent_factory_site.common.errors import DomainError, Invalid
from agent_factory_site.common.money import MoneyError
from financial.domain.fixed_point import parse_fixed
from financial.models import UnitPrice

from .unit_prices import lock_unit_prices, set_unit_price

REQUIRED: Final = ("cost_type", "unit", "price", "currency", "valid_from")
OPTIONAL: Final = ("provider", "model", "valid_to", "note")
MAX_PROBLEMS: Final = 20


@dataclass(frozen=True, slots=True)
class ImportedUnitPrices:
    """How many prices were set, and how many were there already."""

    added: int
    known: int


def import_unit_prices(*, lines: Iterable[str]) -> ImportedUnitPrices:
    """Set the prices in ``lines`` of CSV with a header of the fields' names, in one transaction.

    A price that is there already (the same names, start, price and currency) changes nothing, so that a
    file can be imported again. Raises :class:`Invalid` naming the rows that are wrong (at most 20).
    """
    rows = _rows(lines)
    added = known = 0
    problems: list[str] = []
    with transaction.atomic():
        lock_unit_prices()
        for number, row in rows:
            try:
                start = _moment(row["valid_from"], "valid_from")
                if start is None:
                    raise Invalid("required", "valid_from is needed.")
                if _is_known(row, start):
                    known += 1
                    continue
                end = _moment(row.get("valid_to", ""), "valid_to")
                fields = {name: row[name] for name in ("cost_type", "unit", "price", "currency")}
                more = {name: row.get(name, "") for name in ("provider", "model", "note")}
                set_unit_price(**fields, **more, valid_from=start, valid_to=end)
            except DomainError as error:
                said = " ".join(f"{each.pointer.lstrip('/')}: {each.detail}" for each in error.errors) or str(
                    error
                )
                problems.append(f"Row {number}: {said}")
                if len(problems) >= MAX_PROBLEMS:
                    break
            else:
                added += 1
        if problems:
            raise Invalid("bad_file", " ".join(problems))
    return ImportedUnitPrices(added, known)


def _rows(lines: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader(lines)
    try:
        header = [name.strip().lstrip("\ufeff") for name in next(reader, [])]
        missing = [name for name in REQUIRED if name not in header]
        unknown = [name for name in header if name not in (*REQUIRED, *OPTIONAL)]
        if missing or unknown or len(set(header)) < len(header):
            raise Invalid(
                "bad_header",
                f"The header names {', '.join(REQUIRED)} and, where there are any, {', '.join(OPTIONAL)}, each once; "
                + (f"{', '.join(missing)} is missing." if missing else f"it is {', '.join(header)}."),
            )
        rows = []
        for cells in reader:
            if any(cell.strip() for cell in cells):
                if len(cells) != len(header):
                    raise Invalid(
                        "bad_row",
                        f"Row {reader.line_num}: has {len(cells)} values, the header {len(header)} columns.",
                    )
                rows.append((reader.line_num, dict(zip(header, map(str.strip, cells), strict=True))))
    except csv.Error as error:
        raise Invalid("bad_csv", f"Row {reader.line_num}: {error}.") from None
    return rows


def _moment(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            "bad_time", f'{name}: "{text[:40]}" is neither a date nor a time such as 2026-11-02T10:00:00Z.'
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_known(row: dict[str, str], start: datetime) -> bool:
    try:
        price = parse_fixed(row["price"])
    except MoneyError:
        return False
    same = UnitPrice.objects.filter(
        cost_type=row["cost_type"],
        provider=row.get("provider", ""),
        model=row.get("model", ""),
        unit=row["unit"],
        valid_from=start,
        price=price,
        currency=row["currency"],
        archived_at=None,
    )
    return bool(same.exists())
