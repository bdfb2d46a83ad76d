"""Updating prices: what the installed catalogue states otherwise than those in use, and taking it over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.db.retry import retry_conflicts
from financial.domain.model_names import ModelName
from financial.models import PriceDifference, PriceVersion

from .price_catalogue import catalogue_version
from .prices import CatalogueResolver, catalogue_rows, lock_prices
from .reprice import ModelChange, reprice

_FIELDS: Final = ("service_tier", "valid_from", "valid_to", "daily_from", "daily_to", "rates")


@dataclass(frozen=True, slots=True)
class PriceChange:
    """One price in use and what the catalogue has in its place; either may be missing."""

    name: ModelName
    old: PriceVersion | None
    new: PriceVersion | None

    @property
    def since(self) -> datetime:
        """The earliest time whose price differs."""
        if self.old is None or self.new is None:
            row = self.old or self.new
            assert row is not None
            return row.valid_from
        if self.old.rates == self.new.rates:
            ends = [row.valid_to for row in (self.old, self.new) if row.valid_to is not None]
            return min(ends, default=self.old.valid_from)
        return self.old.valid_from


@dataclass(frozen=True, slots=True)
class CatalogueDifference:
    """What differs by model, and what repricing would book for it."""

    catalogue: str
    changes: Sequence[PriceChange]
    effects: dict[ModelName, ModelChange]


def price_changes() -> list[PriceChange]:
    """Every price in use that the installed catalogue states otherwise, drops or adds, by name.

    Only models whose prices were copied before are looked at. A model that the catalogue no longer has
    keeps its prices: what was charged then was right.
    """
    rows = PriceVersion.objects.filter(source=PriceVersion.Source.CATALOGUE, archived_at=None)
    by_name: dict[ModelName, list[PriceVersion]] = {}
    for row in rows.order_by("provider", "model", "service_tier", "valid_from", "daily_from"):
        by_name.setdefault(ModelName(row.provider, row.model), []).append(row)
    changes: list[PriceChange] = []
    for name, stored in by_name.items():
        if stated := catalogue_rows(name):
            changes += _compare(name, stored, stated)
    return changes


def _compare(
    name: ModelName, stored: Iterable[PriceVersion], stated: Iterable[PriceVersion]
) -> Iterable[PriceChange]:
    old = {(row.service_tier, row.valid_from, row.daily_from): row for row in stored}
    new = {(row.service_tier, row.valid_from, row.daily_from): row for row in stated}
    for key in sorted(old.keys() | new.keys(), key=lambda key: (key[0], key[1], str(key[2]))):
        before, after = old.get(key), new.get(key)
        if before is None or after is None or _said(before) != _said(after):
            yield PriceChange(name, before, after)


def _said(row: PriceVersion) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _FIELDS)


def compare_catalogue(*, progress: Callable[[int], None] = lambda charges: None) -> CatalogueDifference:
    """What applying the installed catalogue would change, in prices and on the ledger; writes nothing."""
    changes = price_changes()
    effects: dict[ModelName, ModelChange] = {}
    since: dict[ModelName, datetime] = {}
    for change in changes:
        since[change.name] = min(since.get(change.name, change.since), change.since)
    for name, start in since.items():
        found = reprice(
            provider=name.provider,
            model=name.model,
            start=start,
            dry_run=True,
            resolver=CatalogueResolver,
            progress=progress,
        )
        effects[name] = ModelChange(found.events, found.newly_priced, found.amount)
    return CatalogueDifference(catalogue_version(), changes, effects)


def check_prices(*, progress: Callable[[int], None] = lambda charges: None) -> CatalogueDifference:
    """Compare with the catalogue and keep the outcome, for the metric and the screen that show it."""
    found = compare_catalogue(progress=progress)
    now = timezone.now()
    rows = [_difference(change, found, now) for change in found.changes]
    with transaction.atomic():
        PriceDifference.objects.all().delete()
        PriceDifference.objects.bulk_create(rows)
    return found


def apply_catalogue() -> list[PriceChange]:
    """Archive the prices in use that the catalogue states otherwise, and take its own in their place.

    One transaction that no other writer of prices runs beside; a repeat changes nothing. Costs that are
    recorded keep their amounts until they are repriced.
    """

    def whole() -> list[PriceChange]:
        with transaction.atomic():
            lock_prices()
            changes = price_changes()
            now = timezone.now()
            for change in changes:
                if change.old is not None:
                    change.old.archived_at = now
                    change.old.save(update_fields=["archived_at"])
            PriceVersion.objects.bulk_create([change.new for change in changes if change.new is not None])
            PriceDifference.objects.all().delete()
        return changes

    return retry_conflicts(whole)


def _difference(change: PriceChange, found: CatalogueDifference, now: datetime) -> PriceDifference:
    row = change.new or change.old
    assert row is not None
    effect = found.effects[change.name]
    return PriceDifference(
        provider=change.name.provider,
        model=change.name.model,
        service_tier=row.service_tier,
        old=change.old,
        new_rates=None if change.new is None else change.new.rates,
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        daily_from=row.daily_from,
        daily_to=row.daily_to,
        since=change.since,
        catalogue=found.catalogue,
        events=effect.events,
        newly_priced=effect.newly_priced,
        amount=effect.amount,
        checked_at=now,
    )
