"""Adding and archiving exchange rates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.currencies import CURRENCIES
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, FieldError, Invalid
from agent_factory_site.common.money import MoneyError
from financial.domain.fixed_point import format_fixed, parse_fixed
from financial.domain.rate_files import DatedRate
from financial.models import ExchangeRate
from financial.selectors.exchange import get_exchange_rate

MAX_SOURCE: Final = 100


def add_exchange_rate(*, base: str, quote: str, day: date, rate: object, source: str = "") -> ExchangeRate:
    """From ``day`` (UTC) a unit of ``base`` is worth ``rate`` of ``quote``, on that day alone.

    ``rate`` is a decimal string above 0 with up to 12 decimals. A pair has one rate a day: another one
    is a :class:`Conflict` until the first is archived, the same one again is the same row. Raises
    :class:`Invalid` with every bad field.
    """
    errors = [
        FieldError(f"/{name}", "unknown_currency", "An ISO 4217 code in capitals, such as USD.")
        for name, code in (("base", base), ("quote", quote))
        if code not in CURRENCIES
    ]
    if not errors and base == quote:
        errors.append(FieldError("/quote", "same_currency", "Base and quote are two currencies."))
    if len(source) > MAX_SOURCE:
        errors.append(FieldError("/source", "too_long", f"Has more than {MAX_SOURCE} characters."))
    elif "\0" in source:
        errors.append(FieldError("/source", "invalid", "Holds a NUL character."))
    value = 0
    try:
        value = parse_fixed(rate)
        if not value:
            errors.append(FieldError("/rate", "zero", "A rate is above 0."))
    except MoneyError as error:
        errors.append(FieldError("/rate", error.code, error.detail))
    if errors:
        raise Invalid.fields(*errors)

    def store() -> ExchangeRate:
        with transaction.atomic():
            _lock()
            known: ExchangeRate | None = ExchangeRate.objects.filter(
                base=base, quote=quote, day=day, archived_at=None
            ).first()
            if known is not None:
                if known.rate != value:
                    raise _other_rate(known)
                return known
            row: ExchangeRate = ExchangeRate.objects.create(
                base=base, quote=quote, day=day, rate=value, source=source
            )
        return row

    return retry_conflicts(store)


def archive_exchange_rate(*, rate_id: UUID | str) -> ExchangeRate:
    """Take a mistaken rate out of use; a repeat changes nothing, and rows converted by it keep it."""

    def store() -> ExchangeRate:
        with transaction.atomic():
            _lock()
            row = get_exchange_rate(rate_id)
            if row.archived_at is None:
                row.archived_at = timezone.now()
                row.save(update_fields=["archived_at"])
        return row

    return retry_conflicts(store)


@dataclass(frozen=True, slots=True)
class AddedRates:
    """How many rates of a file were added, and how many were there already."""

    added: int
    known: int


def add_exchange_rates(*, rates: Iterable[DatedRate], source: str) -> AddedRates:
    """Add the rates of a file, all or none; those that are there already change nothing.

    Raises :class:`Conflict` naming the row whose pair and day has another rate in use.
    """
    by_day: dict[date, list[DatedRate]] = {}
    for rate in rates:
        by_day.setdefault(rate.day, []).append(rate)

    def store() -> AddedRates:
        added = known = 0
        with transaction.atomic():
            _lock()
            days = sorted(by_day)
            for start in range(0, len(days), 500):
                part = days[start : start + 500]
                stored = {
                    (row.base, row.quote, row.day): row
                    for row in ExchangeRate.objects.filter(day__in=part, archived_at=None)
                }
                new = []
                for rate in (rate for day in part for rate in by_day[day]):
                    row = stored.get((rate.base, rate.quote, rate.day))
                    if row is None:
                        new.append(_row(rate, source))
                    elif row.rate != rate.rate:
                        raise _other_rate(row, f"Row {rate.row}: ")
                    else:
                        known += 1
                ExchangeRate.objects.bulk_create(new)
                added += len(new)
        return AddedRates(added, known)

    return retry_conflicts(store)


def _row(rate: DatedRate, source: str) -> ExchangeRate:
    return ExchangeRate(base=rate.base, quote=rate.quote, day=rate.day, rate=rate.rate, source=source)


def _lock() -> None:
    """Hold off other writers of rates; SQLite has one writer at a time anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {ExchangeRate._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def _other_rate(row: ExchangeRate, where: str = "") -> Conflict:
    return Conflict(
        "other_rate",
        f"{where}{row.base}/{row.quote} on {row.day} is {format_fixed(row.rate)} already (rate {row.pk}): "
        "archive that first if it is mistaken.",
        extensions={"rate": str(row.pk)},
    )
