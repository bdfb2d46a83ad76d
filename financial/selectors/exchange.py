"""Which exchange rate holds on a day."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from agent_factory_site.common.errors import NotFound
from financial.domain.exchange import Exchange, Pair, find_exchange
from financial.models import ExchangeRate


def find_exchanges(wanted: Collection[tuple[str, date]]) -> dict[tuple[str, date], Exchange]:
    """How to convert each (currency, day) to the base currency; without a rate for the day it is left out.

    A day without rates takes those of an earlier one only as far back as ``EXCHANGE_RATE_MAX_AGE_DAYS``.
    """
    if not wanted:
        return {}
    base = settings.BASE_CURRENCY
    oldest = settings.EXCHANGE_RATE_MAX_AGE_DAYS
    currencies = {currency for currency, _ in wanted} | {base}
    days = {day - timedelta(days=back) for _, day in wanted for back in range(oldest + 1)}
    rows = ExchangeRate.objects.filter(
        Q(base__in=currencies) | Q(quote__in=currencies), day__in=days, archived_at=None
    )
    by_day: dict[date, dict[Pair, int]] = {}
    for row in rows:
        by_day.setdefault(row.day, {})[row.base, row.quote] = row.rate
    found: dict[tuple[str, date], Exchange] = {}
    for currency, day in wanted:
        for back in range(oldest + 1):
            exchange = find_exchange(currency, base, by_day.get(day - timedelta(days=back), {}))
            if exchange is not None:
                found[currency, day] = exchange
                break
    return found


def list_exchange_rates(
    *,
    base: str = "",
    quote: str = "",
    day: date | None = None,
    archived: bool = False,
) -> QuerySet[ExchangeRate]:
    """Exchange rates, the newest first; archived ones are left out unless ``archived``."""
    rows: QuerySet[ExchangeRate] = ExchangeRate.objects.order_by("-id")
    named = {"base": base, "quote": quote, "day": day}
    rows = rows.filter(**{name: value for name, value in named.items() if value})
    return rows if archived else rows.filter(archived_at=None)


def get_exchange_rate(rate_id: UUID | str) -> ExchangeRate:
    """One exchange rate, archived or not; :class:`NotFound` when there is none."""
    try:
        row: ExchangeRate = ExchangeRate.objects.get(pk=rate_id)
    except (ExchangeRate.DoesNotExist, ValidationError, ValueError):
        raise NotFound("not_found", "There is no such exchange rate.") from None
    return row
