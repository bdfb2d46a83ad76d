"""Proving ledger rows: each recomputed from price and exchange, each with its key and attributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final
from uuid import UUID

from django.conf import settings

from agent_factory_site.common.money import divide_half_even, format_amount
from financial.domain.cost_input import event_key
from financial.domain.cost_rules import VOID_SOURCE
from financial.domain.pricing import RateCard, Unpriced, price_usage
from financial.domain.rates import parse_rates
from financial.domain.repricing import Worth, share, standing
from financial.models import CostAttribution, CostEvent, CostEventKey, PriceVersion, UnitPrice
from financial.models.cost_event import USAGE_FIELDS
from financial.models.unit_price import PRICE_SCALE
from financial.selectors.exchange import find_exchanges

from .price_again import exchange_of, usage_of
from .reprice import is_repricing, step_of

MAX_LISTED: Final = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that does not agree: what kind, of what, and how."""

    kind: str
    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.subject}: {self.detail}"


@dataclass(slots=True)
class Findings:
    """All differences by kind, the first of them in words.

    ``unchecked`` counts what could not be recomputed.
    """

    counts: Counter[str] = field(default_factory=Counter)
    listed: list[Difference] = field(default_factory=list)
    unchecked: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, subject: str, detail: str) -> None:
        """Count a difference, and list it while there is room."""
        self.counts[kind] += 1
        if len(self.listed) < MAX_LISTED:
            self.listed.append(Difference(kind, subject, detail))


@dataclass(frozen=True, slots=True)
class Price:
    """A price version or a unit price, read once."""

    currency: str
    card: RateCard | None
    per_unit: int


class PriceShelf:
    """Price versions and unit prices by id, each read once, since a ledger has few of them."""

    def __init__(self) -> None:
        self._prices: dict[UUID, Price | None] = {}
        self.get = self._prices.get

    def load(self, numbers: Iterable[UUID]) -> None:
        """Read those of ``numbers`` that were not yet."""
        new = set(numbers) - self._prices.keys()
        if not new:
            return
        self._prices.update(dict.fromkeys(new))
        for version in PriceVersion.objects.filter(pk__in=new):
            self._prices[version.pk] = Price(version.currency, parse_rates(version.rates), 0)
        for unit in UnitPrice.objects.filter(pk__in=new):
            self._prices[unit.pk] = Price(unit.currency, None, unit.price)


class RowChecker:
    """Checks rows in chunks."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self.prices = PriceShelf()

    def check(self, rows: Sequence[CostEvent]) -> dict[UUID, list[int]]:
        """Check ``rows`` (``series`` loaded); the entities that see each of them."""
        self._check_keys(rows)
        seen_by = self._check_attributions(rows)
        corrections = _by_charge(row.id for row in rows if row.kind == CostEvent.Kind.CHARGE)
        charges = CostEvent.objects.in_bulk([row.corrects for row in rows if row.corrects])
        priced = [*rows, *(each for found in corrections.values() for each in found)]
        self.prices.load(
            number for row in priced for number in (row.price_version_id, row.unit_price_id) if number
        )
        for row in rows:
            self._check_row(row)
            if row.corrects:
                self._check_correction(row, charges.get(row.corrects))
            elif row.id in corrections:
                self._check_net(row, corrections[row.id])
        return seen_by

    def _check_keys(self, rows: Sequence[CostEvent]) -> None:
        keys = {event_key(row.source, row.event_id): row for row in rows}
        stored = CostEventKey.objects.filter(key__in=list(keys)).values_list("key", "event", "occurred_at")
        found = {key: (event, at) for key, event, at in stored}
        for key, row in keys.items():
            if key not in found:
                self._findings.add("key", _name(row), "its event id is not among the keys")
            elif found[key] != (row.id, row.occurred_at):
                self._findings.add("key", _name(row), f"its key names {found[key][0]} at {found[key][1]}")

    def _check_attributions(self, rows: Sequence[CostEvent]) -> dict[UUID, list[int]]:
        seen_by = {row.id: list[int]() for row in rows}
        times = {row.id: row.occurred_at for row in rows}
        stored = CostAttribution.objects.filter(event__in=list(seen_by))
        wrong: set[UUID] = set()
        for event, entity, at in stored.values_list("event", "entity_id", "occurred_at"):
            seen_by[event].append(entity)
            if at != times[event]:
                wrong.add(event)
        for row in rows:
            if row.entity_id not in seen_by[row.id]:
                self._findings.add("attribution", _name(row), "is not attributed to its own entity")
            if row.id in wrong:
                self._findings.add("attribution", _name(row), "is attributed at another time than its own")
        return seen_by

    def _check_row(self, row: CostEvent) -> None:
        name, add = _name(row), self._findings.add
        if row.parts and sum(row.parts.values()) != row.amount:
            add("parts", name, f"its parts come to {_of(sum(row.parts.values()))}, not {_of(row.amount)}")
        if (row.exchange is None) != (row.series.currency == settings.BASE_CURRENCY):
            add("exchange", name, f"{row.series.currency} with the exchange {row.exchange}")
        if row.kind == CostEvent.Kind.CORRECTION:
            return
        base = exchange_of(row).convert(row.amount)
        if base != row.base_amount:
            add("base_amount", name, f"is {_of(row.base_amount)}, recomputed {_of(base)}")
        if row.kind == CostEvent.Kind.CREDIT:
            return
        price = row.price_version_id or row.unit_price_id
        if row.unpriced:
            if row.amount or price:
                add("amount", name, f"has no price, and yet {_of(row.amount)}")
        elif price:
            self._compare("amount", row, price, Worth(row.amount, row.parts, price))

    def _compare(self, kind: str, charge: CostEvent, price: UUID, stored: Worth) -> None:
        worth = self._worth(charge, price)
        if worth is None:
            self._findings.unchecked[kind] += 1
        elif isinstance(worth, str):
            self._findings.add(kind, _name(charge), worth)
        elif worth.amount != stored.amount:
            self._findings.add(
                kind, _name(charge), f"is {_of(stored.amount)}, recomputed {_of(worth.amount)} by {price}"
            )
        elif dict(worth.parts) != {part: value for part, value in stored.parts.items() if value}:
            self._findings.add(kind, _name(charge), f"its parts are not those of {price}")

    def _worth(self, charge: CostEvent, number: UUID) -> Worth | str | None:
        """``charge`` at a price, or in words why there is none; None where the conversion is gone."""
        price = self.prices.get(number)
        if price is None:
            return f"its price {number} does not exist"
        if price.card is None:
            if charge.quantity is None:
                return f"has no quantity for the unit price {number}"
            worth = Worth(divide_half_even(charge.quantity * price.per_unit, 10**PRICE_SCALE))
        else:
            priced = price_usage(usage_of(charge), price.card)
            if isinstance(priced, Unpriced):
                return f"{number} has no rate for its {priced.detail}"
            worth = Worth(priced.amount, {part: value for part, value in priced.parts.items() if value})
        if price.currency == charge.series.currency:
            return worth
        day = charge.occurred_at.astimezone(UTC).date()
        exchange = find_exchanges({(price.currency, day)}).get((price.currency, day))
        if exchange is None or charge.series.currency != settings.BASE_CURRENCY:
            return None
        amount = exchange.convert(worth.amount)
        return Worth(amount, {part: value for part, value in share(amount, worth.parts).items() if value})

    def _check_correction(self, row: CostEvent, charge: CostEvent | None) -> None:
        if charge is None or charge.kind != CostEvent.Kind.CHARGE:
            self._findings.add("correction", _name(row), f"corrects {row.corrects}, which is no charge")
            return
        if row.source != VOID_SOURCE and any(getattr(row, name) for name in USAGE_FIELDS):
            self._findings.add("correction", _name(row), "changes the usage of what it corrects")
        for column in ("occurred_at", "entity_id", "series_id", "run_id", "tags", "exchange"):
            if getattr(row, column) != getattr(charge, column):
                self._findings.add("correction", _name(row), f"has another {column} than what it corrects")

    def _check_net(self, charge: CostEvent, corrections: Sequence[CostEvent]) -> None:
        name, add = _name(charge), self._findings.add
        net = charge.amount + sum(row.amount for row in corrections)
        base = charge.base_amount + sum(row.base_amount for row in corrections)
        if net < 0:
            add("correction", name, f"comes to {_of(net)} with its corrections")
        if exchange_of(charge).convert(net) != base:
            add(
                "base_amount",
                name,
                f"comes to {_of(base)} with its corrections, not to the exchange of {_of(net)}",
            )
        if charge.unpriced + sum(row.unpriced for row in corrections) not in (0, 1):
            add("correction", name, "was priced more than once without having been unpriced")
        voids = [row for row in corrections if row.source == VOID_SOURCE]
        if voids:
            left = any(getattr(charge, name) + getattr(voids[0], name) for name in USAGE_FIELDS)
            if len(voids) > 1 or left or net or charge.unpriced + sum(row.unpriced for row in corrections):
                add("correction", name, "was taken back, and yet something is left of it")
        repricings = [step_of(row) for row in corrections if is_repricing(row)]
        for count, step in enumerate(repricings, start=1):
            assert step.price is not None
            self._compare(
                "repricing", charge, step.price, standing(step_of(charge), repricings[:count]).worth
            )


def attributions_of(rows: Sequence[CostEvent]) -> dict[UUID, list[int]]:
    """The entities that see each row."""
    seen_by = {row.id: list[int]() for row in rows}
    for event, entity in CostAttribution.objects.filter(event__in=list(seen_by)).values_list(
        "event", "entity_id"
    ):
        seen_by[event].append(entity)
    return seen_by


def _by_charge(charges: Iterable[UUID]) -> dict[UUID, list[CostEvent]]:
    found: dict[UUID, list[CostEvent]] = {}
    rows = CostEvent.objects.filter(corrects__in=list(charges)).order_by("recorded_at", "id")
    for row in rows:
        assert row.corrects is not None
        found.setdefault(row.corrects, []).append(row)
    return found


def _name(row: CostEvent) -> str:
    return f"{row.kind} {row.id} ({row.source} {row.event_id})"


def _of(nano: int) -> str:
    return format_amount(nano)
