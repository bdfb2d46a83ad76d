"""Proving a day of the ledger the quick way: sums by the database, rows without making objects of them.

What is proved here is right. What is not, is looked at again by the slow way, which names the differences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import DataError, OperationalError, connection, transaction

from financial.domain.exchange import SAME, Exchange
from financial.domain.pricing import Priced, price_usage
from financial.domain.rollups import QUARTER_SECONDS, fold_days
from financial.models import CostAttribution, CostEvent, CostEventKey, CostFacetDimension, CostSeries
from financial.models.cost_event import USAGE_FIELDS

from .verify_rollups import EPOCH, DaySums, Key, Sums
from .verify_rows import PriceShelf

CHUNK: Final = 2000
DAY: Final = timedelta(days=1)
_EVENTS: Final = CostEvent._meta.db_table
_SEEN: Final = CostAttribution._meta.db_table
_KEYS: Final = CostEventKey._meta.db_table
# PostgreSQL sums to decimals, which are slow to read; past 64 bits it is an error, as on SQLite.
_MEASURES: Final = ", ".join(
    f"CAST(SUM({each}) AS bigint)"
    for each in (
        "CASE WHEN e.kind = 'charge' THEN 1 ELSE 0 END",
        *(f"e.{name}" for name in ("unpriced", "amount", "base_amount", *USAGE_FIELDS)),
    )
)
_COLUMNS: Final = (
    "id", "occurred_at", "source", "event_id", "kind", "amount", "base_amount", "unpriced", "price_version_id",
    "unit_price_id", "parts", "exchange", "series_id", *USAGE_FIELDS,
)  # fmt: skip
_json: Final = msgspec.json.Decoder()


def quick_sums(day: int, dimensions: Sequence[CostFacetDimension], fleet: int) -> DaySums | None:
    """The sums of the rows of ``day``; None where their attributions are not as they should be."""
    try:
        # A sum past 64 bits is an error, and must not undo what surrounds it.
        with transaction.atomic() if connection.in_atomic_block else nullcontext():
            return _quick_sums(day, dimensions, fleet)
    except (DataError, OperationalError):
        return None


def _quick_sums(day: int, dimensions: Sequence[CostFacetDimension], fleet: int) -> DaySums | None:
    start = EPOCH + day * DAY
    quarter = _quarter()
    between = "e.occurred_at >= %s AND e.occurred_at < %s"
    bounds = _moments(start, start + DAY)
    sums = DaySums(day, dimensions)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # By the index on events, however many attributions other days have.
            cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
        quarters: Sums = {}
        cursor.execute(
            f"SELECT {quarter}, e.series_id, COUNT(*), {_MEASURES} FROM {_EVENTS} e "  # noqa: S608
            f"WHERE {between} GROUP BY 1, 2",
            bounds,
        )
        rows = 0
        for bucket, series, count, *values in cursor.fetchall():
            rows += count
            _add(quarters, (fleet, bucket, series), values)
        cursor.execute(
            f"SELECT a.entity_id, {quarter}, e.series_id, COUNT(*), "  # noqa: S608
            "SUM(CASE WHEN a.occurred_at = e.occurred_at THEN 1 ELSE 0 END), "
            f"SUM(CASE WHEN a.entity_id = e.entity_id THEN 1 ELSE 0 END), {_MEASURES} "
            f"FROM {_EVENTS} e JOIN {_SEEN} a ON a.event = e.id WHERE {between} GROUP BY 1, 2, 3",
            bounds,
        )
        seen = timely = own = 0
        for entity, bucket, series, count, in_time, of_own, *values in cursor.fetchall():
            seen, timely, own = seen + count, timely + in_time, own + of_own
            _add(quarters, (entity, bucket, series), values)
        cursor.execute(
            # Named entity by entity, because the key begins with the entity.
            f"SELECT COUNT(*) FROM {_SEEN} WHERE entity_id IN (SELECT id FROM common_entity) "  # noqa: S608
            "AND occurred_at >= %s AND occurred_at < %s",
            bounds,
        )
        if (own, timely, cursor.fetchone()[0]) != (rows, seen, seen):
            return None
        sums.sums["quarter"] = quarters
        sums.sums["day"] = _days(quarters)
        facets: Sums = {}
        for dimension in dimensions:
            _add_facets(cursor, dimension, fleet, between, bounds, facets)
        sums.sums["facet_quarter"] = facets
        for (*owner, bucket, series), values in facets.items():
            _add(sums.sums["facet_day"], (*owner, bucket // 96, series), values)
    return sums


def _days(quarters: Sums) -> Sums:
    days: Sums = dict(fold_days(quarters))
    return days


def _add_facets(
    cursor: Any, dimension: CostFacetDimension, fleet: int, between: str, bounds: list[Any], sums: Sums
) -> None:
    kind, _, name = dimension.dimension.partition(":")
    joins, wheres = "", ""
    names: list[str] = []
    if kind == "tag":
        value = (
            "(SELECT j.value FROM json_each(e.tags) j WHERE j.key = %s)"
            if connection.vendor == "sqlite"
            else "(e.tags ->> %s)"
        )
        wheres = f" AND {value} IS NOT NULL"
        names = [name]
    else:
        value = "CAST(v.entity_id AS text)"
        joins = (
            f" JOIN {_SEEN} v ON v.event = e.id JOIN common_entity vn ON vn.id = v.entity_id AND vn.type = %s"
        )
    owners = f" JOIN {_SEEN} a ON a.event = e.id"
    if dimension.owner_type:
        owners += " JOIN common_entity an ON an.id = a.entity_id AND an.type = %s"
    for owner, joined in (("a.entity_id", owners), (str(int(fleet)), "")):
        if not joined and dimension.owner_type:
            continue
        cursor.execute(
            f"SELECT {owner}, {value}, {_quarter()}, e.series_id, {_MEASURES} FROM {_EVENTS} e{joins}{joined} "  # noqa: S608
            f"WHERE {between}{wheres} GROUP BY 1, 2, 3, 4",
            [
                *names,
                *([] if kind == "tag" else [name]),
                *([dimension.owner_type] if joined and dimension.owner_type else []),
                *bounds,
                *names,
            ],
        )
        for entity, text, bucket, series, *values in cursor.fetchall():
            _add(sums, (entity, dimension.pk, text, bucket, series), values)


def _add(sums: Sums, key: Key, values: list[int]) -> None:
    found = sums.get(key)
    sums[key] = values if found is None else [one + other for one, other in zip(found, values, strict=True)]


def _quarter() -> str:
    if connection.vendor == "sqlite":
        # To the second: fractions are rounded there, and could round up into the next quarter.
        return f"CAST(strftime('%%s', substr(e.occurred_at, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"
    return f"CAST(floor(extract(epoch FROM e.occurred_at) / {QUARTER_SECONDS}) AS integer)"


def _moments(*moments: datetime) -> list[Any]:
    return [connection.ops.adapt_datetimefield_value(moment) for moment in moments]


class QuickRows:
    """Proves rows one by one, keeping prices and exchanges between days."""

    def __init__(self, prices: PriceShelf) -> None:
        self._prices = prices
        self._numbers: dict[Any, UUID] = {}
        self._exchanges: dict[str | None, Exchange] = {None: SAME}
        self._currencies: dict[int, str] = {}

    def unproved(self, day: int) -> Iterator[tuple[int, list[UUID]]]:
        """Chunk by chunk, how many rows of ``day`` were read, and those of them that are not proved.

        Most of these are right, but corrected, or priced by a unit or in another currency.
        """
        for pk, currency in CostSeries.objects.values_list("pk", "currency"):
            self._currencies[pk] = currency
        start = EPOCH + day * DAY
        for rows in self._chunks(start):
            self._load({number for row in rows for number in row[8:10] if number is not None})
            keys = [_key(source, event_id) for _, _, source, event_id, *_ in rows]
            stored = _stored_keys(keys)
            yield (
                len(rows),
                [
                    _uuid(row[0])
                    for key, row in zip(keys, rows, strict=True)
                    if stored.get(key) != row[:2] or not self._is_right(row)
                ],
            )

    def _chunks(self, start: datetime) -> Iterator[list[tuple[Any, ...]]]:
        columns = ", ".join(f"e.{name}" for name in _COLUMNS)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {columns}, "  # noqa: S608
                f"EXISTS (SELECT 1 FROM {_EVENTS} c WHERE c.corrects = e.id) "
                f"FROM {_EVENTS} e "
                "WHERE e.occurred_at >= %s AND e.occurred_at < %s ORDER BY e.occurred_at, e.id",
                _moments(start, start + DAY),
            )
            while rows := cursor.fetchmany(CHUNK):
                yield rows

    def _load(self, numbers: set[Any]) -> None:
        new = numbers - self._numbers.keys()
        self._numbers.update({number: _uuid(number) for number in new})
        self._prices.load({self._numbers[number] for number in new})

    def _is_right(self, row: tuple[Any, ...]) -> bool:
        (
            _, _, _, _, kind, amount, base_amount, unpriced, version, unit, parts_text, exchange_text,
            series, *usage, corrected,
        ) = row  # fmt: skip
        if corrected or kind == "correction":
            return False
        parts = {} if parts_text == "{}" else _json.decode(parts_text)
        if parts and sum(parts.values()) != amount:
            return False
        currency = self._currencies[series]
        if (exchange_text is None) != (currency == settings.BASE_CURRENCY):
            return False
        exchange = self._exchanges.get(exchange_text)
        if exchange is None:
            exchange = self._exchanges[exchange_text] = Exchange(*_json.decode(exchange_text))
        if (amount if exchange is SAME else exchange.convert(amount)) != base_amount:
            return False
        if kind == "credit":
            return True
        if unpriced:
            return not amount and version is None and unit is None
        if version is None:
            # A quantity by a unit price is for the slow way; an amount of its own is what it is.
            return unit is None
        price = self._prices.get(self._numbers[version])
        if price is None or price.card is None or price.currency != currency:
            return False
        worth = price_usage(dict(zip(USAGE_FIELDS, usage, strict=True)), price.card)
        return (
            isinstance(worth, Priced)
            and worth.amount == amount
            and (worth.parts == parts or _without_zeros(worth.parts) == _without_zeros(parts))
        )


def _key(source: str, event_id: str) -> str:
    """The hexadecimal digits of :func:`event_key`, without the object around them."""
    name = source.encode()
    return hashlib.sha256(b"%d:%b%b" % (len(name), name, event_id.encode())).hexdigest()[:32]


def _stored_keys(keys: Sequence[str]) -> dict[str, tuple[Any, Any]]:
    """The event and time of each of ``keys`` that is stored, as the database gives them."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"SELECT key, event, occurred_at FROM {_KEYS} WHERE key = ANY(%s::uuid[])",  # noqa: S608
                [list(keys)],
            )
            return {key.hex: (event, at) for key, event, at in cursor.fetchall()}
        places = ", ".join(["%s"] * len(keys))
        cursor.execute(
            f"SELECT key, event, occurred_at FROM {_KEYS} WHERE key IN ({places})",  # noqa: S608
            keys,
        )
        return {key: (event, at) for key, event, at in cursor.fetchall()}


def _without_zeros(parts: dict[str, int]) -> dict[str, int]:
    return {name: part for name, part in parts.items() if part}


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
